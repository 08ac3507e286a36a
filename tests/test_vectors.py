"""The test vectors of docs/protocol.md: made by this code to the byte, and agreed to by the second verifier."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ballot.replay.ballot_file import read_ballot_file
from ballot.replay.events import KINDS
from ballot.voting.counting import METHODS, Tally
from ballot.voting.question import Question
from ballot.voting.write_in import normal_form
from tests.support import node
from tests.support.log_builder import DATA
from tests.support.vectors import FOLDER, MAKERS, counts, exports, made, verdicts
from tests.support.vectors.bytes_ import EXAMPLES

ROOT = Path(__file__).parents[1]
INTERNAL = {"command", "device", "node-record", "one-time-code", "state-row", "trustee-enrolment", "change-members"}
"""Frames that no outsider ever sees or has to make."""


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_of_vectors_is_what_the_code_makes(name: str) -> None:
    """After a change of the format: `python -m tests.support.vectors`, and the protocol's page."""
    assert (FOLDER / f"{name}.json").read_text() == made(name)


def test_the_exports_and_what_is_found_in_them_are_what_the_code_makes() -> None:
    assert {name: (FOLDER / name).read_bytes() for name in exports()} == exports()
    assert (FOLDER / "exports.json").read_text() == verdicts()


def test_there_is_nothing_else_in_the_folder() -> None:
    expected = {f"{name}.json" for name in (*MAKERS, "exports")} | set(exports())
    assert {path.name for path in FOLDER.iterdir()} == expected


def test_every_file_has_what_is_good_and_what_is_not() -> None:
    one_sided = set()
    for path in FOLDER.glob("*.json"):
        if len({case["valid"] for case in json.loads(path.read_text())["cases"]}) == 1:
            one_sided.add(path.stem)
    assert one_sided == {"counts", "exports", "lots", "names"}


def test_there_is_a_vector_for_every_frame_of_the_protocol() -> None:
    pattern = re.compile(r"""(?:frame|frame_hash|parse_frame)\(\s*"([a-z-]+)\"""")
    folders = ("ledger", "voting", "http", "client", "replay", "projections", "ballot")
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    used = {kind for source in sources for kind in pattern.findall(source)}
    assert used - INTERNAL == set(EXAMPLES)


def test_the_second_verifier_knows_every_kind() -> None:
    source = (node.VERIFIER / "events.mjs").read_text().partition("export const KINDS = {")[2].partition("};")[0]
    assert set(re.findall(r"^  (\w+):", source, re.MULTILINE)) == KINDS.keys()


def test_the_second_verifier_agrees_with_every_vector() -> None:
    agreed = agreement(FOLDER)
    assert agreed == {path.stem: len(json.loads(path.read_text())["cases"]) for path in FOLDER.glob("*.json")}


def test_it_counts_other_elections_alike(tmp_path: Path) -> None:
    """Random ones of every method, and two real ones."""
    value = counts.counts(of_each=40, seed=2)
    value["cases"] += [real(name) for name in REAL]
    (tmp_path / "counts.json").write_text(json.dumps(value))
    assert agreement(tmp_path) == {"counts": len(value["cases"])}


def test_it_compares_names_alike(tmp_path: Path) -> None:
    """Every character of Unicode 3.2, whose forms no later version changes."""
    characters = [
        chr(point) for point in range(0x20, 0x110000) if unicodedata.ucd_3_2_0.category(chr(point)) not in HIDDEN
    ]
    cases = [{"name": name, "normal_form": normal_form(name), "valid": True} for name in characters if is_changed(name)]
    assert len(cases) > 4000
    (tmp_path / "names.json").write_text(json.dumps({"cases": cases}))
    assert agreement(tmp_path) == {"names": len(cases)}


HIDDEN = {"Cn", "Cs", "Co"}
REAL: dict[str, tuple[str, dict[str, int | bool]]] = {
    "glasgow-2017-ward-2.blt": ("stv", {"seats": 3}),
    "minneapolis-2017-mayor.csv": ("irv", {"max_skipped_ranks": 1, "overvote_skips": True, "batch_elimination": True}),
}


def is_changed(name: str) -> bool:
    return normal_form(name) != name


def agreement(folder: Path) -> dict[str, int]:
    """How many cases of each file the second verifier agrees with. Fails for any that it does not."""
    answers = node.run("vectors.mjs", folder)
    assert [answer["wrong"] for answer in answers if answer["wrong"]] == []
    return {answer["name"]: answer["agreed"] for answer in answers}


def real(file: str) -> dict[str, Any]:
    method, rules = REAL[file]
    read = read_ballot_file(DATA / file, METHODS[method].form)
    most = max(len(answer) for answer, _, _ in read.given)
    asked = Question("?", method, read.options, most, rules)
    tally = Tally([asked])
    for answer, weight, _ in read.given:
        tally.add([answer], weight)
    return {
        "name": file,
        "question": msgspec.to_builtins(asked),
        "ballots": [[list(answer), weight] for answer, weight, _ in read.given],
        "seed": bytes(32).hex(),
        "result": tally.results(bytes(32))[0],
        "valid": True,
    }
