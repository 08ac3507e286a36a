"""The drill `login`: an account from registration to logout, and what is refused on the way."""

from __future__ import annotations

import secrets

import jwt

from ..client.api import NoAnswer, Refused
from .record import Recorder, expect
from .stage import Stage


async def login(stage: Stage, record: Recorder) -> None:
    with record.step("register, and confirm the code that was mailed") as step:
        account = await stage.account("login")
        step.saw = f"account {account.id.hex()}"
    with record.step("log in with a wrong password") as step:
        step.saw = await _refusal(stage, "/api/auth/login", {"email": account.email, "password": secrets.token_hex(12)})
        expect(step.saw == "WrongCredentials", f"answered {step.saw}")
    with record.step("log in with password and a fresh code, and ask who one is") as step:
        await account.login()
        me = await account.me()
        expect(me["email"] == account.email, "somebody else is logged in")
        step.saw = "access and refresh token"
    with record.step("use an access token that another key signed") as step:
        claims = jwt.decode(account.api.bearer, options={"verify_signature": False})
        step.saw = await _refusal_with(stage, jwt.encode(claims, secrets.token_bytes(64), "HS512"))
        expect(step.saw == "InvalidToken", f"answered {step.saw}")
    with record.step("refresh, which uses the refresh token up") as step:
        used = account.refresh_token
        await account.refresh()
        step.saw = await _refusal(stage, "/api/auth/refresh", {"refresh_token": used})
        expect(step.saw == "InvalidToken", f"the used one answered {step.saw}")
    with record.step("log in again, log out, refresh") as step:
        await account.login()
        await account.api.ask("POST", "/api/auth/logout", {"refresh_token": account.refresh_token})
        step.saw = await _refusal(stage, "/api/auth/refresh", {"refresh_token": account.refresh_token})
        expect(step.saw == "InvalidToken", f"answered {step.saw}")


async def _refusal(stage: Stage, path: str, fields: dict[str, str]) -> str:
    """The name of the refusal, or what was answered instead."""
    try:
        await stage.ask("POST", path, fields)
    except Refused as error:
        return error.refusal
    except NoAnswer as error:
        return f"no answer ({error})"
    return "yes"


async def _refusal_with(stage: Stage, bearer: str) -> str:
    try:
        await stage.ask("GET", "/api/auth/me", bearer=bearer)
    except Refused as error:
        return error.refusal
    return "yes"
