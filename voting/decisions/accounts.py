"""Decisions on accounts, identity keys and roles."""

from __future__ import annotations

from ...ledger.decision import Decision, Known, Refusal
from .. import commands as c
from ..fold import key_hash
from .base import View, event

ROLES = ("admin", "organiser", "trustee")


def register(view: View, cmd: c.RegisterUser, now_us: int) -> Decision:
    account = view.get("accounts", cmd.tag)
    if account is not None and account.get("password_at"):
        return Refusal("AddressTaken", "this address has an account")
    user = cmd.user if account is None else account["user_id"]
    private = {"tag": cmd.tag, "address": cmd.address, "password_hash": cmd.password_hash}
    return event("UserRegistered", {"command": cmd.command, "user": user}, private)


def change_password(view: View, cmd: c.ChangePassword, now_us: int) -> Decision:
    account = view.get("accounts", cmd.tag)
    if account is None or account["user_id"] != cmd.user:
        return Refusal("UnknownUser", "there is no such account")
    private = {"tag": cmd.tag, "password_hash": cmd.password_hash}
    return event("PasswordChanged", {"command": cmd.command, "user": cmd.user}, private)


def enrol_identity(view: View, cmd: c.EnrolIdentityKey, now_us: int) -> Decision:
    user = view.get("users", cmd.user)
    if user is None:
        return Refusal("UnknownUser", "there is no such user")
    enrolled = view.get("identity_keys", cmd.user, key_hash(cmd.n))
    if enrolled is not None and user.get("identity_n") == cmd.n:
        return Known(enrolled["enrolled_at"])
    # Its enrolment is public, so whoever stole an old key could otherwise bring it back by sending that again.
    if enrolled is not None:
        return Refusal("KeySuperseded", "this key was replaced by a newer one and is never taken again")
    # Its private half becomes public one day.
    if view.get("trustee_keys", key_hash(cmd.n)) is not None:
        return Refusal("KeyReused", "this key was enrolled as a trustee's")
    return event("IdentityKeyEnrolled", {"user": cmd.user, "n": cmd.n, "signature": cmd.signature})


def grant_role(view: View, cmd: c.GrantRole, now_us: int) -> Decision:
    if cmd.role not in ROLES:
        return Refusal("UnknownRole", f"a role is one of {', '.join(ROLES)}")
    if view.get("users", cmd.user) is None:
        return Refusal("UnknownUser", "there is no such user")
    held = view.get("roles", cmd.user, cmd.role)
    if held is not None and held.get("withdrawn_at") is None:
        return Known(held["at"])
    return event("RoleGranted", {"command": cmd.command, "user": cmd.user, "role": cmd.role, "by": cmd.by})


def withdraw_role(view: View, cmd: c.WithdrawRole, now_us: int) -> Decision:
    held = view.get("roles", cmd.user, cmd.role)
    if held is None:
        return Refusal("RoleNotHeld", "this user never had this role")
    if held.get("withdrawn_at") is not None:
        return Known(held["withdrawn_at"])
    return event("RoleWithdrawn", {"command": cmd.command, "user": cmd.user, "role": cmd.role, "by": cmd.by})
