"""How a request is turned down: RFC 9457 problem documents, one table from refusal to status and title."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import falcon
import falcon.asgi
import msgspec
import psycopg
from falcon.asgi import Request, Response
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from ..ledger.mutex import LockHeld
from ..ledger.submit import Unavailable
from ..mail.address import BadAddress

log = logging.getLogger("ballot.http")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

# The refusals of voting/decisions come through under their own names; the others are made in this folder.
REFUSALS: Mapping[str, tuple[int, str]] = {
    "MalformedBody": (400, "The body cannot be read"),
    "MalformedRequest": (400, "This is not HTTP as it should be"),
    "BadParameter": (400, "A parameter or header makes no sense"),
    "LinkableRequest": (400, "The request could be linked to a person"),
    "NotAuthenticated": (401, "An access token is needed"),
    "InvalidToken": (401, "The token is not valid"),
    "WrongCredentials": (401, "Address or password is wrong"),
    "WrongCode": (401, "The code is wrong"),
    "CodeExpired": (401, "The code is used up or too old"),
    "DrillsDisabled": (403, "Drills are not enabled here"),
    "NotOrganiser": (403, "Only the organiser may do this"),
    "RoleMissing": (403, "A role is missing"),
    "UnknownWitness": (403, "The witness is not known here"),
    "NotOnRoll": (403, "Not on the roll"),
    "NotInvited": (403, "Not invited as a trustee"),
    "NotFound": (404, "There is nothing here"),
    "UnknownDrill": (404, "There is no such drill"),
    "UnknownElection": (404, "There is no such election"),
    "UnknownTrustee": (404, "There is no such trustee"),
    "UnknownUser": (404, "There is no such user"),
    "NoIdentityKey": (404, "No identity key is enrolled"),
    "NoCheckpoint": (404, "There is no checkpoint yet"),
    "NoMailbox": (404, "There is no mailbox here"),
    "MethodNotAllowed": (405, "The method is not allowed here"),
    "NotAcceptable": (406, "There is no answer of a type that is accepted"),
    "RequestTimeout": (408, "The request took too long to arrive"),
    "MailInProgress": (409, "Mail of this kind is still going out"),
    "KeySuperseded": (409, "The key was replaced by a newer one"),
    "RollEmpty": (409, "There is nobody on the roll"),
    "TooManyWeights": (409, "There are too many different weights"),
    "TooSoon": (409, "It is too soon to do this again"),
    "AddressTaken": (409, "The address has an account"),
    "AlreadyCast": (409, "The credential was spent on another ballot"),
    "AccountChanged": (409, "The account changed meanwhile"),
    "OnActiveRoll": (409, "The person is needed for an election"),
    "AlreadyPublished": (409, "The ballot is on the board"),
    "AlreadyIssued": (409, "A credential was issued before"),
    "AlreadyEnrolled": (409, "Another key is enrolled"),
    "AlreadyInvited": (409, "The address is invited under another name"),
    "CheckpointTooEarly": (409, "The checkpoint does not cover the whole board"),
    "KeyReused": (409, "The key is in use already"),
    "NotPublished": (409, "The board is not published yet"),
    "TrusteeMissing": (409, "An invited trustee has not enrolled a key"),
    "AlreadyOpened": (409, "The election was opened before"),
    "DrillRunning": (409, "A drill runs already"),
    "ElectionRunning": (409, "An election is open"),
    "ElectionNotOpen": (409, "The election has not opened yet"),
    "NotADraft": (409, "The election is no draft any more"),
    "NotClosed": (409, "The election is not closed"),
    "NotDue": (409, "It is too early for this"),
    "NotOpen": (409, "The election is not open"),
    "DraftChanged": (409, "The draft changed"),
    "RollChanged": (409, "The roll changed"),
    "TooManyTrustees": (409, "There are too many trustees"),
    "TrusteesChanged": (409, "The trustees changed"),
    "TooLate": (409, "It is too late for this"),
    "UnknownCheckpoint": (409, "This is no checkpoint of this node's log"),
    "WrongElection": (409, "The request is for another election"),
    "WrongIdentityKey": (409, "Not signed with the identity key in force"),
    "ClaimsClosed": (410, "The time for claims is over"),
    "ElectionClosed": (410, "The election is closed"),
    "ElectionCancelled": (410, "The election was cancelled"),
    "BodyTooLarge": (413, "The body is too large"),
    "TooLarge": (413, "The ledger takes no entry as large as this"),
    "AddressTooLong": (414, "The address is too long"),
    "WrongContentType": (415, "The content type is not taken here"),
    "BadAddress": (422, "The address cannot be used"),
    "BadCredential": (422, "The credential is not valid"),
    "BadDefinition": (422, "The election cannot be held like this"),
    "BadEnvelope": (422, "The envelope has the wrong shape"),
    "BadTrusteeKey": (422, "These are not the factors of a trustee's key"),
    "CheckpointDiffers": (422, "The checkpoint is of another log"),
    "BadRange": (422, "There is no such range of the log"),
    "BadRequest": (422, "The request is not acceptable"),
    "BadSignature": (422, "A signature does not verify"),
    "IdempotencyKeyReused": (422, "The Idempotency-Key was sent with another request before"),
    "MalformedCommand": (422, "The ledger cannot read this"),
    "MalformedBallot": (422, "The bytes are not a ballot"),
    "MalformedNote": (422, "The text is not a signed note"),
    "BadEncoding": (422, "The text is not in UTF-8"),
    "UnknownMail": (422, "There is no such mail"),
    "UnknownBallot": (404, "There is no such ballot on the board"),
    "UnknownSession": (404, "There is no such login"),
    "RoleNotHeld": (404, "This user does not have this role"),
    "UnknownRole": (422, "There is no such role"),
    "WeakKey": (422, "The key is weak"),
    "WeakPassword": (422, "The password cannot be used"),
    "TooManyRequests": (429, "Too many requests"),
    "HeadersTooLarge": (431, "There are too many headers, or too large ones"),
    "InternalError": (500, "Something went wrong here"),
    "UnknownTransferCoding": (501, "The transfer coding is not known here"),
    "NotAMember": (503, "This node is no member of the cluster"),
    "Overloaded": (503, "Too much is asked at once"),
    "TooManyConnections": (503, "Too many connections"),
    "Unavailable": (503, "The ledger does not answer now"),
    "VoteInProgress": (503, "The same request is in progress"),
}
_OF_STATUS = {400: "MalformedRequest", 404: "NotFound", 405: "MethodNotAllowed", 413: "BodyTooLarge"}


class Refused(Exception):
    """A request is turned down. `refusal` is a name in REFUSALS; the domain may add new ones, which count as 409."""

    def __init__(self, refusal: str, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or refusal)
        self.refusal, self.detail = refusal, detail
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        return REFUSALS.get(self.refusal, (409, ""))[0]


class Problem(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    type: str
    title: str
    status: int
    detail: str
    refusal: str


def problem_of(refused: Refused) -> Problem:
    status, title = REFUSALS.get(refused.refusal, (409, "The ledger refused this"))
    return Problem(f"about:blank#{refused.refusal}", title, status, refused.detail or title, refused.refusal)


def refusal_of(error: Exception) -> Refused:
    """The refusal that an exception amounts to; InternalError for what nobody foresaw."""
    match error:
        case Refused():
            return error
        case LockHeld():
            return Refused("VoteInProgress", str(error))
        case Unavailable():
            return Refused("Unavailable", str(error))
        case RedisError():
            return Refused("Unavailable", "sessions and codes cannot be reached")
        case BadAddress():
            return Refused("BadAddress", str(error))
        case psycopg.OperationalError() | PoolTimeout():
            return Refused("Unavailable", "this node's database cannot be reached")
        case falcon.HTTPError():
            return _of_falcon(error)
        case _:
            return Refused("InternalError", "the error was logged")


def _of_falcon(error: falcon.HTTPError) -> Refused:
    refusal = _OF_STATUS.get(error.status_code, "BadParameter" if error.status_code < 500 else "InternalError")
    headers = error.headers if isinstance(error.headers, Mapping) else dict(error.headers or ())
    return Refused(refusal, error.description or "", headers=headers)


async def answer_error(req: Request, resp: Response, error: Exception, params: Mapping[str, Any]) -> None:
    """Falcon's error handler for everything: the problem document, and a log line that quotes no body."""
    refused = refusal_of(error)
    resp.status = refused.status
    resp.data = msgspec.json.encode(problem_of(refused))
    resp.content_type = MEDIA_TYPE
    if refused.status == 503:
        resp.set_header("Retry-After", str(RETRY_AFTER_S))
    if refused.status == 401:
        resp.set_header("WWW-Authenticate", "Bearer")
    resp.set_headers(refused.headers)
    req.context.refusal = refused.refusal
    described = getattr(req.context, "operation", None)
    if described is not None and refused.refusal not in described.may_refuse:
        log.error("a refusal that its route does not describe", extra={"refusal": refused.refusal})
    if refused.status == 500:
        log.error("unforeseen error", exc_info=error, extra={"route": req.uri_template})
    elif refused.status == 503 and refused.refusal != "Overloaded":
        log.warning("unavailable", extra={"route": req.uri_template, "reason": str(error)})


def install(app: falcon.asgi.App[Request, Response]) -> None:
    app.add_error_handler(falcon.HTTPError, answer_error)
    app.add_error_handler(Exception, answer_error)
