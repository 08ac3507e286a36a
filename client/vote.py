"""The voter's arithmetic: blind, unblind, seal, sign, and the checks before and after. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..ledger import rsa
from ..ledger.entry import Entry
from ..ledger.frame import frame, frame_hash
from ..voting.ballot import cast_frame, credential_message, parse_ballot
from ..voting.blind import PREFIX_BYTES, blind, finalize, prepare
from ..voting.choice import decode_choice, encode_choice
from ..voting.counting import Choice
from ..voting.definition import DefinitionError, ElectionDefinition, decode_definition, election_id
from ..voting.envelope import Context, ballot_id, seal
from ..voting.write_in import normal_form
from .trust import Trust, Untrusted
from .wallet import Secrets


@dataclass(frozen=True)
class Election:
    """An election that this client believes in. `id` is the 16-byte id of its draft, `eid` its definition's hash.

    `weight` is what the node says our ballot weighs. A node that lies about it gains nothing unseen: the credential
    fails to verify, or it is signed with another key than the public roll demands, which every audit reports.
    """

    id: bytes
    eid: bytes
    definition: ElectionDefinition
    weight: int | None = None

    @property
    def registrar(self) -> bytes:
        """The modulus that signs credentials of our weight. Raises Untrusted when there is none."""
        registrars = self.definition.registrars
        moduli = {registrar.weight: registrar.n for registrar in registrars}
        modulus = registrars[0].n if len(registrars) == 1 else moduli.get(self.weight or 0)
        if modulus is None:
            raise Untrusted("the election has no registrar key for our weight")
        return bytes.fromhex(modulus)

    def context(self, bpk: bytes) -> Context:
        """What a ballot under this key is sealed in."""
        trustees = tuple(bytes.fromhex(trustee.n) for trustee in self.definition.trustees)
        return Context(self.eid, ballot_id(bpk), self.definition.k, trustees, self.definition.pad_len)


def believe(
    trust: Trust, election: bytes, data: bytes, eid: bytes, entry: Entry, weight: int | None = None
) -> Election:
    """The election whose definition a node showed, once it is shown to be what everybody else sees.

    `entry` is proven to be in the log (`Trust.entry`). Raises Untrusted unless it opened this election with exactly
    these bytes, on this very log: a registrar key shown to one voter alone would mark that voter's ballot.
    """
    if election_id(data) != eid:
        raise Untrusted("the election id is not the hash of the definition shown")
    shown = (entry.kind, entry.fields.get("election"), entry.fields.get("eid"), entry.fields.get("definition"))
    if shown != ("ElectionOpened", election, eid, data):
        raise Untrusted("the definition shown is not the one in the log")
    try:
        definition = decode_definition(data)
    except DefinitionError as error:
        raise Untrusted(str(error)) from error
    if (definition.origin, definition.genesis) != (trust.origin, trust.genesis_hash.hex()):
        raise Untrusted("the election belongs to another log")
    return Election(election, eid, definition, weight)


def identity_proof(identity: RSAPrivateKey, user: bytes) -> bytes:
    """PSS(identity, F(identity-key, user_id, n)), what enrols an identity key."""
    return rsa.sign(identity, frame("identity-key", user, rsa.modulus(identity)))


def begin(election: Election, ballot_key: RSAPrivateKey) -> Secrets:
    """Blinds a credential for this ballot key. To be stored before anything of it is sent."""
    bpk = rsa.modulus(ballot_key)
    prepared = prepare(credential_message(election.eid, bpk))
    blinded = blind(election.registrar, prepared)
    return Secrets(
        eid=election.eid,
        ballot_key=rsa.dump_private(ballot_key),
        prefix=prepared[:PREFIX_BYTES],
        blinded=blinded.message,
        inverse=blinded.inverse.to_bytes(len(election.registrar), "big"),
    )


def issue_request(identity: RSAPrivateKey, election: Election, voter: bytes, blinded: bytes) -> bytes:
    """PSS(identity, F(issue, eid, voter_id, H(rsa-key, identity), blinded)), what asks for the blind signature."""
    key_id = frame_hash("rsa-key", rsa.modulus(identity))
    return rsa.sign(identity, frame("issue", election.eid, voter, key_id, blinded))


def unblind(election: Election, secrets: Secrets, bpk: bytes, blind_sig: bytes) -> bytes:
    """The credential. Raises BlindError when the registrar's answer leads to none; the key must not be used again."""
    prepared = secrets.prefix + credential_message(election.eid, bpk)
    return finalize(election.registrar, prepared, blind_sig, int.from_bytes(secrets.inverse, "big"))


def seal_ballot(election: Election, ballot_key: RSAPrivateKey, secrets: Secrets, answers: Choice) -> bytes:
    """F(ballot, cast, sig) with these answers, one list a question, written names in any spelling.

    Sealed anew it would be another ballot: to be stored before it is sent, and sent again as it is. Raises
    InvalidChoice.
    """
    bpk = rsa.modulus(ballot_key)
    choice = encode_choice(
        [[normal_form(mark) if isinstance(mark, str) else mark for mark in answer] for answer in answers]
    )
    decode_choice(election.definition.questions, choice)
    envelope = seal(election.context(bpk), choice)
    cast = cast_frame(election.eid, bpk, secrets.prefix, secrets.credential, envelope)
    return frame("ballot", cast, rsa.sign(ballot_key, cast))


def check_published(names: Collection[bytes], body: bytes) -> bool:
    """Whether one's own ballot is on the board: among the names of all ballots on it, as downloaded."""
    return parse_ballot(body).name in names
