"""A draft: what an organiser has said about an election so far, kept in the log as a canonical document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from ..mail.letter import Language
from ..voting import document
from ..voting.decisions.trustees import MOST_TRUSTEES
from ..voting.definition import (
    LEAST_EPOCH_BALLOTS,
    LEAST_EPOCH_US,
    DefinitionError,
    ElectionDefinition,
    Epochs,
    Question,
    Registrar,
    Roll,
    Trustee,
    check_definition,
    check_questions,
    pad_length,
)
from ..voting.trustee import threshold
from .parse import from_time
from .problems import Refused

MINUTE_US = 60_000_000
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Threshold = Annotated[int, msgspec.Meta(ge=0, le=MOST_TRUSTEES)]
# Stand-ins, so that a draft meets the very checks that its definition will: keys and roll come only at the opening.
_NOBODY = Trustee("nobody", "00" * 384)
_NO_REGISTRAR = Registrar(1, "11" * 384)
_NO_ROLL = Roll(0, "00" * 32)
CLAIMS_S = 7 * 86_400


class EpochsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Publishes ballots while the election is open: at most every so many minutes, at least so many at a time."""

    minutes: int = LEAST_EPOCH_US // MINUTE_US
    ballots: int = LEAST_EPOCH_BALLOTS


class DraftBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST: a new election. A time left out means: open at once, close by hand. `language` is that of its mail.

    For `claims_s` seconds after the close, a week unless told, unused credentials may be claimed. `k` of the trustees
    are needed to open the ballots; 0 stands for more than half of them.
    """

    title: str
    questions: list[Question]
    opens_at: Time | None = None
    closes_at: Time | None = None
    language: Language = "en"
    claims_s: int = CLAIMS_S
    k: Threshold = 0
    epochs: EpochsBody | None = None


class DraftChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PATCH: what is left out stays as it is."""

    title: str | msgspec.UnsetType = msgspec.UNSET
    questions: list[Question] | msgspec.UnsetType = msgspec.UNSET
    opens_at: Time | msgspec.UnsetType | None = msgspec.UNSET
    closes_at: Time | msgspec.UnsetType | None = msgspec.UNSET
    language: Language | msgspec.UnsetType = msgspec.UNSET
    claims_s: int | msgspec.UnsetType = msgspec.UNSET
    k: Threshold | msgspec.UnsetType = msgspec.UNSET
    epochs: EpochsBody | msgspec.UnsetType | None = msgspec.UNSET


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document in the log. Times are microseconds since 1970, 0 for none; `k` 0 is more than half."""

    title: str
    questions: list[Question]
    opens_us: int
    closes_us: int
    language: Language = "en"
    claims_s: int = CLAIMS_S
    k: int = 0
    epochs: Epochs | msgspec.UnsetType = msgspec.UNSET

    def needed(self, trustees: int) -> int:
        """How many of so many trustees open the ballots; the cluster alone counts as one."""
        return threshold(self.k, trustees)


def draft_of(body: DraftBody) -> Draft:
    times = from_time(body.opens_at), from_time(body.closes_at)
    epochs = _epochs(body.epochs)
    return Draft(body.title, body.questions, *times, body.language, body.claims_s, body.k, epochs)


def _epochs(body: EpochsBody | None) -> Epochs | msgspec.UnsetType:
    return msgspec.UNSET if body is None else Epochs(body.minutes * MINUTE_US, body.ballots)


def shown_epochs(draft: Draft) -> EpochsBody | None:
    """As the organiser asked for them."""
    if draft.epochs is msgspec.UNSET:
        return None
    return EpochsBody(draft.epochs.interval_us // MINUTE_US, draft.epochs.ballots)


def amended(draft: Draft, change: DraftChange) -> Draft:
    """The draft with what the change names put in place."""
    changes: dict[str, Any] = {}
    if change.title is not msgspec.UNSET:
        changes["title"] = change.title
    if change.questions is not msgspec.UNSET:
        changes["questions"] = change.questions
    if change.opens_at is not msgspec.UNSET:
        changes["opens_us"] = from_time(change.opens_at)
    if change.closes_at is not msgspec.UNSET:
        changes["closes_us"] = from_time(change.closes_at)
    if change.language is not msgspec.UNSET:
        changes["language"] = change.language
    if change.claims_s is not msgspec.UNSET:
        changes["claims_s"] = change.claims_s
    if change.k is not msgspec.UNSET:
        changes["k"] = change.k
    if change.epochs is not msgspec.UNSET:
        changes["epochs"] = _epochs(change.epochs)
    return msgspec.structs.replace(draft, **changes)


def encode_draft(draft: Draft) -> bytes:
    """Raises Refused(BadDefinition) for what could never be opened."""
    define(draft, 1, [_NOBODY], [_NO_REGISTRAR], _NO_ROLL, "draft", "00" * 32)
    try:
        return document.encode(msgspec.to_builtins(draft))
    except document.DocumentError as error:
        raise Refused("BadDefinition", str(error)) from error


def decode_draft(data: bytes) -> Draft:
    """Raises document.DocumentError, msgspec.ValidationError: only drafts of this kind are ever recorded."""
    return msgspec.convert(document.decode(data), Draft)


def define(
    draft: Draft,
    k: int,
    trustees: Sequence[Trustee],
    registrars: Sequence[Registrar],
    roll: Roll,
    origin: str,
    genesis: str,
) -> ElectionDefinition:
    """The definition that the draft becomes. Raises Refused(BadDefinition), naming what is wrong."""
    try:
        check_questions(draft.questions)
        definition = ElectionDefinition(
            title=draft.title,
            questions=draft.questions,
            opens_us=draft.opens_us,
            closes_us=draft.closes_us,
            pad_len=pad_length(draft.questions),
            k=k,
            trustees=list(trustees),
            registrars=list(registrars),
            roll=roll,
            origin=origin,
            genesis=genesis,
            claims_s=draft.claims_s,
            epochs=draft.epochs,
        )
        check_definition(definition)
    except DefinitionError as error:
        raise Refused("BadDefinition", str(error)) from error
    return definition
