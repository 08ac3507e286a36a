"""Mail to the roll: the leader claims some voters in the log, mails them, and says in the log what became of it.

Only a claim that is committed is sent, and only by the process that made it; so no failover, restart or second leader
ever mails a voter twice. What a process that went away had claimed is shown as unknown, and left.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, cast

from psycopg import AsyncConnection

from ..ledger.node import Node
from ..ledger.raft.core import LEADER
from ..ledger.submit import Unavailable
from ..mail.bounce import message_name
from ..mail.letter import BY_HAND, LANGUAGES, NOW, Kind, Language, letter
from ..mail.message import compose
from ..mail.transport import MailDown, Mailer, Outcome
from ..voting import commands as c
from ..voting import document
from ..voting.decisions.mailing import ORDERED
from . import mail_due
from .mail_due import Round

log = logging.getLogger("ballot.mail")

POLL_S = 1.0
# Notes of credentials wait for company, or every credential would cost the log two entries more.
NOTES_EVERY_S = 5.0
BATCH = 100
LOST_AFTER_US = 120_000_000
SUBMIT_TIMEOUT_S = 10.0
STOP_S = 5.0

Messages = list[tuple[bytes, EmailMessage | None]]
"""Voter and message; none when the voter has no address that is known."""


@dataclass(frozen=True)
class Post:
    """How a node sends. `site` is where voters are told to go."""

    mailer: Mailer
    sender: str
    site: str


class Mailing:
    def __init__(self, node: Node, dsn: str, post: Post) -> None:
        self._node, self._dsn, self._post = node, dsn, post
        self._claim: tuple[c.ClaimMail, Messages] | None = None
        self._reports: list[c.ReportMail] = []
        self._sending: set[bytes] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._noted_at = float("-inf")

    async def run(self) -> None:
        connection = await AsyncConnection.connect(self._dsn, autocommit=True)
        try:
            while not self._stopping:
                await asyncio.sleep(POLL_S)
                self._idle.clear()
                await self._work(connection)
                self._idle.set()
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Lets the message being sent end, and reports; the rest of its claim goes back to be claimed again."""
        self._stopping = True
        try:
            async with asyncio.timeout(STOP_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("mail being sent was left behind: its outcome will be shown as unknown")

    async def _work(self, connection: AsyncConnection[Any]) -> None:
        try:
            await self._finish()
            if self._node.core.role == LEADER and not self._stopping:
                await self._lead(connection)
        except (MailDown, Unavailable) as error:
            log.warning("mail has to wait", extra={"reason": str(error)})
        except Exception:
            # Mail is never worth a leader, and the next one would meet the same.
            log.exception("mail failed")

    async def _lead(self, connection: AsyncConnection[Any]) -> None:
        now_us = self._node.clock.now_us()
        await self._give_up(connection, now_us - LOST_AFTER_US)
        for due in await mail_due.deferred(connection, now_us):
            voters = await mail_due.retries(connection, due, now_us, BATCH)
            await self._mail(connection, due, voters, last=False)
        for due in await mail_due.ordered(connection):
            ended = due.status not in ORDERED[due.kind]
            voters = [] if ended else await mail_due.voters(connection, due, BATCH)
            await self._mail(connection, due, voters, last=len(voters) < BATCH)
        loop = asyncio.get_running_loop()
        if loop.time() >= self._noted_at + NOTES_EVERY_S:
            self._noted_at = loop.time()
            for due in await mail_due.issued(connection):
                await self._mail(connection, due, await mail_due.voters(connection, due, BATCH), last=False)

    async def _mail(self, connection: AsyncConnection[Any], due: Round, voters: list[bytes], *, last: bool) -> None:
        if not voters and not last:
            return
        # Everything that may fail without anything being sent comes before the claim.
        messages: Messages = []
        claim = secrets.token_bytes(16)
        if voters:
            await asyncio.to_thread(self._try_line)
            messages = await self._write(connection, due, claim, voters)
        command = c.ClaimMail(claim, due.election, due.kind, due.round, voters, last)
        self._claim = command, messages
        await self._finish()

    async def _finish(self) -> None:
        """Claims, sends and reports what was begun. Every step may be asked for again until it has an answer."""
        if self._claim is not None:
            command, messages = self._claim
            claimed = await self._submit(command)
            self._claim = None
            if claimed and messages:
                await self._send(command, messages)
        while self._reports:
            await self._submit(self._reports[0])
            self._sending.discard(self._reports.pop(0).claim)

    async def _send(self, command: c.ClaimMail, messages: Messages) -> None:
        self._sending.add(command.command)
        outcomes = await asyncio.to_thread(self._send_all, [message for _, message in messages])
        told = [
            c.MailOutcome(voter, outcome.state, outcome.reason)
            for (voter, _), outcome in zip(messages, outcomes, strict=True)
        ]
        self._reports.append(c.ReportMail(command.command, command.election, command.kind, True, told))
        states = Counter(outcome.state for outcome in outcomes)
        log.info("mail to the roll", extra={"kind": command.kind, "outcomes": dict(states)})

    def _try_line(self) -> None:
        with self._post.mailer.session():
            pass

    def _send_all(self, messages: Sequence[EmailMessage | None]) -> list[Outcome]:
        """Runs in a thread."""
        outcomes: list[Outcome] = []
        try:
            with self._post.mailer.session() as session:
                for message in messages:
                    if message is None:
                        outcomes.append(Outcome("bounced", "the address is not known any more"))
                    elif self._stopping:
                        outcomes.append(Outcome("deferred", "the node was stopped before"))
                    else:
                        outcomes.append(session.send(message))
        except MailDown as error:
            log.warning("mail has to wait", extra={"reason": str(error)})
        left = len(messages) - len(outcomes)
        return outcomes + [Outcome("deferred", "the mail server could not be reached")] * left

    async def _submit(self, command: c.ClaimMail | c.ReportMail) -> bool:
        """Whether it is recorded. Raises Unavailable: it may be, and must be asked for again."""
        submitter = self._node.submitter
        verdict = await submitter.submit(c.encode_command(command), receipt=False, timeout_s=SUBMIT_TIMEOUT_S)
        if verdict.refusal:
            log.warning("mail duty refused", extra={"duty": type(command).__name__, "refusal": verdict.refusal})
        return not verdict.refusal

    async def _give_up(self, connection: AsyncConnection[Any], before_us: int) -> None:
        """Claims that nobody reports on: their sender went away, or is very slow and will still have its say."""
        for lost in await mail_due.lost(connection, before_us):
            if lost.claim in self._sending:
                continue
            voters = await mail_due.claimed(connection, lost.claim)
            unknown = [c.MailOutcome(voter, "unknown", "whoever sent it went away") for voter in voters]
            await self._submit(c.ReportMail(lost.claim, lost.election, lost.kind, False, unknown))

    # -- what is said

    async def _write(
        self, connection: AsyncConnection[Any], due: Round, claim: bytes, voters: Sequence[bytes]
    ) -> Messages:
        addresses = await self._addresses(connection, due.election, voters)
        kind, language, values = _contents(due, self._post.site)
        written = letter(kind, language, **values)
        vault = self._node.settings.vault
        messages: Messages = []
        for voter in voters:
            address = addresses.get(voter)
            name = message_name(claim, voter, vault.mail_tag(claim, voter))
            message = None if address is None else compose(self._post.sender, address, written, name)
            messages.append((voter, message))
        return messages

    async def _addresses(
        self, connection: AsyncConnection[Any], election: bytes, voters: Sequence[bytes]
    ) -> dict[bytes, str]:
        places = await mail_due.places(connection, election, voters)
        found: dict[bytes, str] = {}
        for entry in await self._node.table.read_some(sorted(set(places.values()))):
            for voter, _tag, address, _salt in entry.private_fields.get("addresses", ()):
                if places.get(voter) == entry.index:
                    found[voter] = address
        return found


def _contents(due: Round, site: str) -> tuple[Kind, Language, dict[str, str]]:
    draft: Any = document.decode(due.draft)
    language: Language = draft["language"] if draft.get("language") in LANGUAGES else "en"
    values = {"title": str(draft["title"])}
    if due.kind != "issued":
        values |= {"site": site, "closes": _time(draft["closes_us"], BY_HAND[language])}
    if due.kind == "invitation":
        values["opens"] = NOW[language] if due.status == "open" else _time(draft["opens_us"], BY_HAND[language])
    return cast(Kind, due.kind), language, values


def _time(us: int, otherwise: str) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC") if us else otherwise
