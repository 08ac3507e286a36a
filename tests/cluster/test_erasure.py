"""A person is erased from a real cluster: on every node, also on one that was away, and nothing else is lost."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import psycopg
import pytest

from ballot.client.account import Account
from ballot.client.api import Refused, b64
from ballot.client.voter import Voter
from ballot.cluster import ClusterNode
from ballot.ledger.entry import SALT_BYTES, parse
from ballot.ledger.frame import u64
from ballot.replay.audit import audit
from ballot.replay.export import read_export
from tests.cluster.test_failover import digests
from tests.support.town import Town
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.cluster

NEW = "a second password, long enough"


async def refusal(work: Any) -> str:
    try:
        await work
    except Refused as refused:
        return refused.refusal
    return ""


def private_parts(node: ClusterNode) -> dict[int, tuple[str, bytes]]:
    """Index to kind and opened bytes of every private part that this node's PostgreSQL holds."""
    vault, found = node.settings.vault(), {}
    with psycopg.connect(node.settings.dsn) as connection:
        rows = connection.execute(
            "select index, kind, header, public, sealed from ledger_private join ledger_entry using (index)",
            binary=True,
        )
        for index, kind, header, public, sealed in rows:
            digest = parse(header, public).private_digest
            found[index] = kind, vault.open(sealed, u64(index) + digest)[SALT_BYTES:]
    return found


def rows_of(node: ClusterNode, user: bytes, tag: bytes) -> list[tuple[Any, ...]]:
    """What the projections keep of somebody in private."""
    with psycopg.connect(node.settings.dsn) as connection:
        return connection.execute(
            "select 'accounts' from accounts where user_id = %(user)s or tag = %(tag)s union all"
            " select 'roll_tags' from roll_tags where voter = %(user)s or tag = %(tag)s union all"
            " select 'mail' from mail where voter = %(user)s",
            {"user": user, "tag": tag},
        ).fetchall()


def test_a_person_leaves_every_node_and_nobody_else_is_lost(town: Town) -> None:
    async def leave() -> None:
        leader = await town.leader()
        away = next(node for node in town.cluster.nodes if node.number not in (1, leader))
        away.kill_ledger()
        try:
            gone, *others = [await town.voter() for _ in range(3)]
            await gone.account.change_password(NEW)
            election = await town.opened([gone, *others])
            await town.organiser.mail(election.id, "invitation")
            casts = []
            for voter in (gone, *others):
                await town.ready_to_cast(voter, election)
                casts.append(int((await voter.cast(election, 0)).json()["index"]))
            assert await refusal(gone.account.erase()) == "OnActiveRoll"
            await town.organiser.close(election.id)
            await town.organiser.wait_for(election.id, ["tallied"], PATIENCE_S)
            await mailed(town, election.id)
            assert await refusal(Account(gone.account.api, gone.account.email, "wrong", _no_code).erase()) == (
                "WrongCredentials"
            )
            begun = await begin_login(town, gone.account)
            await gone.account.erase()
            assert await refusal(gone.account.api.ask("POST", "/api/auth/otp/verify", begun)) == "CodeExpired"
            town.organiser_account.api.index = max(town.organiser_account.api.index, gone.account.api.index)
        finally:
            away.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        await town.caught_up()
        await check_nodes(town, gone, others, casts)
        await check_account(town, gone, others)

    town.run(leave())


def test_the_casts_of_an_election_cancelled_while_open_leave_every_node(town: Town) -> None:
    async def cancel() -> None:
        voters = [await town.voter() for _ in range(2)]
        over, other = await town.opened(voters), await town.opened(voters)
        casts: dict[bytes, list[int]] = {}
        for election in (over, other, over):
            voter = voters[len(casts.get(election.id, []))]
            await town.ready_to_cast(voter, election)
            casts.setdefault(election.id, []).append(int((await voter.cast(election, 0)).json()["index"]))
        await town.organiser.cancel(over.id)
        await erased(town, casts[over.id])
        await town.caught_up()
        for node in town.cluster.nodes:
            assert private_parts(node).keys() >= set(casts[other.id]), "an open election keeps its casts"
        again = await town.organiser.cancel(over.id)
        assert again["status"] == "cancelled"
        assert len(await digests(town)) == 1
        export = (await town.line.send(0, "GET", "/api/ledger/export")).body
        assert (await asyncio.to_thread(audit, read_export(io.BytesIO(export)), workers=1)).findings == []
        await town.organiser.cancel(other.id)

    town.run(cancel())


async def erased(town: Town, indexes: list[int]) -> None:
    """Returns when no node holds the private part of any of these entries."""
    await until(lambda: not any(private_parts(node).keys() & indexes for node in town.cluster.nodes))


async def begin_login(town: Town, account: Account) -> dict[str, str]:
    """A challenge and its code: all that is missing is to send them."""
    fields = {"email": account.email, "password": NEW}
    challenge = (await account.api.ask("POST", "/api/auth/login", fields)).json()["challenge"]
    return {"challenge": challenge, "code": await town.postbox.code(account.email)}


async def _no_code(email: str) -> str:
    raise AssertionError("no code was asked for")


async def mailed(town: Town, election: bytes) -> None:
    """Returns when the mail to the roll has gone out."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            counts = (await town.organiser.mailed(election))["counts"]
            if not any(one["state"] in ("queued", "sending") for one in counts):
                return
            await asyncio.sleep(0.2)


async def check_nodes(town: Town, gone: Voter, others: list[Voter], casts: list[int]) -> None:
    address, user = gone.account.email, gone.account.id
    parts = [private_parts(node) for node in town.cluster.nodes]
    assert parts[0] == parts[1] == parts[2], "every node keeps the same private parts, the one that was away too"
    everything = b"".join(data for _, data in parts[0].values())
    assert address.encode() not in everything
    assert user not in everything, "nor what became of mail to them"
    for other in others:
        assert other.account.email.encode() in everything
    assert not parts[0].keys() & casts, "nor, once they are published, where the ballots were cast"
    for node in town.cluster.nodes:
        assert rows_of(node, user, node.settings.vault().address_tag(address)) == []
    assert len(await digests(town)) == 1
    export = (await town.line.send(0, "GET", "/api/ledger/export")).body
    assert address.encode() not in export
    report = await asyncio.to_thread(audit, read_export(io.BytesIO(export)), workers=1)
    assert report.findings == []


async def check_account(town: Town, gone: Voter, others: list[Voter]) -> None:
    old, email = gone.account.id, gone.account.email
    assert await refusal(gone.account.login()) == "WrongCredentials"
    assert await refusal(gone.account.refresh()) == "InvalidToken"
    assert await refusal(gone.account.me()) == "InvalidToken"
    assert await refusal(gone.account.erase()) == "InvalidToken"
    for other in others:
        await other.account.login()
        assert (await other.account.me())["email"] == other.account.email
    again = await town.account(email)
    assert again.id != old


def test_an_admin_erases_somebody_who_never_had_an_account(town: Town) -> None:
    async def erase() -> None:
        admin = await town.account()
        await town.cluster.grant(admin.email, "admin")
        election = await town.draft([])
        address = f"nobody{next(town.numbers)}@example.org"
        await town.organiser.upload_roll(election, [address, "somebody.else@example.org"])
        vault = town.cluster.nodes[0].settings.vault()
        with psycopg.connect(town.cluster.nodes[0].settings.dsn) as connection:
            query = "select user_id from accounts where tag = %s"
            [user] = connection.execute(query, (vault.address_tag(address),)).fetchone() or (b"",)
        path = f"/api/users/{b64(user)}/erase"
        assert await refusal(town.organiser_account.api.ask("POST", path, {})) == "RoleMissing"
        assert await refusal(admin.api.ask("POST", path, {})) == "OnActiveRoll"
        await town.organiser_account.api.ask("POST", f"/api/elections/{b64(election)}/cancel", {})
        await town.caught_up()
        assert (await admin.api.ask("POST", path, {})).status == 204
        assert await refusal(admin.api.ask("POST", path, {})) == "UnknownUser"
        everything = b"".join(data for _, data in private_parts(town.cluster.nodes[0]).values())
        assert address.encode() not in everything
        assert b"somebody.else@example.org" in everything
        organiser = b64(town.organiser_account.id)
        await town.draft([])
        assert await refusal(admin.api.ask("POST", f"/api/users/{organiser}/erase", {})) == "OnActiveRoll"

    town.run(erase())


def test_the_address_of_an_invited_trustee_goes_once_the_election_is_over(town: Town) -> None:
    async def erase() -> None:
        person = await town.account()
        election = await town.draft([])
        await town.organiser.invite_trustee(election, person.email, "Ada")
        await town.organiser.invite_trustee(election, person.email, "Ada")
        person.api.index = town.organiser_account.api.index
        assert await refusal(person.erase()) == "OnActiveRoll"
        await town.organiser.cancel(election)
        person.api.index = town.organiser_account.api.index
        await person.erase()
        town.organiser_account.api.index = max(town.organiser_account.api.index, person.api.index)
        await town.caught_up()
        for node in town.cluster.nodes:
            assert person.email.encode() not in b"".join(data for _, data in private_parts(node).values())

    town.run(erase())
