"""The page's blind signatures agree with RFC 9474's own vectors."""

from __future__ import annotations

from pathlib import Path

from tests.support import node

VECTORS = Path(__file__).parents[1] / "data" / "rfc9474-vectors.json"


def test_the_page_blinds_and_unblinds_as_the_rfc_does_and_refuses_what_is_no_signature() -> None:
    assert node.run("../browser/blind_vectors.mjs", VECTORS) == [
        {"name": "RSABSSA-SHA384-PSS-Randomized", "agrees": True},
        {"name": "RSABSSA-SHA384-PSS-Deterministic", "agrees": True},
    ]
