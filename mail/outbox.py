"""Single messages that are worth nothing an hour later, such as codes: sent at once, in the background, tried once."""

from __future__ import annotations

import asyncio
import logging
from email.message import EmailMessage

from .letter import Kind, Language, letter
from .message import compose
from .transport import MailDown, Mailer, Outcome

log = logging.getLogger("ballot.mail")

AT_ONCE = 4


class Outbox:
    """Sends in the background, so that how long a request takes says nothing about whether mail went out."""

    def __init__(self, mailer: Mailer, sender: str) -> None:
        self._mailer, self._sender = mailer, sender
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()

    def post(self, address: str, kind: Kind, language: Language, /, **values: str) -> None:
        self._begin(address, kind, language, values, pretend=False)

    def pretend(self, address: str, kind: Kind, language: Language, /, **values: str) -> None:
        """Does all the work of `post` but the sending, so that not even the next request can tell them apart."""
        self._begin(address, kind, language, values, pretend=True)

    def _begin(self, address: str, kind: Kind, language: Language, values: dict[str, str], *, pretend: bool) -> None:
        task = asyncio.ensure_future(self._post(address, kind, language, values, pretend))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _post(self, address: str, kind: Kind, language: Language, values: dict[str, str], pretend: bool) -> None:
        async with self._turn:
            try:
                message = compose(self._sender, address, letter(kind, language, **values))
                outcome = await asyncio.to_thread(self._send, message, pretend)
            except (MailDown, ValueError) as error:
                outcome = Outcome("deferred", type(error).__name__)
        if pretend:
            return
        # Neither the address nor the server's words about it.
        level = logging.INFO if outcome.state == "sent" else logging.ERROR
        log.log(level, "mail", extra={"kind": kind, "outcome": outcome.state})

    def _send(self, message: EmailMessage, pretend: bool) -> Outcome:
        with self._mailer.session() as session:
            return Outcome("deferred") if pretend else session.send(message)

    async def drain(self, timeout_s: float) -> None:
        """Waits for what is being sent."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=timeout_s)
