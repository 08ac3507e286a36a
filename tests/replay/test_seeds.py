"""Two ways to count one board: by the published seeds, with public operations only, and by the released keys."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ballot.ledger import rsa
from ballot.ledger.frame import frame
from ballot.replay.audit import audit
from ballot.replay.cli import replay
from ballot.replay.export import Record, write_records
from ballot.replay.report import ElectionReport, Report
from ballot.voting import document
from ballot.voting.choice import encode_choice
from ballot.voting.definition import ElectionDefinition, Question, Registrar, Roll, Trustee, pad_length
from ballot.voting.envelope import Context, ballot_id, seal
from ballot.voting.tally import BadSeed, Opener, count_document, open_board, seeds_of
from tests.support.attacks import edit
from tests.support.insiders import Make, all_seeds_wrong, called_invalid, first_valid, invalid_seeded, one_seed
from tests.support.insiders import seeds_of as published
from tests.support.log_builder import ElectionLog, seal_drafts
from tests.voting.test_tally import eid_of, long_key


def run(records: list[Record], **options: Any) -> Report:
    return audit(records, workers=1, **options)


def only(report: Report) -> ElectionReport:
    (election,) = report.elections
    return election


# -- any board


QUESTIONS = [Question("Mayor?", "irv", ["Ada", "Bo", "Cy"], 3), Question("Seat?", "plurality", ["X", "Y"], 1)]


def define(trustees: int, k: int) -> ElectionDefinition:
    return ElectionDefinition(
        title="City election",
        questions=QUESTIONS,
        opens_us=1,
        closes_us=0,
        pad_len=pad_length(QUESTIONS),
        k=k,
        trustees=[Trustee(f"T{number}", rsa.modulus(long_key(number)).hex()) for number in range(trustees)],
        registrars=[Registrar(1, "ab" * 384)],
        roll=Roll(9, "0" * 64),
        origin="ballot.example/log",
        genesis="0" * 64,
    )


answers = st.tuples(st.lists(st.integers(0, 2), max_size=3, unique=True), st.lists(st.integers(0, 1), max_size=1))
kinds = st.one_of(answers.map(lambda answer: encode_choice(list(answer))), st.sampled_from([b"no choice", b""]))
boards = st.lists(st.tuples(kinds, st.sampled_from(["whole", "garbage", "torn", "copied"])), max_size=5)


def ballot(definition: ElectionDefinition, number: int, choice: bytes, kind: str) -> bytes:
    """A ballot; torn in its envelope, or copied from another key, it does not open."""
    if kind == "garbage":
        return b"garbage %d" % number
    eid = eid_of(definition)
    bpk = hashlib.shake_256(b"key %d" % number).digest(256)
    owner = b"another" + bpk[7:] if kind == "copied" else bpk
    trustees = tuple(bytes.fromhex(trustee.n) for trustee in definition.trustees)
    context = Context(eid, ballot_id(owner), definition.k, trustees, definition.pad_len)
    envelope = seal(context, choice, hashlib.sha256(b"%d" % number).digest())
    envelope = envelope[:-1] + bytes([envelope[-1] ^ 1]) if kind == "torn" else envelope
    cast = frame("cast", eid, bpk, bytes(32), bytes(384), envelope)
    return frame("ballot", cast, bytes(256))


@settings(max_examples=25, deadline=None)
@given(boards, st.sampled_from([(1, 1), (2, 1), (2, 2), (3, 2)]), st.randoms(use_true_random=False))
def test_the_count_from_seeds_and_that_from_keys_are_one_document_to_the_byte(
    board: list[tuple[bytes, str]], shape: tuple[int, int], chance: Any
) -> None:
    """The lot among it, which is made of the seeds; whichever k trustees opened, and in whatever order."""
    trustees, k = shape
    definition = define(trustees, k)
    eid = eid_of(definition)
    bodies = [ballot(definition, number, *one) for number, one in enumerate(board)]
    some = dict(chance.sample(sorted({n + 1: long_key(n) for n in range(trustees)}.items()), k))
    by_keys = open_board(definition, eid, bodies, some)
    seeds = seeds_of(by_keys)
    public, private = Opener(definition, eid), Opener(definition, eid, some)
    pairs = zip(bodies, seeds, strict=True)
    by_seeds = [public.open(body, seed) if seed else private.open(body) for body, seed in pairs]
    made = count_document(definition, eid, by_keys)
    assert count_document(definition, eid, by_seeds) == made
    shuffled = chance.sample(by_seeds, len(by_seeds))
    assert count_document(definition, eid, shuffled) == made
    assert document.decode(made)["ballots"]["valid"] == sum(map(bool, seeds))


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_no_other_seed_opens_a_ballot(seed: bytes) -> None:
    definition = define(1, 1)
    body = ballot(definition, 0, encode_choice([[0], [1]]), "whole")
    if seed != hashlib.sha256(b"0").digest():
        with pytest.raises(BadSeed):
            Opener(definition, eid_of(definition)).open(body, seed)


# -- the audit


def test_the_audit_takes_seeds_where_there_are_some_and_keys_where_told(log: ElectionLog) -> None:
    by_seed, by_keys = run(log.records()), run(log.records(), reopen=True)
    assert by_seed.passed and by_keys.passed
    assert (only(by_seed).by_seed, only(by_seed).by_keys) == (2, 1), "the one called invalid is always reopened"
    assert (only(by_keys).by_seed, only(by_keys).by_keys) == (0, 3)
    assert only(by_seed).accounting == only(by_keys).accounting
    assert only(by_seed).outcomes == only(by_keys).outcomes


def test_without_seeds_the_keys_are_taken(log: ElectionLog) -> None:
    report = run(seal_drafts(draft for draft in log.drafts if draft.kind != "TallySeeds"))
    assert report.passed and (only(report).by_seed, only(report).by_keys) == (0, 3)


def test_valid_ballots_need_no_private_operation(log: ElectionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the ballot that is called invalid is opened with a key."""
    opened: list[bytes] = []
    by_keys = Opener._by_keys

    def note(self: Opener, ballot: Any) -> Any:
        opened.append(ballot.name)
        return by_keys(self, ballot)

    monkeypatch.setattr(Opener, "_by_keys", note)
    assert run(log.records()).passed
    assert opened == [hashlib.sha256(log.bodies[2]).digest()]


@pytest.mark.parametrize("reopen", [False, True])
def test_a_wrong_seed_is_named_and_its_ballot_opened_with_the_keys(log: ElectionLog, reopen: bool) -> None:
    report = run(one_seed(log, bytes(32)), reopen=reopen)
    (finding,) = report.findings
    name = hashlib.sha256(log.board[first_valid(log)]).hexdigest()
    assert (finding.name, finding.index) == ("BadSeed", log.find("TallySeeds") + 1)
    assert finding.detail == f"ballot {name} has another seed than the one published"
    assert only(report).accounting.valid == 2 and only(report).recounted


@pytest.mark.parametrize("reopen", [False, True])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("SeedKeptBack", lambda log: one_seed(log, b"")),
        ("BadSeed", invalid_seeded),
        ("BadSeed", all_seeds_wrong),
        ("SeedKeptBack", called_invalid),
    ],
    ids=["kept-back", "of-an-invalid-one", "all-wrong", "kept-back-and-not-counted"],
)
def test_lies_in_the_seeds_are_found_both_ways(log: ElectionLog, name: str, make: Make, reopen: bool) -> None:
    report = run(make(log), reopen=reopen)
    assert name in {finding.name for finding in report.findings}
    assert (only(report).accounting.valid, only(report).accounting.invalid) == (2, 1)


def test_seeds_in_several_chunks_are_taken_together_and_a_wrong_one_named_in_its_own(log: ElectionLog) -> None:
    place = log.find("TallySeeds")
    draft = log.drafts[place]
    seeds = draft.public["seeds"]
    one = draft.but(seeds=seeds[:1], last=False)

    def split(rest: list[bytes]) -> list[Record]:
        return seal_drafts([*log.drafts[:place], one, draft.but(chunk=1, seeds=rest), *log.drafts[place + 1 :]])

    whole = run(split(seeds[1:]))
    assert whole.passed and only(whole).by_seed == 2
    wrong = run(split([seed and bytes(32) for seed in seeds[1:]]))
    assert {(finding.name, finding.index) for finding in wrong.findings} == {("BadSeed", place + 2)}


def test_too_few_seeds_are_made_up_for_by_the_keys(log: ElectionLog) -> None:
    seeds = published(log)
    report = run(edit("TallySeeds", 0, seeds=seeds[:1])(log))
    assert {finding.name for finding in report.findings} == {"SeedCountDiffers"}
    assert only(report).recounted and only(report).accounting.valid == 2


def test_seeds_that_never_end_or_go_on_behind_the_board_are_found(log: ElectionLog) -> None:
    seeds = published(log)
    never = run(edit("TallySeeds", 0, seeds=seeds[:2], last=False)(log))
    assert [finding.name for finding in never.findings] == ["SeedsOutOfOrder"]
    more = run(edit("TallySeeds", 0, seeds=[*seeds, bytes(32)], last=False)(log))
    assert [finding.name for finding in more.findings] == ["SeedCountDiffers"]
    assert only(never).accounting.valid == only(more).accounting.valid == 2


def test_the_command_reopens_when_told(log: ElectionLog, tmp_path: Path) -> None:
    file = tmp_path / "export"
    with file.open("wb") as stream:
        write_records(stream, log.records())
    for options, expected in (((), (2, 1)), (("--reopen",), (0, 3))):
        arguments = ["audit", str(file), "--workers", "1", *options]
        (election,) = json.loads(CliRunner().invoke(replay, [*arguments, "--json"]).output)["elections"]
        assert (election["by_seed"], election["by_keys"]) == expected
        text = CliRunner().invoke(replay, arguments).output
        assert f"ballots opened by their seeds: {expected[0]}, with the released keys: {expected[1]}" in text
