"""Nothing public tells which cast, or whose credential, a ballot on the board belongs to.

The reader is given everything that is public: headers, payloads, the state folded from them at every entry, the board.
Shown here: all of it is the same, byte for byte, whoever cast which ballot in whatever order. What is left are the
digests of the private parts, which say nothing without their salts, and blinded messages, every one of which fits
every ballot equally well. The answers of a real cluster are searched in tests/cluster/test_unlinkability.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest

from ballot.ledger.entry import SALT_BYTES, Entry, decode_map
from ballot.ledger.frame import frame_hash
from ballot.voting import commands as c
from ballot.voting.ballot import Ballot, credential_message, parse_ballot
from ballot.voting.blind import blind
from ballot.voting.tables import TABLES
from tests.support.life import EPOCHS, Ledger, Life, State
from tests.support.log_builder import ElectionLog, election_log, modulus

LIFE = Life()
EPOCHAL = Life("epochs", trustees=0, epochs=EPOCHS)
FIRST, SECOND = EPOCHAL.crowd(0), EPOCHAL.crowd(20)

Seen = list[Any]


def public_view(entries: Sequence[Entry]) -> Seen:
    """All that a reader of the log sees, entry by entry, with what it adds up to; but for hashes over hidden things."""
    state, seen = State(), []
    for entry in entries:
        state.apply(entry)
        hidden = (len(entry.header), len(entry.private_digest), entry.size if entry.kind == "BallotCast" else 0)
        seen.append((entry.index, entry.term, entry.time_us, entry.kind, entry.public, hidden))
    rows = state.rows()
    return [*seen, *(sorted(rows[name].items(), key=repr) for name in TABLES if TABLES[name].public)]


def whole(casting: Sequence[str]) -> list[Entry]:
    """A whole election: credentials are asked for in one order, and ballots cast in another."""
    made = Ledger()
    made.record_all([*LIFE.people(), *LIFE.drafting(), *LIFE.opening()])
    made.record_all([*map(LIFE.issue, LIFE.voters), *map(LIFE.cast, casting), LIFE.close(), *LIFE.board(*LIFE.voters)])
    casts = [entry.index for entry in made.entries if entry.kind == "BallotCast"]
    made.record_all([LIFE.erase(casts[0], casts[-1]), *map(LIFE.release, LIFE.trustees), LIFE.tally(), LIFE.attest(1)])
    return made.entries


@pytest.mark.parametrize("casting", list(itertools.permutations(LIFE.voters))[1:])
def test_the_public_record_is_the_same_in_whatever_order_the_ballots_were_cast(casting: Sequence[str]) -> None:
    assert public_view(whole(casting)) == public_view(whole(LIFE.voters))


def in_epochs(first: Sequence[str], second: Sequence[str]) -> list[Entry]:
    made = Ledger()
    made.record_all([EPOCHAL.draft(), *EPOCHAL.opening_alone(), *map(EPOCHAL.cast, first), EPOCHAL.end_epoch()])
    made.record_all(map(EPOCHAL.cast, second))
    made.record_all([EPOCHAL.publish(0, EPOCHAL.sorted_bodies(*first), last=False), EPOCHAL.close()])
    made.record_all([EPOCHAL.publish(1, EPOCHAL.sorted_bodies(*second), last=True, epoch=1)])
    return made.entries


def test_an_epoch_tells_no_order_within_it() -> None:
    expected = public_view(in_epochs(FIRST, SECOND))
    for turn in (1, 7, 19):
        turned = [FIRST[turn:] + FIRST[:turn], SECOND[::-1]]
        assert public_view(in_epochs(*turned)) == expected


def test_all_that_epochs_tell_is_in_which_of_them_a_ballot_was_cast() -> None:
    """Whoever wants no more to be told than the close does not ask for epochs."""
    exchanged = in_epochs([SECOND[0], *FIRST[1:]], [FIRST[0], *SECOND[1:]])
    plain = in_epochs(FIRST, SECOND)
    differing = {one.kind for one, other in zip(exchanged, plain, strict=True) if one.public != other.public}
    assert differing == {"BallotsPublished"}


# -- what a cast's entry shows


@pytest.fixture(scope="module")
def log() -> ElectionLog:
    """With real keys and real blinding."""
    return election_log()


def test_every_cast_shows_the_same_and_has_the_same_size(log: ElectionLog) -> None:
    casts = [entry for entry in log.entries if entry.kind == "BallotCast"]
    assert len({entry.public for entry in casts}) == 1
    assert decode_map(casts[0].public).keys() == {"election", "eid"}
    assert len({entry.size for entry in casts}) == len({len(body) for body in log.bodies}) == 1


def test_the_board_is_in_the_order_of_hashes(log: ElectionLog) -> None:
    published = [entry for entry in log.entries if entry.kind == "BallotsPublished"]
    names = [sha256(body).digest() for entry in published for body in decode_map(entry.public)["ballots"]]
    assert names == sorted(names)


def matches(entries: Sequence[Entry], bodies: Sequence[bytes], salts: Sequence[bytes]) -> set[tuple[int, bytes]]:
    """A reader's guesses: casts whose digest is that of a published ballot under one of these salts."""
    digests = {entry.private_digest: entry.index for entry in entries if entry.kind == "BallotCast"}
    tried = ((frame_hash("private", salt, body), body) for salt in salts for body in bodies)
    return {(digests[digest], body) for digest, body in tried if digest in digests}


def test_without_its_salt_no_digest_can_be_matched_to_a_ballot(log: ElectionLog) -> None:
    casts = [entry for entry in log.entries if entry.kind == "BallotCast"]
    public = b"".join(entry.header + entry.public for entry in log.entries)
    known = [public[at : at + SALT_BYTES] for at in range(0, len(public) - SALT_BYTES, 16)]
    assert matches(log.entries, log.bodies, [bytes(SALT_BYTES), b"", *known[:2000]]) == set()
    # The search finds what there is to find: with the salts of the receipts every cast is matched.
    assert len(matches(log.entries, log.bodies, [entry.salt for entry in casts])) == len(casts)
    assert all(entry.salt not in public for entry in casts)
    assert len({entry.salt for entry in casts}) == len(casts)


# -- what an issue shows


def shared(one: bytes, other: bytes, length: int = 8) -> set[bytes]:
    """Pieces of this length that are in both."""
    pieces = {one[at : at + length] for at in range(len(one) - length + 1)}
    return pieces & {other[at : at + length] for at in range(len(other) - length + 1)}


def ballots(log: ElectionLog) -> list[Ballot]:
    return [parse_ballot(body) for body in log.bodies]


def test_no_piece_of_a_ballot_was_seen_when_its_credential_was_issued(log: ElectionLog) -> None:
    issues = [decode_map(entry.public) for entry in log.entries if entry.kind == "CredentialIssued"]
    assert len(issues) == 4
    for issue in issues:
        shown = b"".join(issue[name] for name in ("voter", "identity", "blinded", "identity_sig", "blind_sig"))
        for ballot in ballots(log):
            for part in (ballot.bpk, ballot.bid, ballot.prefix, ballot.credential, ballot.envelope, ballot.signature):
                assert not shared(shown, part)


def test_every_issue_fits_every_ballot_equally_well(log: ElectionLog) -> None:
    """The blinding is perfect: for each pair there is exactly one blinding factor under which they belong together."""
    n = int.from_bytes(modulus("registrar"), "big")
    issues = [decode_map(entry.public) for entry in log.entries if entry.kind == "CredentialIssued"]
    for issue, ballot in itertools.product(issues, ballots(log)):
        blinded, blind_sig, credential = (
            int.from_bytes(value, "big") for value in (issue["blinded"], issue["blind_sig"], ballot.credential)
        )
        factor = blind_sig * pow(credential, -1, n) % n
        assert factor not in (0, 1)
        assert pow(credential, 65537, n) * pow(factor, 65537, n) % n == blinded


def test_two_requests_for_the_same_message_have_nothing_in_common(log: ElectionLog) -> None:
    voter = log.voters[0]
    message = voter.prefix + credential_message(log.eid, voter.bpk)
    one, other = (blind(modulus("registrar"), message).message for _ in range(2))
    assert one != other
    assert not shared(one, other)


def test_a_cast_command_carries_nothing_but_the_ballot() -> None:
    """What a worker knows of a request, it cannot hand on: there is no field for it."""
    assert c.CastBallot.__struct_fields__ == ("election", "body")
