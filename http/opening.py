"""Opening an election: the roll and the definition are frozen, and fresh keys made, before consensus hears of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..ledger import rsa
from ..ledger.entry import Entry, parse
from ..ledger.frame import frame_hash
from ..ledger.proof import root_of
from ..projections import queries
from ..projections.trustees import of as trustees_of
from ..voting import commands as c
from ..voting.ballot import roll_leaf
from ..voting.definition import DefinitionError, Registrar, Roll, Trustee, encode_definition
from .drafts import Draft, decode_draft, define
from .problems import Refused
from .services import Services

log = logging.getLogger("ballot.elections")

KEY_BITS = 3072
CLUSTER = "cluster"
# Every weight has a key of its own, whose holders are told apart by it.
MOST_WEIGHTS = 64

Hidden = dict[tuple[int, bytes], tuple[str, bytes]]


async def open_election(services: Services, row: queries.Election) -> None:
    """Raises Refused (NotADraft, AlreadyOpened, RollEmpty, RollChanged, DraftChanged, TrusteesChanged, TrusteeMissing,
    BadDefinition), Unavailable.
    """
    refuse_early(row)
    async with services.reading() as connection:
        voters = await queries.roll(connection, row.election)
        invited = (await trustees_of(connection, [row.election]))[row.election]
        hidden = await services.private.many(connection, (voter.added_at for voter in voters))
        first = await queries.entry(connection, 1)
    assert first is not None, "a log without a genesis"
    addresses = {
        (index, voter): (address, salt)
        for index, fields in hidden.items()
        for voter, _tag, address, salt in fields.get("addresses", ())
    }
    enrolled = [(trustee.name, trustee.n) for trustee in invited if trustee.n is not None]
    if len(enrolled) < len(invited):
        raise Refused("TrusteeMissing", f"{len(invited) - len(enrolled)} of the trustees have not enrolled a key yet")
    leaves, root = await asyncio.to_thread(build_roll, voters, addresses)
    weights = sorted({voter.weight for voter in voters})
    if len(weights) > MOST_WEIGHTS:
        raise Refused("BadDefinition", f"an election has at most {MOST_WEIGHTS} different weights")
    keys = [await asyncio.to_thread(rsa.generate, KEY_BITS) for _ in weights]
    own = None if enrolled else await asyncio.to_thread(rsa.generate, KEY_BITS)
    registrars = [Registrar(weight, rsa.modulus(key).hex()) for weight, key in zip(weights, keys, strict=True)]
    holders = enrolled if own is None else [(CLUSTER, rsa.modulus(own))]
    frozen, genesis = Roll(len(leaves), root.hex()), parse(*first_parts(first))
    definition = define_election(decode_draft(row.draft), registrars, holders, frozen, genesis)
    command = c.OpenElection(
        row.election,
        row.organiser,
        row.draft,
        definition,
        leaves,
        root,
        [rsa.dump_private(key) for key in keys],
        b"" if own is None else rsa.dump_private(own),
        row.trustee_changes,
    )
    await services.submit(command)
    log.info("election opened", extra={"voters": len(leaves), "weights": len(weights), "trustees": len(enrolled)})


def refuse_early(row: queries.Election) -> None:
    """Before any key is made; consensus asks the same again. Raises Refused."""
    if row.eid is not None:
        raise Refused("AlreadyOpened", "the election was opened before")
    if row.status not in ("draft", "frozen"):
        raise Refused("NotADraft", f"the election is {row.status}")
    if not row.roll_size:
        raise Refused("RollEmpty", "nobody is on the roll: add voters first")


def build_roll(voters: Sequence[queries.Voter], addresses: Hidden) -> tuple[list[bytes], bytes]:
    """The sorted leaves of the roll and their RFC 6962 root. `addresses`: (added_at, voter) to (address, salt)."""
    leaves = []
    for voter in voters:
        address, salt = addresses[voter.added_at, voter.voter]
        leaves.append(roll_leaf(voter.voter, voter.weight, frame_hash("email", salt, address.encode())))
    leaves.sort()
    return leaves, root_of(leaves)


def first_parts(first: queries.LogEntry) -> tuple[bytes, bytes]:
    return first.header, first.public


def define_election(
    draft: Draft, registrars: Sequence[Registrar], holders: Sequence[tuple[str, bytes]], roll: Roll, genesis: Entry
) -> bytes:
    """The definition's document; `holders` are the trustees' names and moduli in their order. Raises
    Refused(BadDefinition).
    """
    trustees = [Trustee(name, n.hex()) for name, n in holders]
    k, origin = draft.needed(len(trustees)), str(genesis.fields["origin"])
    definition = define(draft, k, trustees, registrars, roll, origin, genesis.hash.hex())
    try:
        return encode_definition(definition)
    except DefinitionError as error:
        raise Refused("BadDefinition", str(error)) from error
