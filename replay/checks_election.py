"""Who may vote, and on what: identity keys, rolls, trustees, definitions."""

from __future__ import annotations

from ..ledger.frame import FrameError, parse_frame, read_u32
from ..ledger.proof import root_of
from ..voting.definition import DefinitionError, ElectionDefinition, decode_definition, election_id
from ..voting.trustee import asked_threshold, enrolment_message, threshold
from . import events as e
from .checks_chain import check_key
from .checks_keys import check_enrolled
from .report import Level
from .scene import Election, Handlers, Scene
from .table import Table
from .verify import check_pss


def identity_enrolled(scene: Scene, index: int, event: e.IdentityKeyEnrolled) -> None:
    scene.check(index, check_enrolled, event.user, event.n, event.signature)
    scene.enrol(index, event.user, event.n)


def drafted(scene: Scene, index: int, event: e.ElectionDrafted) -> None:
    if event.election in scene.elections:
        scene.find(Level.BALLOTS, "DraftedTwice", index, f"election {event.election.hex()} exists already")
    else:
        scene.elections[event.election] = Election(event.election, scene.scratch, draft=event.draft)


def amended(scene: Scene, index: int, event: e.ElectionAmended) -> None:
    election = _draft(scene, index, event.election)
    if election is not None:
        election.draft = event.draft


def cancelled(scene: Scene, index: int, event: e.ElectionCancelled) -> None:
    election = scene.election(index, event.election)
    if election is not None:
        if election.closed:
            scene.find(Level.BALLOTS, "CancelledAfterClose", index, "ballots exist that would never be counted")
        election.status = "cancelled"
        election.spill()


def voters_added(scene: Scene, index: int, event: e.VotersAdded) -> None:
    election = _draft(scene, index, event.election)
    if election is not None:
        for voter, weight in event.voters:
            if voter not in election.added:
                election.added.put(voter, weight)


def voters_kept(scene: Scene, index: int, event: e.VotersKept) -> None:
    election = scene.election(index, event.election)
    if election is None:
        return
    # The draft roll is forgotten once it is frozen.
    known = election.roll if len(election.roll) else election.added
    if not all(voter in known for voter in (*event.voters, event.without)):
        scene.find(Level.BALLOTS, "KeptWrongly", index, "one of these voters was never added to the roll")


def roll_frozen(scene: Scene, index: int, event: e.RollFrozen) -> None:
    election = _draft(scene, index, event.election)
    if election is None:
        return
    if event.leaves != sorted(event.leaves):
        scene.find(Level.BALLOTS, "RollUnsorted", index, "the leaves are not in order")
    if event.root != root_of(event.leaves) or event.size != len(event.leaves):
        scene.find(Level.BALLOTS, "RollRootDiffers", index, "root and size are not those of the leaves")
    known = sum(_put_on_roll(scene, index, election, leaf) for leaf in event.leaves)
    if not known == len(event.leaves) == len(election.added) == len(election.roll):
        scene.find(Level.BALLOTS, "RollDiffers", index, "the frozen roll is not made of the voters that were added")
    election.added = Table(scene.scratch)
    election.roll_root = event.root
    election.status = "frozen"


def _put_on_roll(scene: Scene, index: int, election: Election, leaf: bytes) -> bool:
    """Whether the leaf is that of a voter who was added."""
    try:
        voter, weight, address_digest = parse_frame("roll", leaf, 3)
        if len(voter) != 16 or len(address_digest) != 32:
            raise FrameError("a field of the leaf has the wrong length")
        number = read_u32(weight)
    except FrameError as error:
        scene.find(Level.STRUCTURE, "MalformedEvent", index, f"a leaf of the roll: {error}")
        return False
    if election.roll.put(voter, number) is not None:
        scene.find(Level.BALLOTS, "VoterTwiceOnRoll", index, f"voter {voter.hex()}")
    return election.added.get(voter) == number


def trustee_invited(scene: Scene, index: int, event: e.TrusteeInvited) -> None:
    election = _draft(scene, index, event.election)
    if election is not None:
        election.invited[event.user] = event.name


def trustee_withdrawn(scene: Scene, index: int, event: e.TrusteeWithdrawn) -> None:
    election = _draft(scene, index, event.election)
    if election is None:
        return
    invited, enrolled = election.invited.pop(event.user, None), election.trustees.pop(event.user, None)
    if invited is None or event.enrolled != (enrolled is not None):
        scene.find(Level.BALLOTS, "TrusteeWithdrawnWrongly", index, "no such invitation, or in another state")


def trustee_enrolled(scene: Scene, index: int, event: e.TrusteeEnrolled) -> None:
    election = _draft(scene, index, event.election)
    if election is None:
        return
    if election.invited.get(event.user) != event.name:
        scene.find(Level.BALLOTS, "TrusteeNotInvited", index, f"user {event.user.hex()} is not invited as {event.name}")
    election.enrolments += 1
    if event.number != election.enrolments or event.user in election.trustees:
        scene.find(Level.BALLOTS, "TrusteeMisnumbered", index, f"enrolment {election.enrolments} comes next")
    others = [n for _, n in election.trustees.values()]
    election.trustees[event.user] = event.name, event.n
    message = enrolment_message(event.election, event.name, event.n)
    scene.check(index, check_pss, "TrusteeKeyProof", event.n, event.proof, message)
    scene.own(index, event.n, f"a trustee of election {event.election.hex()}")
    if event.n in others:
        scene.find(Level.SIGNATURES, "KeyReused", index, f"the key of trustee {event.name} has another purpose, too")


def opened(scene: Scene, index: int, event: e.ElectionOpened) -> None:
    election = scene.election(index, event.election)
    if election is None:
        return
    if election.status != "frozen":
        scene.find(Level.BALLOTS, "OpenedWrongly", index, f"the election is {election.status}, its roll not frozen")
    if event.eid != election_id(event.definition):
        scene.find(Level.BALLOTS, "WrongElection", index, "eid is not the hash of the definition")
    try:
        definition = decode_definition(event.definition)
    except DefinitionError as error:
        scene.find(Level.STRUCTURE, "MalformedDefinition", index, str(error))
        return
    _check_threshold(scene, index, election, definition)
    election.definition, election.document = definition, event.definition
    # The first key of a weight counts, should there be two.
    election.registrars = {one.weight: bytes.fromhex(one.n) for one in reversed(definition.registrars)}
    election.eid = event.eid
    election.epoch_since_us = max(scene.time_us, definition.opens_us)
    election.status = "scheduled" if scene.time_us < definition.opens_us else "open"
    _check_definition(scene, index, election, definition)


def started(scene: Scene, index: int, event: e.ElectionStarted) -> None:
    election = scene.election(index, event.election, event.eid)
    if election is None or election.definition is None:
        return
    if election.status != "scheduled":
        scene.find(Level.BALLOTS, "StartedWrongly", index, f"the election is {election.status}")
    if scene.time_us < election.definition.opens_us:
        scene.find(Level.BALLOTS, "StartedTooEarly", index, "the opening time had not come")
    election.status = "open"


def _check_threshold(scene: Scene, index: int, election: Election, definition: ElectionDefinition) -> None:
    """Nobody but the organiser says how few trustees can open the ballots together."""
    needed = threshold(asked_threshold(election.draft), len(definition.trustees))
    if election.definition is None and definition.k != needed:
        detail = f"{definition.k} trustees open the ballots, by the draft it takes {needed}"
        scene.find(Level.BALLOTS, "ThresholdDiffers", index, detail)


def _check_definition(scene: Scene, index: int, election: Election, definition: ElectionDefinition) -> None:
    roll = definition.roll
    if roll.size != len(election.roll) or bytes.fromhex(roll.root) != election.roll_root:
        scene.find(Level.BALLOTS, "RollRootDiffers", index, "the definition names another roll than the frozen one")
    if election.invited.keys() - election.trustees.keys():
        scene.find(Level.BALLOTS, "TrusteeMissing", index, "somebody who is invited has not enrolled a key")
    named = [(trustee.name, bytes.fromhex(trustee.n)) for trustee in definition.trustees]
    if election.trustees and named != list(election.trustees.values()):
        scene.find(Level.BALLOTS, "TrusteesDiffer", index, "the definition names other trustees than those enrolled")
    origin = None if scene.membership is None else scene.membership.origin
    if definition.origin != origin or bytes.fromhex(definition.genesis) != scene.genesis:
        scene.find(Level.BALLOTS, "WrongLedger", index, "the definition is for another ledger")
    name = election.election.hex()
    for trustee in definition.trustees:
        check_key(scene, index, bytes.fromhex(trustee.n), f"a trustee of election {name}")
    for registrar in definition.registrars:
        owner = f"the registrar for weight {registrar.weight} of election {name}"
        check_key(scene, index, bytes.fromhex(registrar.n), owner)


def _draft(scene: Scene, index: int, name: bytes) -> Election | None:
    """An election that may still be changed."""
    election = scene.election(index, name)
    if election is not None and election.status != "draft":
        scene.find(Level.BALLOTS, "ChangedAfterFreeze", index, f"the election is {election.status}")
        return None
    return election


HANDLERS: Handlers = {
    e.IdentityKeyEnrolled: identity_enrolled,
    e.ElectionDrafted: drafted,
    e.ElectionAmended: amended,
    e.ElectionCancelled: cancelled,
    e.VotersAdded: voters_added,
    e.VotersKept: voters_kept,
    e.RollFrozen: roll_frozen,
    e.TrusteeInvited: trustee_invited,
    e.TrusteeWithdrawn: trustee_withdrawn,
    e.TrusteeEnrolled: trustee_enrolled,
    e.ElectionOpened: opened,
    e.ElectionStarted: started,
}
