"""The parts of the demo that need no cluster: casting through a leader's death, mail, the findings, the verdict."""

import asyncio
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from mailbox import Maildir
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ballot.client.api import Line, NoAnswer, Public, Reply
from ballot.client.trust import Untrusted
from ballot.client.vote import Election
from ballot.client.voter import NotReady, Voter
from ballot.cluster import ClusterNode
from ballot.demo_casting import Casting, NoLeader, find_leader
from ballot.demo_checks import Board, Findings, agree, check_board, conclude, facts
from ballot.demo_crowd import KeyPool, Postbox, each
from ballot.demo_show import Show
from ballot.ledger.frame import frame
from ballot.mail.outbox import Outbox
from ballot.mail.transport import MailboxMailer
from ballot.replay.report import Finding, Level, Report
from ballot.voting.counting import count_election
from ballot.voting.definition import decode_definition
from tests.support.registrar import ELECTION, QUESTION, MemoryCluster

EID = b"i" * 32


class Node(ClusterNode):
    def __init__(self, number: int) -> None:
        self.number = number
        self.is_alive = True

    def kill_ledger(self) -> None:
        self.is_alive = False


class NodesLine(Line):
    """Node 0 leads until it is killed; then nobody does for a few questions, then node 1."""

    def __init__(self, nodes: list[Node]) -> None:
        super().__init__(["memory:"] * len(nodes))
        self.nodes = nodes
        self.asked = 0
        self.digests: dict[int, list[tuple[int, str]]] = {}

    async def send(
        self,
        node: int,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        fresh: bool = False,
    ) -> Reply:
        if path == "/api/ledger/digest":
            index, digest = self.digests[node].pop(0)
            return Reply(200, 0, json.dumps({"index": index, "digest": digest}).encode())
        if not self.nodes[node].is_alive:
            raise NoAnswer("503")
        return Reply(200, 0, json.dumps({"role": self._role(node)}).encode())

    def _role(self, node: int) -> str:
        if self.nodes[0].is_alive:
            return "leader" if node == 0 else "follower"
        self.asked += 1
        return "leader" if node == 1 and self.asked > 6 else "follower"


class CastingVoter(Voter):
    """Casts into a dict of what is recorded; a cast at a killed node gets no answer, one that dies is recorded."""

    def __init__(self, number: int, nodes: list[Node], recorded: dict[int, int]) -> None:
        self.number, self._nodes, self._recorded = number, nodes, recorded
        self.sees = self.proves = True

    async def cast(self, election: Election, node: int) -> Reply:
        await asyncio.sleep(0.001)
        known = self.number in self._recorded
        index = self._recorded.setdefault(self.number, 10 + len(self._recorded))
        if not self._nodes[node].is_alive:
            raise NoAnswer("503")
        return Reply(200 if known else 201, 0, json.dumps({"index": index}).encode())

    async def accept(self, election: Election, answer: dict[str, Any]) -> int:
        return int(answer["index"])

    def is_published(self, election: Election, names: set[bytes]) -> bool:
        return self.sees

    def recheck(self, election: Election) -> int:
        if not self.proves:
            raise Untrusted("")
        return 1


def election() -> Election:
    return Election(ELECTION, EID, decode_definition(MemoryCluster().definition))


def cast_all(count: int) -> tuple[Casting, list[Node], dict[int, int]]:
    nodes = [Node(number) for number in (1, 2, 3)]
    recorded: dict[int, int] = {}
    steps: list[None] = []

    async def run() -> Casting:
        line = NodesLine(nodes)
        casting = Casting(line, nodes, [CastingVoter(n, nodes, recorded) for n in range(count)], election())
        await casting.run(lambda: steps.append(None))
        return casting

    casting = asyncio.run(run())
    assert len(steps) == count
    return casting, nodes, recorded


def test_every_ballot_is_acknowledged_though_the_leader_is_killed_half_way() -> None:
    casting, nodes, recorded = cast_all(60)
    assert casting.acknowledged == recorded
    assert len(recorded) == 60
    assert [node.is_alive for node in nodes] == [False, True, True]
    assert casting.victim == 0


def test_what_got_no_answer_is_cast_again_and_what_was_recorded_is_found() -> None:
    casting, _, _ = cast_all(60)
    assert casting.unanswered
    assert casting.found == len(casting.unanswered)


def test_the_time_without_a_leader_is_measured_from_the_kill() -> None:
    casting, _, _ = cast_all(60)
    assert casting.gap_s > 0
    assert 0 < casting.election_s < 5


def test_a_cluster_without_a_leader_is_reported() -> None:
    nodes = [Node(1), Node(2)]
    nodes[0].is_alive = False
    with pytest.raises(NoLeader):
        asyncio.run(find_leader(Public(NodesLine(nodes)), [0], 0.05))


def test_nodes_agree_once_they_are_at_the_same_entry() -> None:
    line = NodesLine([Node(1), Node(2)])
    line.digests = {0: [(5, "a"), (6, "b"), (7, "c")], 1: [(4, "z"), (6, "b"), (7, "c")]}
    assert asyncio.run(agree(line, 7)) == (7, ["c", "c"])


def test_codes_are_read_from_the_mailbox_by_address(tmp_path: Path) -> None:
    async def run() -> list[str]:
        outbox = Outbox(MailboxMailer(tmp_path / "mail"), "ballot@example.org")
        postbox = Postbox(tmp_path / "mail")
        watching = asyncio.create_task(postbox.watch())
        outbox.post("a@example.org", "code", "en", code="000001", minutes="10")
        outbox.post("b@example.org", "issued", "en", title="Your code: 654321 of 123456")
        outbox.post("b@example.org", "code", "en", code="000002", minutes="10")
        codes = [await postbox.code(f"{name}@example.org") for name in "ab"]
        outbox.post("a@example.org", "code", "en", code="000003", minutes="10")
        codes.append(await postbox.code("a@example.org"))
        watching.cancel()
        return codes

    assert asyncio.run(run()) == ["000001", "000002", "000003"]
    assert len(Maildir(tmp_path / "mail")) == 4


def test_keys_come_from_those_begun_ahead() -> None:
    made: list[None] = []
    keys = KeyPool({2048: 2}, 1, lambda: made.append(None))
    try:
        first = asyncio.run(keys.make(2048))
        second = asyncio.run(keys.make(2048))
    finally:
        keys.close()
    assert first.key_size == second.key_size == 2048
    assert first.private_numbers() != second.private_numbers()
    assert len(made) == 2


def test_work_is_done_for_everybody_but_never_more_than_some_at_once() -> None:
    running, most, done = 0, 0, []

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        done.append(number)

    asyncio.run(each(range(10), work, 3))
    assert (sorted(done), most) == (list(range(10)), 3)


def ballot_of(number: int, key: int | None = None) -> bytes:
    bpk = bytes([number if key is None else key]) * 256
    return frame("ballot", frame("cast", EID, bpk, b"p" * 32, b"c" * 384, b"e"), bytes([number]) * 256)


def check(ballots: list[bytes], voters: list[CastingVoter]) -> Board:
    return check_board(voters, election(), ballots, set(range(len(voters))))


def voters(count: int) -> list[CastingVoter]:
    return [CastingVoter(number, [], {}) for number in range(count)]


def test_a_board_with_every_ballot_once_is_in_order() -> None:
    assert check([ballot_of(1), ballot_of(2)], voters(2)) == Board(2, 0, 0, 0)


def test_a_missing_ballot_a_second_ballot_and_a_broken_receipt_are_counted() -> None:
    people = voters(3)
    people[0].sees = people[1].proves = False
    assert check([ballot_of(1), ballot_of(2), ballot_of(3, key=2)], people) == Board(3, 1, 1, 1)


def test_a_receipt_never_got_counts_as_unproven() -> None:
    class WithoutReceipt(CastingVoter):
        def recheck(self, election: Election) -> int:
            raise NotReady("")

    assert check([ballot_of(1)], [WithoutReceipt(0, [], {})]).unproven == 1


def findings() -> Findings:
    casting, _, _ = cast_all(4)
    answers = [[0], [0], [1, 2], []]
    counted = count_election([QUESTION], [[answer] for answer in answers])
    ballots = {"published": 4, "valid": 4, "invalid": 0}
    agreeing = [{"node": node, "agrees": True} for node in (1, 2, 3)]
    results = {"tally": {"ballots": ballots, "questions": counted}, "disputed": False, "attestations": agreeing}
    report = Report(findings=[], more={}, recoveries=[], elections=[], entries=9, checkpoints=2, genesis="", root="")
    return Findings(4, casting, Board(4, 0, 0, 0), results, counted, 9, ["d"] * 3, report, 60.0)


def said(found: Findings) -> tuple[int, list[str]]:
    show = Show()
    show.console = Console(file=io.StringIO(), width=120)
    status = conclude(show, QUESTION, found)
    assert isinstance(show.console.file, io.StringIO)
    return status, show.console.file.getvalue().splitlines()


def test_the_verdict_is_the_last_line() -> None:
    status, lines = said(findings())
    assert status == 0
    assert lines[-1] == "audit: PASS  lost: 0  double: 0"


def test_the_rounds_are_shown_option_by_option() -> None:
    _, lines = said(findings())
    (ada,) = (line for line in lines if "Ada" in line and "✓" in line)
    assert "2 ✓" in ada
    assert "elected: Ada   margin: 1" in lines


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: replace(found, board=replace(found.board, lost=1)),
        lambda found: replace(found, board=replace(found.board, double=1)),
        lambda found: replace(found, board=replace(found.board, unproven=1)),
        lambda found: replace(found, board=replace(found.board, published=3)),
        lambda found: replace(found, ballots=5),
        lambda found: replace(found, digests=["a", "a", "b"]),
        lambda found: replace(found, expected=count_election([QUESTION], [[[2]]])),
        lambda found: replace(found, results={**found.results, "disputed": True}),
        lambda found: replace(found, results={**found.results, "attestations": []}),
    ],
)
def test_anything_amiss_fails_the_demo(spoil: Any) -> None:
    found = spoil(findings())
    assert not found.passed
    assert said(found)[0] == 1
    assert sum(not fine for _, _, fine in facts(found)) >= 1


def test_a_finding_of_the_audit_is_shown_and_fails_the_demo() -> None:
    found = findings()
    broken = replace(found.report, findings=[Finding(Level.CHAIN, "BrokenLink", 7, "[red]no")])
    status, lines = said(replace(found, report=broken))
    assert status == 1
    assert lines[-1] == "audit: FAIL  lost: 0  double: 0"
    assert "entry 7: chain.BrokenLink: [red]no" in lines[-2]


def test_progress_that_is_not_on_a_terminal_is_a_plain_line_a_quarter() -> None:
    with Show() as show:
        show.console = Console(file=io.StringIO(), width=120)
        step = show.bar("counting to twelve", 12)
        for _ in range(12):
            step()
        with show.stage("one thing"):
            pass
    assert isinstance(show.console.file, io.StringIO)
    lines = [line.split() for line in show.console.file.getvalue().splitlines()]
    assert [line[-3] for line in lines] == ["3/12", "6/12", "9/12", "12/12", "1/1"]
    assert lines[0][:-3] == ["counting", "to", "twelve"]
