"""After the board: released keys, seeds, the count made again, and what the nodes attest."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Any

from ..ledger.membership import MembershipError
from ..ledger.proof import ProofError
from ..voting import document
from ..voting.attestation import attestation_message
from ..voting.definition import ElectionDefinition
from ..voting.tally import Vote, count_document
from ..voting.trustee import key_problem, release_message
from . import events as e
from .accounting import find_minted
from .pool import Flaw
from .report import Accounting, Level, Minting, Outcome
from .scene import Election, Handlers, Scene
from .verify import Primes, check_pss, open_ballots

OPEN_BATCH = 64
# Opening so many in this process takes as long as starting others and loading the keys there.
SPREAD_FROM = 1000

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`; `total` is 0 while it is not known."""


def released(scene: Scene, index: int, event: e.TrusteeKeyReleased) -> None:
    """A key that fails any check of its numbers counts as withheld."""
    election = scene.election(index, event.election, event.eid)
    if election is None or election.definition is None:
        return
    trustees = election.definition.trustees
    if not 1 <= event.number <= len(trustees):
        scene.find(Level.COUNT, "UnknownTrustee", index, f"there is no trustee {event.number}")
        return
    modulus = bytes.fromhex(trustees[event.number - 1].n)
    message = release_message(event.eid, event.size, event.root)
    scene.check(index, check_pss, "ReleaseSignature", modulus, event.signature, message)
    _check_release_point(scene, index, election, event)
    if problem := key_problem(modulus, event.p, event.q):
        scene.find(Level.COUNT, "BadTrusteeKey", index, f"trustee {event.number}: {problem}")
    else:
        election.released[event.number] = int.from_bytes(event.p, "big"), int.from_bytes(event.q, "big")


def _check_release_point(scene: Scene, index: int, election: Election, event: e.TrusteeKeyReleased) -> None:
    """The tree that the trustee saw is this log's, and has the whole board in it."""
    if not election.published_at or event.size < election.published_at:
        scene.find(Level.COUNT, "ReleasedTooEarly", index, "the checkpoint does not cover the whole board")
    try:
        agrees = scene.tree.root(event.size) == event.root
    except ProofError:
        agrees = False
    if not agrees:
        scene.find(Level.COUNT, "ReleaseRootDiffers", index, "the trustee saw another log than this one")


def seeds_published(scene: Scene, index: int, event: e.TallySeeds) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if not election.published_at or election.tally_at:
        scene.find(Level.COUNT, "SeedsOutOfOrder", index, "seeds come between board and count")
    if event.chunk != election.seed_chunks:
        scene.find(Level.COUNT, "SeedsOutOfOrder", index, f"chunk {election.seed_chunks} comes next")
    election.seed_chunks = event.chunk + 1
    election.seed_places.append((election.seeds.count, index))
    election.seeds_ended = event.last
    for seed in event.seeds:
        election.seeds.append(seed)
    if election.seeds.count > election.board.count or (event.last and election.seeds.count < election.board.count):
        detail = f"{election.seeds.count} seeds for {election.board.count} ballots"
        scene.find(Level.COUNT, "SeedCountDiffers", index, detail)


def tallied(scene: Scene, index: int, event: e.TallyPublished) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if not election.published_at:
        scene.find(Level.COUNT, "TalliedTooEarly", index, "the count comes before the board")
    if election.tally_at:
        scene.find(Level.COUNT, "TalliedTwice", index, f"entry {election.tally_at} has a count already")
        return
    if election.seeds.count < election.board.count and election.seed_chunks and not election.seeds_ended:
        scene.find(Level.COUNT, "SeedsOutOfOrder", index, "the count comes before the last seeds")
    election.status, election.tally, election.tally_at = "tallied", event.document, index
    election.spill()
    with suppress(document.DocumentError, KeyError, TypeError, ValueError):
        stated = document.decode(event.document)["ballots"]
        election.stated = int(stated["valid"]), int(stated["invalid"])


def attested(scene: Scene, index: int, event: e.TallyAttested) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None:
        return
    if not election.tally_at:
        scene.find(Level.COUNT, "AttestedTooEarly", index, "there is no count to attest")
    if event.node in election.attested:
        scene.find(Level.COUNT, "AttestedTwice", index, f"node {event.node} attested already")
    election.attested[event.node], election.attested_at[event.node] = event.digest, index
    if event.agrees != (event.digest == hashlib.sha256(election.tally).digest()):
        scene.find(Level.COUNT, "AttestationMisstated", index, f"node {event.node}: digest and verdict disagree")
    try:
        if scene.membership is None:
            raise MembershipError("the nodes are not known")
        modulus = scene.membership.node(event.node).rsa
    except MembershipError as error:
        scene.find(Level.COUNT, "UnknownNode", index, str(error))
        return
    message = attestation_message(event.eid, event.node, event.digest)
    scene.check(index, check_pss, "AttestationSignature", modulus, event.signature, message)


class Recount:
    """The count of one election, made again from its board. `document` is empty if it could not be made.

    By default `by_seed` where a seed proves a ballot, else `by_keys`; with `reopen` every ballot by the keys.
    """

    def __init__(self, scene: Scene, election: Election, *, reopen: bool = False) -> None:
        self._scene, self._election, self._reopen = scene, election, reopen
        self.valid = self.invalid = self.by_seed = self.by_keys = 0
        self.document = b""
        self.outcomes: list[Outcome] = []
        self._silent: dict[int, int] = {}

    def run(self, progress: Progress) -> None:
        election, definition = self._election, self._election.definition
        if definition is None or not election.published_at or not self._can_open(definition):
            return
        made = count_document(definition, election.eid, self._votes(progress))
        self.document = made
        self.outcomes = _outcomes(definition, made)
        self._check_weights(made)
        if election.tally_at and made != election.tally:
            detail = f"the count is {_summary(made)}, published is {_summary(election.tally)}"
            self._scene.find(Level.COUNT, "TallyDiffers", election.tally_at, detail)

    def _check_weights(self, made: bytes) -> None:
        """Of no weight more ballots may count than credentials were issued for it."""
        election = self._election
        issued, claimed = election.issued_for, election.claimed_weights
        counted = {int(weight): ballots for weight, ballots in document.decode(made)["weights"].items()}
        self._silent = {weight: issued[weight] - ballots - claimed[weight] for weight, ballots in counted.items()}
        for weight, silent in self._silent.items():
            if silent < 0 and len(counted) > 1:
                numbers = issued[weight], counted[weight], claimed[weight]
                minting = Minting(election.published_at, weight, *numbers, dict(election.spans))
                find_minted(self._scene, election.published_at, election, minting)

    def complete(self, accounting: Accounting) -> Accounting:
        """With what the count tells, if there is one."""
        if not self.document:
            return accounting
        votes = self._silent_votes(accounting.silent)
        return replace(accounting, valid=self.valid, invalid=self.invalid, silent_votes=votes)

    def _silent_votes(self, silent: int) -> int:
        """What `silent` credentials that nobody has heard of could at most have been worth, as far as was counted."""
        if len(self._silent) == 1:
            return silent * next(iter(self._silent))
        return sum(weight * number for weight, number in self._silent.items())

    def _can_open(self, definition: ElectionDefinition) -> bool:
        election = self._election
        if len(election.released) >= definition.k:
            return True
        if election.seeds.count == election.board.count and not self._reopen:
            return True
        if election.tally_at:
            detail = f"{len(election.released)} of {definition.k} keys, {election.seeds.count} seeds"
            self._scene.find(Level.COUNT, "CannotRecount", election.tally_at, detail)
        return False

    def _votes(self, progress: Progress) -> Iterator[Vote | None]:
        total = self._election.board.count
        spread = total >= SPREAD_FROM
        for results in self._scene.pool.map(open_ballots, self._batches(), spread):
            for vote, by_seed, flaws in results:
                for flaw in flaws:
                    self._scene.report(self._place(flaw), flaw)
                self.valid += vote is not None
                self.invalid += vote is None
                self.by_seed += by_seed
                self.by_keys += not by_seed
                yield vote
            progress("opening ballots", self.valid + self.invalid, total)

    def _place(self, flaw: Flaw) -> int:
        """The entry to name for the ballot that is being opened: where its seed is, or where it is counted without."""
        if flaw.name == "KeysMissing":
            return self._election.tally_at or self._election.published_at
        places = self._election.seed_places
        chunk = bisect_right(places, self.valid + self.invalid, key=itemgetter(0))
        return places[chunk - 1][1] if chunk else self._election.tally_at or self._election.published_at

    def _batches(self) -> Iterator[tuple[Any, ...]]:
        election = self._election
        primes: Primes = tuple((number, *pq) for number, pq in sorted(election.released.items()))
        bodies, seeds = iter(election.board), chain(election.seeds, repeat(None))
        while batch := list(islice(bodies, OPEN_BATCH)):
            yield election.document, election.eid, primes, batch, list(islice(seeds, len(batch))), self._reopen


def check_attestations(scene: Scene, election: Election, made: bytes) -> list[int]:
    """The nodes that attest another count than the published one, each a finding. `made`: the count made here."""
    published, own = hashlib.sha256(election.tally).digest(), hashlib.sha256(made).digest() if made else b""
    dissenting = [node for node, digest in sorted(election.attested.items()) if digest != published]
    for node in dissenting:
        right = {published: "the published one", election.attested[node]: f"that of node {node}"}
        verdict = right.get(own, "neither of them") if made else "not known"
        detail = f"node {node} attests another count than the published one; the count made here is {verdict}"
        scene.find(Level.COUNT, "TallyDisputed", election.attested_at[node], detail)
    return dissenting


def _outcomes(definition: ElectionDefinition, made: bytes) -> list[Outcome]:
    results: list[dict[str, Any]] = document.decode(made)["questions"]
    return [
        Outcome(
            text=question.text,
            method=question.method,
            rounds=len(result["rounds"]),
            winners=result["winners"],
            names=[question.candidates[winner] for winner in result["winners"]],
            margin=result["margin"],
        )
        for question, result in zip(definition.questions, results, strict=True)
    ]


def _summary(made: bytes) -> str:
    """What a count document says, in a few words."""
    try:
        value = document.decode(made)
        ballots, results = value["ballots"], value["questions"]
        winners = "; ".join(str(result["winners"]) for result in results)
        return f"{ballots['valid']} valid, {ballots['invalid']} invalid, winners {winners}"
    except (document.DocumentError, KeyError, TypeError):
        return "no count document"


HANDLERS: Handlers = {
    e.TrusteeKeyReleased: released,
    e.TallySeeds: seeds_published,
    e.TallyPublished: tallied,
    e.TallyAttested: attested,
}
