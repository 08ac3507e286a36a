"""Mail to a roll by a real cluster, its leader killed on the way: everybody once, nobody twice."""

import asyncio
from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from ballot.client.api import Refused, b64
from ballot.mail.bounce import read_bounce
from ballot.operator import OperatorError, record_bounce
from ballot.projections.mailing import BATCH
from tests.support.town import FRUIT, Town
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

MORE_THAN_A_BATCH = 230


def letters(town: Town, title: str) -> list[EmailMessage]:
    """All mail so far whose subject ends with this title."""
    found = []
    for path in (town.cluster.mailbox / "new").iterdir():
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        if str(message["Subject"]).endswith(title):
            found.append(message)
    return found


async def counts(town: Town, election: bytes) -> Counter[str]:
    """Read linearizably: a node whose ledger process was killed still shows what it had."""
    found: Counter[str] = Counter()
    path = f"/api/elections/{b64(election)}/mail?consistency=linearizable"
    for count in (await town.organiser_account.api.ask("GET", path)).json()["counts"]:
        found[count["state"]] += count["count"]
    return found


async def settled(town: Town, election: bytes, sent: int) -> Counter[str]:
    """The counts once nothing is queued and so many are known to be sent."""
    found: Counter[str] = Counter()

    async def are_settled() -> bool:
        found.clear()
        found.update(await counts(town, election))
        return found["sent"] >= sent and not found["queued"] + found["deferred"]

    try:
        await until(are_settled)
    except TimeoutError as error:
        raise AssertionError(f"in the end: {found}") from error
    return found


def test_everybody_is_invited_once_though_the_leader_is_killed_on_the_way(town: Town) -> None:
    async def invite() -> None:
        title = f"Election {next(town.numbers)}"
        election = await town.organiser.draft(title, [FRUIT], language="fr")
        people = [f"invited{n}@example.org" for n in range(MORE_THAN_A_BATCH)]
        await town.organiser.upload_roll(election, people)
        await town.organiser.mail(election, "invitation")
        await until(lambda: bool(letters(town, title)))
        victim = town.cluster.nodes[await town.leader() - 1]
        victim.kill_ledger()
        found = await settled(town, election, MORE_THAN_A_BATCH - BATCH)
        victim.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        got = Counter(str(message["To"]) for message in letters(town, title))
        assert max(got.values()) == 1, "somebody got two"
        assert set(got) <= set(people)
        # At most the claim that died with the leader is in doubt, and every other voter has mail.
        in_doubt = found.get("sending", 0) + found.get("unknown", 0)
        assert in_doubt <= BATCH and found["sent"] + in_doubt == MORE_THAN_A_BATCH
        assert len(got) >= found["sent"]
        assert str(letters(town, title)[0]["Subject"]) == f"Vous pouvez voter : {title}"

    town.run(invite())


def test_an_organiser_sees_every_voters_mail_and_nobody_else_does(town: Town) -> None:
    async def look() -> None:
        voter = await town.voter()
        election = await town.draft([voter])
        await town.organiser.mail(election, "invitation")
        assert await settled(town, election, 1) == {"sent": 1}
        (mail,) = (await town.organiser.mailed(election))["mail"]
        assert (mail["email"], mail["kind"], mail["state"]) == (voter.account.email, "invitation", "sent")
        stranger: Any = voter.account.api.ask("GET", f"/api/elections/{b64(election)}/mail")
        with pytest.raises(Refused, match="NotOrganiser"):
            await stranger

    town.run(look())


def test_mail_is_listed_in_pages(town: Town) -> None:
    async def look() -> None:
        election = await town.draft([])
        await town.organiser.upload_roll(election, [f"paged{n}@example.org" for n in range(5)])
        api, path = town.organiser_account.api, f"/api/elections/{b64(election)}/mail"
        await town.organiser.mail(election, "invitation")
        assert await settled(town, election, 5) == {"sent": 5}
        listed: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            asked = f"{path}?limit=2&kind=invitation&state=sent" + (f"&cursor={cursor}" if cursor else "")
            page = (await api.ask("GET", asked)).json()
            listed += [mail["email"] for mail in page["mail"]]
            cursor = page["next"]
        assert sorted(listed) == [f"paged{n}@example.org" for n in range(5)]

    town.run(look())


def test_a_voter_is_told_of_a_credential_and_mail_that_comes_back_is_noted(town: Town) -> None:
    async def vote() -> None:
        voters = [await town.voter() for _ in range(2)]
        election = await town.opened(voters)
        await voters[0].ask_credential(election)
        assert await settled(town, election.id, 1) == {"sent": 1}
        title = (await town.organiser.election(election.id))["title"]
        (note,) = letters(town, title)
        assert note["To"] == voters[0].account.email
        await town.organiser.mail(election.id, "reminder")
        await settled(town, election.id, 2)
        (reminder,) = [letter for letter in letters(town, title) if "open" in letter["Subject"]]
        assert reminder["To"] == voters[1].account.email
        await town.caught_up()
        settings = town.cluster.nodes[0].settings
        await record_bounce(settings, read_bounce(returned(reminder)))
        forged = read_bounce(returned(reminder))._replace(voter=voters[0].account.id)
        with pytest.raises(OperatorError, match="not sent by this cluster"):
            await record_bounce(settings, forged)
        await town.caught_up()
        shown = {mail["kind"]: mail for mail in (await town.organiser.mailed(election.id))["mail"]}
        assert shown["reminder"]["state"] == "bounced" and "no such user" in shown["reminder"]["reason"]
        assert shown["issued"]["state"] == "sent"
        with pytest.raises(Refused, match="TooSoon"):
            await town.organiser.mail(election.id, "reminder")

    town.run(vote())


def returned(letter: EmailMessage) -> bytes:
    """What a mail server sends when it cannot deliver this."""
    status = (
        "Reporting-MTA: dns; mx\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no such user\r\n"
    )
    head = 'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    parts = (
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n",
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {letter['Message-ID']}\r\n\r\n--b--\r\n",
    )
    return (head + "".join(parts)).encode()
