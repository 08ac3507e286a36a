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
        # An access token alone does not put another key in the place of one that is in force.
        assert await said(api.ask("PUT", "/api/auth/identity-key", enrolment(key, user))) == "WrongCredentials"
        await api.ask("PUT", "/api/auth/identity-key", enrolment(key, user, PASSWORD))
        now = (await api.ask("GET", "/api/auth/identity-key")).json()
        assert now["n"] == b64(rsa.modulus(key))
        assert [past["n"] for past in now["keys"]] == [first["n"], now["n"]]
        assert now["keys"][0]["enrolled_at"] < now["keys"][1]["enrolled_at"]
        identity = rsa.load_private(voter._store.load("identity") or b"")
        back = api.ask("PUT", "/api/auth/identity-key", enrolment(identity, user, PASSWORD))
        assert await said(back) == "KeySuperseded"
        # The voter's own store still has the old key: a request signed with it is worth nothing.
        election = await town.opened([voter])
        assert await said(voter.ask_credential(election)) == "BadSignature"

    town.run(enrol())


def enrolment(key: RSAPrivateKey, user: bytes, password: str = "") -> dict[str, str]:
    n = rsa.modulus(key)
    return {"n": b64(n), "signature": b64(rsa.sign(key, frame("identity-key", user, n))), "password": password}


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


def test_a_role_that_was_taken_away_counts_no_more_and_can_be_given_again(town: Town) -> None:
    async def withdraw() -> None:
        admin, other = await town.account(), await town.account()
        await town.cluster.grant(admin.email, "admin")
        await town.caught_up()
        path = f"/api/users/{b64(other.id)}/roles"
        assert await said(admin.api.ask("DELETE", f"{path}/trustee")) == "RoleNotHeld"
        await admin.api.ask("POST", path, {"role": "trustee"})
        assert await said(other.api.ask("DELETE", f"{path}/trustee")) == "RoleMissing"
        await admin.api.ask("DELETE", f"{path}/trustee")
        await admin.api.ask("DELETE", f"{path}/trustee")
        other.api.index = admin.api.index
        assert (await other.me())["roles"] == []
        await admin.api.ask("POST", path, {"role": "trustee"})
        other.api.index = admin.api.index
        assert (await other.me())["roles"] == ["trustee"]

    town.run(withdraw())


# -- sessions


def test_a_user_sees_every_login_and_ends_one_from_another(town: Town) -> None:
    async def look() -> None:
        account = await town.account()
        other = session_of(account)
        await account.login()
        shown = (await account.api.ask("GET", "/api/auth/sessions")).json()["sessions"]
        assert len(shown) == 2 and shown[0]["used_at"] >= shown[1]["used_at"]
        stranger = await town.account()
        await account.api.ask("DELETE", f"/api/auth/sessions/{shown[1]['id']}")
        assert await said(stranger.api.ask("DELETE", f"/api/auth/sessions/{shown[0]['id']}")) == "UnknownSession"
        assert (await post(town, 1, "/api/auth/refresh", other))[0] == 401
        await account.refresh()
        await account.api.ask("DELETE", "/api/auth/sessions")
        assert await said(account.refresh()) == "InvalidToken"

    town.run(look())


# -- lost answers


def test_a_code_sent_again_under_its_idempotency_key_is_answered_again_and_no_other_way(town: Town) -> None:
    async def ask() -> None:
        email, path = "again@example.org", "/api/auth/otp/verify"
        _, begun = await post(town, 1, "/api/auth/register", {"email": email, "password": PASSWORD})
        entry = {"challenge": begun["challenge"], "code": await town.postbox.code(email)}
        first = await post(town, 1, path, entry, **{"Idempotency-Key": "one"})
        again = await post(town, 2, path, entry, **{"Idempotency-Key": "one"})
        assert (first[0], again[0]) == (200, 200) and first[1]["user"]["id"] == again[1]["user"]["id"]
        assert first[1]["refresh_token"] != again[1]["refresh_token"]
        assert (await post(town, 1, path, entry, **{"Idempotency-Key": "two"}))[1]["refusal"] == "CodeExpired"
        assert (await post(town, 1, path, entry))[1]["refusal"] == "CodeExpired"
        await reset(email)

    async def reset(email: str) -> None:
        _, begun = await post(town, 1, "/api/auth/password/forgot", {"email": email})
        entry = {"challenge": begun["challenge"], "code": await town.postbox.code(email), "password": NEW}
        for node in (1, 2):
            answer = await post(town, node, "/api/auth/password/reset", entry, **{"Idempotency-Key": "one"})
            assert answer[0] == 200
        other = await post(
            town, 1, "/api/auth/password/reset", {**entry, "password": NEW + "!"}, **{"Idempotency-Key": "one"}
        )
        assert other[1]["refusal"] == "IdempotencyKeyReused"

    town.run(ask())


# -- addresses behind a proxy


def test_a_forwarded_address_counts_only_where_the_operator_trusts_a_proxy(town: Town) -> None:
    async def guess() -> list[int]:
        account = await town.account()
        fields = {"email": account.email, "password": "wrong, but long enough"}
        return [
            (await post(town, 0, "/api/auth/login", fields, **{"X-Forwarded-For": f"forged, 203.0.113.{number}"}))[0]
            for number in range(7)
        ]

    node = town.cluster.nodes[0]
    assert town.run(guess())[-1] == 429, "a client that makes up addresses is one client"
    try:
        node.stop_http()
        node.environment["BALLOT_TRUST_FORWARDED"] = "1"
        node.start_http()
        town.cluster.wait_ready()
        assert town.run(guess()) == [401] * 7, "the last address, which the proxy wrote, is whom a guess counts for"
    finally:
        node.stop_http()
        del node.environment["BALLOT_TRUST_FORWARDED"]
        node.start_http()
        town.cluster.wait_ready()
