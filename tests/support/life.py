"""A ledger in dictionaries, and every command in the life of an election, for tests of what decides and what folds.

Keys and signatures are made up: who submits a command checks them, consensus does not. Only attestations are signed
with real keys of nodes: those the leader checks.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from msgspec import UNSET, UnsetType

from ballot.ledger import rsa
from ballot.ledger.decision import Decision, Draft, Known, Refusal
from ballot.ledger.entry import Entry
from ballot.ledger.frame import frame, frame_hash, u32
from ballot.voting import commands as c
from ballot.voting.ballot import BALLOT_KEY_BYTES, CREDENTIAL_BYTES, cast_frame
from ballot.voting.decide import decide, reads
from ballot.voting.definition import (
    ElectionDefinition,
    Epochs,
    Question,
    Registrar,
    Roll,
    Trustee,
    election_id,
    encode_definition,
)
from ballot.voting.fold import fold
from ballot.voting.tables import TABLES, Change, Clear, Key, Row, merge
from ballot.voting.trustee import product
from tests.support.chain import ORIGIN, chain, genesis
from tests.support.keys import long_key, real_members

OPENS_US = 1_800_000_000_000_000
CLOSES_US = OPENS_US + 3_600_000_000
VOTING_US = OPENS_US + 1
EPOCHS = Epochs(interval_us=600_000_000, ballots=20)
QUESTION = Question("Budget?", "plurality", ["Yes", "No"], 1)


class State:
    """What a log folds to: rows by table and key."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Row]] = {name: {} for name in TABLES}

    def get(self, table: str, *key: Any) -> Row | None:
        return self.tables[table].get(key)

    def apply(self, entry: Entry) -> None:
        self.merge(entry.index, fold(entry))

    def merge(self, index: int, changes: Iterable[Change]) -> None:
        for change in changes:
            rows = self.tables[change.table]
            if isinstance(change, Clear):
                for key in [key for key, row in rows.items() if row.get(change.column) == change.value]:
                    del rows[key]
            else:
                rows[change.key] = merge(rows.get(change.key), change, index)

    def rows(self) -> dict[str, dict[Key, Row]]:
        """Every row with every column, None where it was never set, as PostgreSQL has it."""
        return {
            name: {
                key: {column: row.get(column) for column in (*TABLES[name].columns, "at")} for key, row in rows.items()
            }
            for name, rows in self.tables.items()
        }


class OnlyWhatWasRead:
    """The state, where a decision may look only at the rows that it said it would read."""

    def __init__(self, state: State, places: Collection[tuple[str, Key]]) -> None:
        self._state, self._places = state, set(places)

    def get(self, table: str, *key: Any) -> Row | None:
        if (table, key) not in self._places:
            raise KeyError(f"{table} {key!r} was not to be read")
        return self._state.get(table, *key)


class Ledger:
    """A log whose every entry is applied at once. What is in flight looks the same to a decision."""

    def __init__(self) -> None:
        self.entries: list[Entry] = [genesis(real_members(3))]
        self.state = State()
        self.state.apply(self.entries[0])

    def submit(self, command: c.AnyCommand, now_us: int = VOTING_US) -> Decision:
        """Decides on the bytes of the command, as the leader does, and records what comes of it."""
        received = c.decode_command(c.encode_command(command))
        decision = decide(OnlyWhatWasRead(self.state, reads(received)), received, now_us)
        if not isinstance(decision, Refusal | Known):
            self.record(decision)
        return decision

    def record(self, drafts: Sequence[Draft]) -> None:
        for entry in chain(drafts, after=self.entries[-1]):
            self.entries.append(entry)
            self.state.apply(entry)

    def rewind(self, index: int) -> None:
        """Forgets every entry after `index`."""
        del self.entries[index:]
        self.state = State()
        for entry in self.entries:
            self.state.apply(entry)

    def record_all(self, commands: Iterable[c.AnyCommand]) -> None:
        """Every one of these must be accepted."""
        for command in commands:
            decision = self.submit(command)
            assert not isinstance(decision, Refusal | Known), (type(command).__name__, decision)


def name16(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def stuff(length: int, *parts: object) -> bytes:
    """Made-up bytes, the same for the same parts."""
    return hashlib.shake_256(repr(parts).encode()).digest(length)


@cache
def attestation(eid: bytes, node: int, digest: bytes, key: int = 1) -> bytes:
    """With the key that all nodes of `real_members` have, or another; the same each time."""
    return rsa.sign(long_key(key), frame("attest", eid, u32(node), digest))


class Life:
    """One election with `voters` voters and `trustees` trustees, command by command. `label` tells lives apart."""

    def __init__(
        self,
        label: str = "one",
        voters: int = 3,
        trustees: int = 2,
        closes_us: int = CLOSES_US,
        claims_s: int = 0,
        epochs: Epochs | UnsetType = UNSET,
    ) -> None:
        self.label, self.closes_us, self.claims_s, self.epochs = label, closes_us, claims_s, epochs
        # Early enough for the first epoch to end as soon as it has its ballots.
        self.opens_us = OPENS_US if epochs is UNSET else OPENS_US - epochs.interval_us
        self.election = name16(f"election {label}")
        self.organiser = self.user("organiser")
        self.voters = [f"voter {number}" for number in range(voters)]
        self.trustees = list(range(1, trustees + 1))
        self.leaves = [stuff(80, label, voter) for voter in self.voters]

    # -- people

    def command(self, *parts: object) -> bytes:
        return stuff(16, self.label, "command", *parts)

    def user(self, who: str) -> bytes:
        return name16(f"{self.label} {who}")

    def tag(self, who: str) -> bytes:
        return stuff(32, self.label, "tag", who)

    def register(self, who: str) -> c.RegisterUser:
        return c.RegisterUser(
            self.command("register", who), self.user(who), self.tag(who), f"{who}@example.org", b"$2b$" + who.encode()
        )

    def change_password(self, who: str) -> c.ChangePassword:
        return c.ChangePassword(self.command("password", who), self.user(who), self.tag(who), b"$2b$new")

    def identity(self, who: str) -> bytes:
        return frame_hash("rsa-key", stuff(384, self.label, "identity", who))

    def enrol(self, who: str) -> c.EnrolIdentityKey:
        return c.EnrolIdentityKey(self.user(who), stuff(384, self.label, "identity", who), stuff(384, "signature"))

    def grant(self, role: str = "organiser") -> c.GrantRole:
        return c.GrantRole(stuff(16, self.label, "grant", role), self.organiser, role, b"")

    def withdraw(self, role: str = "organiser") -> c.WithdrawRole:
        return c.WithdrawRole(stuff(16, self.label, "withdraw", role), self.organiser, role, b"")

    def people(self) -> list[c.AnyCommand]:
        people = ["organiser", *self.voters]
        return [*map(self.register, people), *map(self.enrol, self.voters), self.grant()]

    # -- the draft

    def draft(self) -> c.DraftElection:
        return c.DraftElection(self.election, self.organiser, b'{"title":"Draft"}')

    def amend(self) -> c.AmendElection:
        return c.AmendElection(self.command("amend"), self.election, self.organiser, b'{"title":"Better"}')

    def new_voter(self, who: str, weight: int = 1) -> c.NewVoter:
        return c.NewVoter(self.user(who), self.tag(who), f"{who}@example.org", stuff(32, "salt", who), weight)

    def add(self, *who: str) -> c.AddVoters:
        voters = [self.new_voter(name) for name in who]
        return c.AddVoters(self.command("add", *who), self.election, self.organiser, voters)

    def invite(self, number: int) -> c.InviteTrustee:
        who = f"trustee {number}"
        address, name = f"{who}@example.org", f"Trustee {number}"
        user, tag = self.user(who), self.tag(who)
        return c.InviteTrustee(self.command("invite", number), self.election, self.organiser, user, tag, address, name)

    def decline(self, number: int, again: int = 0) -> c.WithdrawTrustee:
        command = self.command("withdraw", number, again)
        return c.WithdrawTrustee(command, self.election, self.organiser, self.user(f"trustee {number}"))

    def factors(self, number: int) -> tuple[bytes, bytes]:
        """Two numbers, no primes, whose product fills its bytes as a modulus does."""
        return b"\xff" + stuff(191, self.label, "p", number), b"\xc0" + stuff(191, self.label, "q", number)

    def trustee(self, number: int) -> c.EnrolTrustee:
        n, user = product(*self.factors(number)), self.user(f"trustee {number}")
        return c.EnrolTrustee(self.election, user, f"Trustee {number}", n, stuff(384, "proof", number))

    def enrolling(self, *numbers: int) -> list[c.AnyCommand]:
        """These trustees are invited and then enrol."""
        return [*map(self.invite, numbers), *map(self.trustee, numbers)]

    def trusting(self) -> list[c.AnyCommand]:
        """All trustees enrol; somebody else who was invited declines."""
        declines: list[c.AnyCommand] = [self.invite(99), self.decline(99)]
        return [*declines, *self.enrolling(*self.trustees)] if self.trustees else []

    def drafting(self) -> list[c.AnyCommand]:
        return [self.draft(), self.amend(), self.add(*self.voters), *self.trusting()]

    # -- open

    @property
    def definition(self) -> bytes:
        trustees = [Trustee(f"Trustee {number}", self.trustee(number).n.hex()) for number in self.trustees]
        definition = ElectionDefinition(
            title=f"Election {self.label}",
            questions=[QUESTION],
            opens_us=self.opens_us,
            closes_us=self.closes_us,
            pad_len=64,
            k=len(trustees) // 2 + 1,
            trustees=trustees or [Trustee("cluster", product(*self.factors(1)).hex())],
            registrars=[Registrar(1, stuff(384, self.label, "registrar").hex())],
            roll=Roll(len(self.leaves), stuff(32, self.label, "roll").hex()),
            origin=ORIGIN,
            genesis="f" * 64,
            claims_s=self.claims_s or UNSET,
            epochs=self.epochs,
        )
        return encode_definition(definition)

    @property
    def eid(self) -> bytes:
        return election_id(self.definition)

    def open(self, **changes: Any) -> c.OpenElection:
        fields: dict[str, Any] = {
            "election": self.election,
            "organiser": self.organiser,
            "draft": b'{"title":"Better"}',
            "definition": self.definition,
            "leaves": self.leaves,
            "root": stuff(32, self.label, "roll"),
            "registrar_keys": [b"-----BEGIN PRIVATE KEY-----"],
            "trustee_key": b"",
            "trustee_changes": len(self.trusting()),
        }
        return c.OpenElection(**(fields | changes))

    def start(self) -> c.StartElection:
        return c.StartElection(self.election)

    def opening(self) -> list[c.AnyCommand]:
        """Opened ahead of its time, as every entry here is sealed long before `OPENS_US`, and then started."""
        return [self.open(), self.start()]

    # -- mail

    def order_mail(self, kind: str = "invitation", number: int = 1) -> c.OrderMail:
        return c.OrderMail(self.command("mail", kind, number), self.election, self.organiser, kind)

    def claim_mail(
        self, *who: str, kind: str = "invitation", number: int = 1, last: bool = False, name: object = ""
    ) -> c.ClaimMail:
        claim = self.mail_claim(*who, kind=kind, number=number, name=name)
        return c.ClaimMail(claim, self.election, kind, number, [*map(self.user, who)], last)

    def mail_claim(self, *who: str, kind: str = "invitation", number: int = 1, name: object = "") -> bytes:
        return self.command("claim", kind, number, name, *who)

    def report_mail(
        self, claim: bytes, outcomes: Mapping[str, str], kind: str = "invitation", *, final: bool = True
    ) -> c.ReportMail:
        told = [c.MailOutcome(self.user(who), state, f"said {state}") for who, state in outcomes.items()]
        return c.ReportMail(claim, self.election, kind, final, told)

    def bounce(self, claim: bytes, who: str, kind: str = "invitation") -> c.RecordBounce:
        return c.RecordBounce(claim, self.election, kind, self.user(who), "550 no such user")

    def mailing(self) -> list[c.AnyCommand]:
        """Everybody is invited: the mail to the first comes back at once, that to the last later."""
        claim = self.mail_claim(*self.voters)
        states = dict.fromkeys(self.voters, "sent") | {self.voters[0]: "bounced"}
        commands: list[c.AnyCommand] = [
            self.order_mail(),
            self.claim_mail(*self.voters, last=True),
            self.report_mail(claim, states),
        ]
        return commands + ([self.bounce(claim, self.voters[-1])] if len(self.voters) > 1 else [])

    # -- voting

    def issue(self, who: str, **changes: Any) -> c.IssueCredential:
        fields: dict[str, Any] = {
            "election": self.election,
            "eid": self.eid,
            "voter": self.user(who),
            "identity": self.identity(who),
            "blinded": stuff(384, self.label, "blinded", who),
            "identity_sig": stuff(384, "identity sig"),
            "blind_sig": stuff(384, "blind sig", who),
        }
        return c.IssueCredential(**(fields | changes))

    def bpk(self, who: str) -> bytes:
        return stuff(BALLOT_KEY_BYTES, self.label, "bpk", who)

    def prefix(self, who: str) -> bytes:
        return stuff(32, self.label, "prefix", who)

    def credential(self, who: str) -> bytes:
        return stuff(CREDENTIAL_BYTES, self.label, "credential", who)

    def body(self, who: str, choice: object = "yes", eid: bytes | None = None) -> bytes:
        envelope = stuff(64, self.label, "envelope", who, choice)
        cast = cast_frame(eid or self.eid, self.bpk(who), self.prefix(who), self.credential(who), envelope)
        return frame("ballot", cast, stuff(BALLOT_KEY_BYTES, "ballot sig", choice))

    def cast(self, who: str, choice: object = "yes") -> c.CastBallot:
        return c.CastBallot(self.election, self.body(who, choice))

    def voting(self, *casting: str) -> list[c.AnyCommand]:
        """Everybody asks for a credential; those named, or all, cast."""
        return [*map(self.issue, self.voters), *map(self.cast, casting or self.voters)]

    # -- after the close

    def close(self, by: bytes | None = None) -> c.CloseElection:
        return c.CloseElection(self.election, self.organiser if by is None else by)

    def cancel(self) -> c.CancelElection:
        return c.CancelElection(self.election, self.organiser)

    def end_epoch(self, epoch: int = 0) -> c.EndEpoch:
        return c.EndEpoch(self.election, epoch)

    def in_epochs(self) -> list[c.AnyCommand]:
        """From the draft to the board: an epoch in two chunks, and the rest, in which another was held back."""
        first, second, rest = (self.crowd(start) for start in (0, 20, 40))
        one, other = self.sorted_bodies(*first), self.sorted_bodies(*second, *rest[:1])
        return [
            self.draft(),
            *self.opening_alone(),
            *map(self.cast, first),
            self.end_epoch(),
            *map(self.cast, second),
            self.publish(0, one[:5], last=False),
            self.publish(1, one[5:], last=False),
            self.end_epoch(1),
            self.cast(rest[0]),
            self.close(),
            self.publish(2, other, last=True, epoch=1),
        ]

    def opening_alone(self) -> tuple[c.AnyCommand, ...]:
        """Nobody registered: the casts of a crowd are all it takes."""
        add = self.add("one", "two", "three")
        return add, self.open(draft=b'{"title":"Draft"}', trustee_key=b"key"), self.start()

    def crowd(self, start: int, count: int = 20) -> list[str]:
        return [f"{number} of the crowd" for number in range(start, start + count)]

    def publish(self, chunk: int, bodies: Sequence[bytes], *, last: bool, epoch: int = 0) -> c.PublishBallots:
        return c.PublishBallots(self.election, chunk, last, list(bodies), epoch)

    def sorted_bodies(self, *casting: str) -> list[bytes]:
        return sorted(map(self.body, casting or self.voters), key=lambda body: hashlib.sha256(body).digest())

    def board(self, *casting: str) -> list[c.AnyCommand]:
        """The ballots of those named, or of all, in two chunks."""
        bodies = self.sorted_bodies(*casting)
        return [self.publish(0, bodies[:1], last=False), self.publish(1, bodies[1:], last=True)]

    def erase(self, first: int = 1, last: int = 1, *, final: bool = True) -> c.EraseCasts:
        return c.EraseCasts(self.election, first, last, final)

    def erase_user(self, who: str, state: State, **changes: Any) -> c.EraseUser:
        """Erases somebody who is no trustee: on this roll, whose addresses are all in one entry, or on none."""
        user, account = self.user(who), state.get("accounts", self.tag(who)) or {}
        rolls: list[c.KeptRoll] = []
        parts: set[int] = {account[name] for name in ("address_at", "password_at") if account.get(name)}
        row = state.get("roll", self.election, user) or {}
        if source := row.get("added_at"):
            others = [other for other in self.voters if self._is_with(state, other, source) and other != who]
            rolls = [c.KeptRoll(source, self.election, [self._kept(other) for other in others])]
            parts.add(source)
        kinds = {account.get("password_at"): "UserRegistered"}
        fields: dict[str, Any] = {
            "command": self.command("erase", who),
            "user": user,
            "by": user,
            "tag": self.tag(who),
            "elections": [self.election] if row else [],
            "rolls": rolls,
            "parts": [c.Part(index, kinds.get(index, "VotersAdded")) for index in sorted(parts)],
            "organises": [row["election"] for row in state.tables["elections"].values() if row["organiser"] == user],
            "trustee_of": [
                row["election"]
                for row in state.tables["invited_trustees"].values()
                if row["user_id"] == user and row.get("invited_at")
            ],
        }
        return c.EraseUser(**(fields | changes))

    def _is_with(self, state: State, who: str, source: int) -> bool:
        row = state.get("roll", self.election, self.user(who))
        return row is not None and row["added_at"] == source

    def _kept(self, who: str) -> c.Kept:
        return c.Kept(self.user(who), self.tag(who), f"{who}@example.org", stuff(32, "salt", who))

    def claim(self, who: str, eid: bytes | None = None) -> c.ClaimUnused:
        eid = eid or self.eid
        return c.ClaimUnused(
            self.election, eid, self.bpk(who), self.prefix(who), self.credential(who), stuff(256, "claim")
        )

    def release(self, number: int, size: int = 1_000_000) -> c.ReleaseTrusteeKey:
        p, q = self.factors(number)
        return c.ReleaseTrusteeKey(self.election, number, p, q, size, stuff(32, "root"), stuff(384, "release"))

    def seeds(self, chunk: int, *, last: bool) -> c.PublishSeeds:
        return c.PublishSeeds(self.election, chunk, last, [stuff(32, "seed", chunk), b""])

    def tally(self) -> c.PublishTally:
        return c.PublishTally(self.election, b'{"version":1}')

    def attest(self, node: int, document: bytes = b'{"version":1}') -> c.AttestTally:
        digest = hashlib.sha256(document).digest()
        return c.AttestTally(self.election, node, digest, attestation(self.eid, node, digest))

    def ending(self) -> list[c.AnyCommand]:
        """From the close to the last attestation; the last voter claims that its credential was never cast."""
        casting = self.voters[:-1]
        return [
            self.close(),
            *self.board(*casting),
            self.erase(1, 2, final=False),
            self.erase(3, 9),
            self.claim(self.voters[-1]),
            *map(self.release, self.trustees),
            self.seeds(0, last=False),
            self.seeds(1, last=True),
            self.tally(),
            self.attest(1),
            self.attest(2, b"another count"),
        ]

    def whole(self) -> list[c.AnyCommand]:
        """Every kind of command but the cancelling, in an order in which each is accepted."""
        return [
            *self.people(),
            self.change_password("organiser"),
            *self.drafting(),
            *self.opening(),
            *self.mailing(),
            *self.voting(*self.voters[:-1]),
            *self.ending(),
        ]


class Crowd:
    """Commands of several elections at once, mixed by chance: most are next in their election, some are anything."""

    def __init__(self, rng: random.Random, lives: int = 3) -> None:
        self._rng = rng
        self.lives = [
            Life(f"{number}", voters=rng.randrange(1, 5), trustees=rng.randrange(3)) for number in range(lives)
        ]
        self._queues = [life.whole() for life in self.lives]
        self._all = [command for queue in self._queues for command in queue]
        self._all += [command for life in self.lives for command in self._more(life)]

    @staticmethod
    def _more(life: Life) -> list[c.AnyCommand]:
        """What `whole` leaves out: other answers, other keys, things out of turn."""
        voter = life.voters[0]
        return [
            life.cancel(),
            life.cast(voter, "no"),
            life.issue(voter, blinded=stuff(384, "another")),
            c.EnrolIdentityKey(life.user(voter), stuff(384, "newer", life.label), b""),
            life.claim(voter),
            life.grant("admin"),
            life.add("late"),
            life.attest(3),
        ]

    def next(self, count: int) -> list[c.AnyCommand]:
        """The next `count` commands."""
        return [self._next() for _ in range(count)]

    def _next(self) -> c.AnyCommand:
        queue = self._rng.choice(self._queues)
        if queue and self._rng.random() < 0.85:
            return queue.pop(0)
        return self._rng.choice(self._all)

    @property
    def done(self) -> bool:
        return not any(self._queues)


def random_ledger(seed: int) -> Ledger:
    """A ledger after some hundred random commands."""
    crowd, made = Crowd(random.Random(seed)), Ledger()
    while not crowd.done:
        for command in crowd.next(5):
            made.submit(command)
    return made
