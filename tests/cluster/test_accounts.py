"""Accounts over real HTTP on three nodes: sessions end when they must, guessing is bounded, nobody is locked out."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot.client.account import Account
from ballot.client.api import Api, Refused, b64
from ballot.ledger import rsa
from ballot.ledger.frame import frame
from tests.support.town import PASSWORD, Town

pytestmark = pytest.mark.cluster

NEW = "another password, long enough"


async def said(work: Any) -> str:
    try:
        await work
    except Refused as refused:
        return refused.refusal
    return ""


async def post(town: Town, node: int, path: str, fields: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """One raw request to one node."""
    url = town.line.urls[node] + path
    async with aiohttp.ClientSession() as session, session.post(url, json=fields, headers=headers) as response:
        return response.status, json.loads(await response.read() or b"{}")


def session_of(account: Account) -> dict[str, str]:
    return {"refresh_token": account.refresh_token}


def test_a_refresh_token_used_twice_ends_the_login_on_every_node(town: Town) -> None:
    async def steal() -> None:
        account = await town.account()
        stolen = session_of(account)
        await account.refresh()
        status, problem = await post(town, 1, "/api/auth/refresh", stolen)
        assert (status, problem["refusal"]) == (401, "InvalidToken")
        assert await said(account.refresh()) == "InvalidToken", "the whole family is ended, the owner's too"
        await account.login()
        await account.refresh()

    town.run(steal())


def test_a_logout_ends_one_login_only(town: Town) -> None:
    async def leave() -> None:
        account = await town.account()
        first = session_of(account)
        await account.login()
        await account.logout()
        assert await said(account.refresh()) == "InvalidToken"
        assert (await post(town, 2, "/api/auth/refresh", first))[0] == 200

    town.run(leave())


def test_a_changed_password_ends_the_other_sessions_and_keeps_ones_own(town: Town) -> None:
    async def change() -> None:
        account = await town.account()
        other = session_of(account)
        await account.login()
        challenge = await account.api.ask("POST", "/api/auth/login", {"email": account.email, "password": PASSWORD})
        code = await town.postbox.code(account.email)
        assert await said(wrong(account).change_password(NEW)) == "WrongCredentials"
        await account.change_password(NEW)
        await account.refresh()
        assert (await post(town, 1, "/api/auth/refresh", other))[0] == 401
        # Whoever got as far as the code with the old password has nothing for it.
        entry = {"challenge": challenge.json()["challenge"], "code": code}
        assert await said(account.api.ask("POST", "/api/auth/otp/verify", entry)) == "CodeExpired"
        await account.login()

    town.run(change())


def wrong(account: Account) -> Account:
    return Account(account.api, account.email, "not the password", account._codes)


def test_a_forgotten_password_is_reset_by_mail_and_ends_every_session(town: Town) -> None:
    async def reset() -> None:
        account = await town.account()
        before = session_of(account)
        await account.reset_password(NEW)
        assert (await post(town, 1, "/api/auth/refresh", before))[0] == 401
        await account.login()
        assert await said(wrong(account).login()) == "WrongCredentials"

    town.run(reset())


# -- guessing


def test_wrong_passwords_add_up_over_all_nodes_and_keep_out_the_stranger_alone(town: Town) -> None:
    async def guess() -> None:
        account = await town.account()
        guesses = [await post(town, n % 3, "/api/auth/login", login(account, f"guess {n}")) for n in range(7)]
        assert [status for status, _ in guesses] == [401] * 5 + [429] * 2
        # From the same client address, but from a device that confirmed a code before.
        await account.login()

    town.run(guess())


def login(account: Account, password: str) -> dict[str, str]:
    return {"email": account.email, "password": password}


def test_whoever_owns_the_mailbox_gets_in_while_strangers_guess(town: Town) -> None:
    """A voter at a new device, whose own address is used up by a stranger's guesses."""

    async def guess() -> None:
        account = await town.account()
        for n in range(6):
            await post(town, n % 3, "/api/auth/login", login(account, "guess"))
        fresh = Account(Api(town.line), account.email, PASSWORD, town.postbox.code)
        status, _ = await post(town, 0, "/api/auth/login", login(account, PASSWORD))
        assert status == 429
        await fresh.reset_password(NEW)
        await fresh.login()

    town.run(guess())


def test_a_stranger_who_tries_codes_locks_nobody_out(town: Town) -> None:
    async def attack() -> None:
        email = f"person{next(town.numbers)}@example.org"
        for turn in range(6):
            fields = {"email": email, "password": "the stranger's own"}
            _, answer = await post(town, turn % 3, "/api/auth/register", fields)
            for code in range(5):
                entry = {"challenge": answer["challenge"], "code": f"{code:06}"}
                await post(town, code % 3, "/api/auth/otp/verify", entry)
        account = await town.account(email)
        assert account.email == email and account.id

    town.run(attack())


# -- nothing to learn


def test_no_answer_tells_whether_an_address_has_an_account(town: Town) -> None:
    async def ask() -> None:
        known = (await town.account()).email
        unknown = f"person{next(town.numbers)}@example.org"
        asked: list[tuple[str, dict[str, str]]] = [
            ("/api/auth/register", {"password": NEW}),
            ("/api/auth/login", {"password": "not it at all"}),
            ("/api/auth/password/forgot", {}),
        ]
        for path, more in asked:
            one = await post(town, 0, path, {"email": known, **more})
            two = await post(town, 0, path, {"email": unknown, **more})
            assert one[0] == two[0] and one[1].keys() == two[1].keys(), path
            assert one[1].get("detail") == two[1].get("detail")
            if one[0] == 202:
                await alike(one[1]["challenge"], two[1]["challenge"])

    async def alike(one: str, two: str) -> None:
        for path, more in (("/api/auth/otp/send", {}), ("/api/auth/otp/verify", {"code": "000000"})):
            first = await post(town, 1, path, {"challenge": one, **more})
            second = await post(town, 1, path, {"challenge": two, **more})
            assert first[0] == second[0] and first[1].get("refusal") == second[1].get("refusal"), path

    town.run(ask())


# -- identity keys


def test_a_new_identity_key_supersedes_and_the_old_one_stays_to_be_seen(town: Town) -> None:
    async def enrol() -> None:
        voter = await town.voter()
        api, user = voter.account.api, voter.account.id
        first = (await api.ask("GET", "/api/auth/identity-key")).json()
        key = await asyncio.to_thread(rsa.generate, 3072)
        await api.ask("PUT", "/api/auth/identity-key", enrolment(key, user))
        now = (await api.ask("GET", "/api/auth/identity-key")).json()
        assert now["n"] == b64(rsa.modulus(key))
        assert [past["n"] for past in now["keys"]] == [first["n"], now["n"]]
        assert now["keys"][0]["enrolled_at"] < now["keys"][1]["enrolled_at"]
        identity = rsa.load_private(voter._store.load("identity") or b"")
        back = api.ask("PUT", "/api/auth/identity-key", enrolment(identity, user))
        assert await said(back) == "KeySuperseded"
        # The voter's own store still has the old key: a request signed with it is worth nothing.
        election = await town.opened([voter])
        assert await said(voter.ask_credential(election)) == "BadSignature"

    town.run(enrol())


def enrolment(key: RSAPrivateKey, user: bytes) -> dict[str, str]:
    n = rsa.modulus(key)
    return {"n": b64(n), "signature": b64(rsa.sign(key, frame("identity-key", user, n)))}


# -- roles


def test_an_admin_grants_roles_and_nobody_else_does(town: Town) -> None:
    async def grant() -> None:
        admin, other = await town.account(), await town.account()
        path = f"/api/users/{b64(other.id)}/roles"
        assert await said(admin.api.ask("POST", path, {"role": "trustee"})) == "RoleMissing"
        await town.cluster.grant(admin.email, "admin")
        await town.caught_up()
        for role in ("trustee", "organiser"):
            await admin.api.ask("POST", path, {"role": role})
        assert await said(admin.api.ask("POST", path, {"role": "king"})) == "UnknownRole"
        other.api.index = admin.api.index
        assert (await other.me())["roles"] == ["organiser", "trustee"]

    town.run(grant())
