"""The organiser: draft, roll, trustees, open, close, results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..voting.question import Question
from .api import Api, NoAnswer, b64, unb64

POLL_S = 0.2


class Organiser:
    """An organiser's requests for elections, each named by the 16-byte id of its draft. All raise Refused, NoAnswer."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def draft(self, title: str, questions: Sequence[Question], **more: Any) -> bytes:
        """A new draft; its id. Opened and closed by hand unless `more` has opens_at or closes_at (RFC 3339)."""
        fields = {"title": title, "questions": msgspec.to_builtins(list(questions)), **more}
        reply = await self._api.ask("POST", "/api/elections", fields)
        return unb64(reply.json()["id"])

    async def upload_roll(self, election: bytes, voters: Iterable[str] | Mapping[str, int]) -> dict[str, Any]:
        """Adds voters by address, with their weights or with 1 each.

        Answers {accepted, already, refused: [{line, value, reason}], roll_size}.
        """
        weights = voters.items() if isinstance(voters, Mapping) else ((address, 1) for address in voters)
        lines = "".join(["email,weight\n", *(f"{address},{weight}\n" for address, weight in weights)])
        path = f"/api/elections/{b64(election)}/roll"
        answer: dict[str, Any] = (await self._api.ask("POST", path, body=lines.encode(), media="text/csv")).json()
        return answer

    async def mail(self, election: bytes, kind: str) -> dict[str, Any]:
        """Sends an invitation to whoever on the roll had none, or a reminder to those without a credential."""
        path = f"/api/elections/{b64(election)}/mail"
        answer: dict[str, Any] = (await self._api.ask("POST", path, {"kind": kind})).json()
        return answer

    async def mailed(self, election: bytes) -> dict[str, Any]:
        """{counts: [{kind, state, count}], mail: [{voter, email, kind, state, reason, attempt}], next}"""
        return await self._get(f"/api/elections/{b64(election)}/mail")

    async def invite_trustee(self, election: bytes, email: str, name: str) -> dict[str, Any]:
        """Mails an invitation; {keys_needed, invited: [{email, trustee: {number, name, user, status, fingerprint}}]}"""
        path = f"/api/elections/{b64(election)}/trustees/invite"
        answer: dict[str, Any] = (await self._api.ask("POST", path, {"email": email, "name": name})).json()
        return answer

    async def withdraw_trustee(self, election: bytes, user: bytes) -> dict[str, Any]:
        """Takes an invitation back, and the key with it; as `invite_trustee`."""
        path = f"/api/elections/{b64(election)}/trustees/withdraw"
        answer: dict[str, Any] = (await self._api.ask("POST", path, {"user": b64(user)})).json()
        return answer

    async def trustees(self, election: bytes) -> dict[str, Any]:
        """As `invite_trustee`."""
        return await self._get(f"/api/elections/{b64(election)}/trustees")

    async def open(self, election: bytes) -> dict[str, Any]:
        """Freezes roll and definition and starts the voting; the election as it then is."""
        return await self._act(election, "open")

    async def close(self, election: bytes) -> dict[str, Any]:
        """Ends the voting; the election as it then is."""
        return await self._act(election, "close")

    async def cancel(self, election: bytes) -> dict[str, Any]:
        """Ends an election that is not counted and never will be; the election as it then is."""
        return await self._act(election, "cancel")

    async def election(self, election: bytes) -> dict[str, Any]:
        return await self._get(f"/api/elections/{b64(election)}")

    async def results(self, election: bytes) -> dict[str, Any]:
        """{status, title, questions, tally, disputed, attestations, accounting}; `tally` is None before the count."""
        return await self._get(f"/api/elections/{b64(election)}/results")

    async def wait_for(self, election: bytes, statuses: Collection[str], timeout_s: float) -> dict[str, Any]:
        """The election as soon as its status is one of these. Raises NoAnswer when it takes longer."""
        deadline = time.monotonic() + timeout_s
        while True:
            fields = await self.election(election)
            if fields["status"] in statuses:
                return fields
            if time.monotonic() > deadline:
                raise NoAnswer(f"the election is still {fields['status']}")
            await asyncio.sleep(POLL_S)

    async def _act(self, election: bytes, what: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._api.ask("POST", f"/api/elections/{b64(election)}/{what}", {})).json()
        return answer

    async def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._api.ask("GET", path)).json()
        return answer
