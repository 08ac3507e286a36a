"""What the commands of `ballot voter` do; each gives what it did as a document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import SystemRandom
from typing import Any

import click

from .client import board
from .client.answers import AnswerError, Marks, read_answer, show_answer, show_question
from .client.api import NoAnswer, Refused, unb64
from .client.claims import claim_unused
from .client.trust import Untrusted
from .client.vote import Election
from .client.voter import NotReady
from .client.wallet import Secrets, encode_secrets
from .ledger import rsa
from .prompts import confirm, tell
from .voter_booth import Booth
from .voter_wallet import is_eid
from .voting.question import Question

SECONDS = 60


class NotRecorded(Exception):
    """A ballot was or may have been sent, and is not known to be recorded: `cause` says what came instead."""

    __match_args__ = ("cause",)

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


async def enter(at: Booth, email: str | None, password: Callable[[], str], *, register: bool) -> dict[str, Any]:
    known = at.wallet.session.email
    address = email or known
    if not address:
        raise NotReady("which account? Give its address once: --email ADDRESS")
    await at.enter(address, password(), register=register)
    return {"logged_in": address}


async def leave(at: Booth) -> dict[str, Any]:
    await at.leave()
    return {"logged_out": at.wallet.session.email}


async def enrol(at: Booth, password: str | None) -> dict[str, Any]:
    made = await at.enrol(password)
    return {"identity_key": "enrolled" if made else "enrolled before"}


# -- elections


async def elections(at: Booth) -> dict[str, Any]:
    await at.sign_in()
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        path = "/api/elections?role=voter" + (f"&cursor={cursor}" if cursor else "")
        page = (await at.voter.account.api.ask("GET", path)).json()
        found += [_listed(at, fields) for fields in page["elections"]]
        cursor = page["next"] or ""
        if not cursor:
            return {"elections": found}


def _listed(at: Booth, fields: dict[str, Any]) -> dict[str, Any]:
    try:
        eid = unb64(fields["eid"]).hex() if fields["eid"] else ""
        shown = {name: fields[name] for name in ("id", "title", "status", "opens_at", "closes_at", "questions")}
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("an election shown does not parse") from error
    kept = at.wallet.secrets(eid) if is_eid(eid) else None
    return shown | {"you": _progress(kept)}


def show_elections(done: dict[str, Any]) -> str:
    lines = [f"{one['id']}  {one['status']:9}  {one['title']}  ({one['you']})" for one in done["elections"]]
    return "\n".join(lines) or "you are on the roll of no election"


def _progress(kept: Secrets | None) -> str:
    if kept is None:
        return "nothing yet"
    if kept.receipt:
        return "recorded"
    if kept.claimed_at:
        return "claimed as unused"
    if kept.body:
        return "sealed, not known to be recorded"
    return "credential" if kept.credential else "credential asked for"


# -- voting


async def ask(at: Booth, election: bytes, within: float) -> dict[str, Any]:
    opened = await _open(at, election)
    await at.enrol()
    await _get_credential(at, opened, within * SECONDS)
    return {"credential": opened.eid.hex()}


async def cast(at: Booth, election: bytes, votes: Sequence[str], within: float, yes: bool) -> dict[str, Any]:
    """Seals only after the last wait, so that one who gives up before has not chosen for good."""
    opened = await at.election(election)
    kept = at.voter.secrets(opened)
    if kept is not None and kept.receipt:
        raise NotReady(f"your vote is recorded already, in entry {at.voter.recheck(opened)}; it cannot be changed")
    again = kept is not None and bool(kept.body)
    answers: list[Marks] = []
    wait_s = within * SECONDS
    if again:
        tell("A ballot was sealed here before. It may have arrived, so it is sent as it is, whatever is chosen now.")
        confirm(yes, "Cast it again?")
    else:
        opened = await _open(at, election)
        answers = _choose(opened, votes)
        confirm(yes, "Seal and cast this ballot? It cannot be changed afterwards")
        await at.enrol()
        wait_s = await _get_credential(at, opened, wait_s, casting=True)
    await _wait(opened, wait_s, "casting")
    at.voter.fill_in(opened, answers)
    try:
        index = await at.cast(opened)
    except (Refused, NoAnswer, Untrusted) as error:
        raise NotRecorded(error) from error
    record = at.wallet.folder / f"{opened.eid.hex()}.json"
    return {"recorded": index, "eid": opened.eid.hex(), "again": again, "receipt": str(record)}


async def _open(at: Booth, election: bytes) -> Election:
    """Raises NotReady for an election in which nobody, or not this voter, can vote now; also as `Booth.election`."""
    await at.sign_in()
    fields = await at.voter.view(election)
    if fields["status"] != "open":
        raise NotReady(f"nobody can vote in this election now: it is {fields['status']}")
    if not fields["on_roll"]:
        raise NotReady(f"{at.wallet.session.email} is not on the roll of this election")
    return await at.election(election)


async def _get_credential(at: Booth, election: Election, wait_s: float, *, casting: bool = False) -> float:
    """Asks, unless there is one; the seconds that are left to wait afterwards."""
    kept = at.voter.secrets(election)
    if kept is not None and kept.credential:
        return wait_s
    # A cast waits as long again: the time between the two is what would tie them together.
    share_s = wait_s / 2 if casting else wait_s
    await _wait(election, share_s, "asking for the credential")
    await at.sign_in()
    await at.voter.ask_credential(election)
    return wait_s - share_s


async def _wait(election: Election, most_s: float, what: str) -> None:
    """A random time, each equally likely up to the longest. Raises NotReady if the election may end before."""
    if not most_s:
        return
    closes_us = election.definition.closes_us
    if closes_us and time.time() + most_s + SECONDS > closes_us / 1_000_000:
        raise NotReady("the election may close before so many minutes are over: choose fewer, or none")
    tell(f"{what} within {most_s / SECONDS:.4g} minutes: leave this running")
    await asyncio.sleep(SystemRandom().uniform(0, most_s))


def _choose(election: Election, votes: Sequence[str]) -> list[Marks]:
    """The answers, shown as they will be sealed. Raises AnswerError."""
    definition = election.definition
    count = len(definition.questions)
    if votes and len(votes) != count:
        raise AnswerError(f"{len(votes)} answers to {count} questions: give --vote once for each, - for blank")
    tell(f"election  {definition.title}\neid       {election.eid.hex()}")
    answers: list[Marks] = []
    for number, question in enumerate(definition.questions, 1):
        tell(f"\nQuestion {number} of {count}: " + "\n".join(show_question(question)))
        answers.append(_given(number, question, votes[number - 1]) if votes else _asked(question))
    tell("\nThis will be sealed:")
    for question, answer in zip(definition.questions, answers, strict=True):
        tell("\n".join([f"  {question.text}", *(f"    {line}" for line in show_answer(question, answer))]))
    return answers


def _given(number: int, question: Question, text: str) -> Marks:
    try:
        return read_answer(question, text)
    except AnswerError as error:
        raise AnswerError(f"question {number}: {error}") from error


def _asked(question: Question) -> Marks:
    while True:
        try:
            return read_answer(question, str(click.prompt("Your answer", err=True)))
        except AnswerError as error:
            tell(str(error))


# -- afterwards


async def status(at: Booth, offline: bool) -> dict[str, Any]:
    kept = {eid: secrets for eid in at.wallet.eids if (secrets := at.wallet.secrets(eid)) is not None}
    boards = {} if offline else await _boards(at, kept)
    return {"elections": [_state(at, eid, secrets, boards.get(eid)) for eid, secrets in kept.items()]}


async def _boards(at: Booth, kept: dict[str, Secrets]) -> dict[str, tuple[bool, bool]]:
    """Of elections with a ballot sealed here: whether it is on the board, and whether the board is whole."""
    found: dict[str, tuple[bool, bool]] = {}
    names = at.wallet.session.elections
    try:
        for eid, secrets in kept.items():
            if secrets.body and eid in names:
                await at.sign_in()
                election = unb64(names[eid][0])
                whole = (await at.voter.view(election))["published_at"] is not None
                ballots = await board.download(at.voter.account.api, election)
                found[eid] = secrets.body in ballots, whole
    except (NotReady, NoAnswer, Refused) as error:
        tell(f"boards were not looked at: {error}")
    return found


def _state(at: Booth, eid: str, kept: Secrets, shown: tuple[bool, bool] | None) -> dict[str, Any]:
    election, title = at.wallet.session.elections.get(eid, ("", ""))
    entry, receipt = 0, None
    if kept.receipt:
        receipt = False
        with suppress(Untrusted):
            entry, receipt = at.log.trust.receipt(kept.receipt, kept.body)[0], True
    on_board = shown[0] if shown is not None and (shown[0] or shown[1]) else None
    return {
        "election": election,
        "eid": eid,
        "title": title,
        "state": _progress(kept),
        "entry": entry or kept.claimed_at,
        "receipt_verifies": receipt,
        "on_board": on_board,
        "alarm": receipt is False or (bool(kept.receipt) and on_board is False),
    }


def show_status(done: dict[str, Any]) -> str:
    return "\n".join(line for one in done["elections"] for line in _shown(one)) or "there is nothing in this wallet yet"


def _shown(one: dict[str, Any]) -> list[str]:
    lines = [f"{one['election'] or one['eid']}  {one['title']}"]
    lines.append(f"  {one['state']}" + (f": entry {one['entry']}" if one["entry"] else ""))
    if one["receipt_verifies"] is not None:
        lines.append(f"  the receipt {'verifies' if one['receipt_verifies'] else 'DOES NOT VERIFY'}")
    if one["on_board"] is not None:
        lines.append(f"  your ballot is {'' if one['on_board'] else 'NOT '}on the board")
    return lines


async def claim(at: Booth, named: str, within: float) -> dict[str, Any]:
    eid = at.wallet.find(named)
    secrets = at.wallet.secrets(eid) if eid else None
    if eid is None or secrets is None:
        raise NotReady(f"{at.wallet.folder} has no secrets of an election {named}")

    def keep(changed: Secrets) -> None:
        at.wallet.store.save(eid, encode_secrets(changed))

    await asyncio.sleep(SystemRandom().uniform(0, within * SECONDS))
    key = rsa.load_private(secrets.ballot_key)
    return {"claimed": await claim_unused(at.log, secrets, key, keep), "eid": eid}
