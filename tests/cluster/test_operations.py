"""What an operator sees and does while the cluster runs: figures, alerts, a node's new signing keys."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ballot.keys import load_record
from ballot.ledger.checkpoint import CheckpointError, verify_note
from ballot.ledger.membership import membership_of
from ballot.operator import rotate_node
from ballot.rotate import rotate
from tests.support.town import Town
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
UP = ("ballot_ledger_up", "ballot_redis_up", "ballot_postgres_up")


def scrape(town: Town, number: int) -> str:
    url = f"{town.cluster.nodes[number - 1].url}/api/_diag/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return bytes(answer.read()).decode()


def samples(text: str) -> dict[str, float]:
    """Sample names with their sums over all labels. Fails on what Prometheus would not read, or reads twice."""
    found: dict[str, float] = {}
    seen: set[tuple[str, str]] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, json.dumps(sample.labels, sort_keys=True))
            assert key not in seen, key
            seen.add(key)
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
        found.setdefault(family.name + ("_total" if family.type == "counter" else ""), 0.0)
    return found


def test_alerts_and_dashboard_name_only_figures_that_a_node_gives(town: Town) -> None:
    async def vote() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await town.ready_to_cast(voter, election)
        reply = await town.line.persist(lambda node: voter.cast(election, node))
        await voter.accept(election, reply.json())

    town.run(vote())
    texts: dict[int, str] = {}

    def is_told() -> bool:
        """That one of them leads, and each is up. They are not asked at one moment: a busy machine elects meanwhile."""
        texts.update({number: scrape(town, number) for number in (1, 2, 3)})
        found = [samples(text) for text in texts.values()]
        are_up = all(one[up] == 1 for one in found for up in UP)
        return are_up and sum(one["ballot_ledger_is_leader"] for one in found) >= 1

    town.run(until(is_told))
    given = {name for text in texts.values() for name in samples(text)}
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    dashboard: dict[str, Any] = json.loads((ROOT / "deploy/grafana/ballot.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions = [*panels, *(rule["expr"] for rule in rules)]
    named = {name for expression in expressions for name in re.findall(r"\bballot_\w+", expression)}
    assert len(named) > 20
    assert named - given == set()
    assert 'ballot_casts_total{outcome="recorded"}' in "".join(texts.values())
    for text in texts.values():
        found = samples(text)
        assert found["ballot_ledger_write_seconds_count"] > 0
        assert found["ballot_ledger_applied_index"] <= found["ballot_ledger_commit_index"]
        assert "127.0.0.1" not in text


def test_a_node_signs_with_new_keys_from_the_entry_on_that_names_them(town: Town) -> None:
    one, two, three = town.cluster.nodes
    keys = town.cluster.folder / "keys"
    before = membership_of(town.cluster.genesis.fields)
    rotate(keys, "signing", 3)
    record = load_record(keys / "node3" / "record")

    async def new_checkpoint(at_least: int = 0) -> bytes:
        """Of nodes 1 and 3 alone, and of something that was not there before."""
        account = await town.account()
        await town.line.persist(lambda node: town.line.send(node, "GET", "/api/_diag/ready"))
        client, notes = one.client(), [b""]

        async def covers() -> bool:
            notes.append(await client.checkpoint())
            return claimed(notes[-1]) >= max(account.api.index, at_least)

        try:
            await until(covers)
        finally:
            client.close()
        return notes[-1]

    three.stop()
    three.start_ledger()
    three.start_http()
    town.cluster.wait_ready()
    two.kill_ledger()
    try:
        # Both pairs are there, and the log names the old one.
        verify_note(town.run(new_checkpoint()), before.origin, before.members)
        index = town.run(rotate_node(one.settings, record))
        assert town.run(rotate_node(one.settings, record)) == index
        note = town.run(new_checkpoint(index))
        verify_note(note, before.origin, before.with_keys(record).members)
        with pytest.raises(CheckpointError, match="no majority"):
            verify_note(note, before.origin, before.members)
    finally:
        two.start_ledger()
        town.cluster.wait_ready()
    rotate(keys, "signing", 3, finish=True)


def claimed(note: bytes) -> int:
    return int(note.split(b"\n")[1]) if note else 0
