"""Decides: a command against the state, to events or a named refusal. Pure: no clock, no randomness, no I/O.

Signatures, keys and proofs were checked by the worker that submits; what is settled here is order and uniqueness,
because only the leader's single queue can settle those. Every function is a flat ladder of refusals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ledger.decision import Decision, Known
from . import commands as c
from .ballot import BallotError, parse_ballot
from .decisions import accounts, board, casting, elections, erasing, mailing, publishing, trustees
from .decisions.base import View
from .envelope import ballot_id
from .fold import key_hash
from .tables import IN_FORCE, Key
from .trustee import product


def reads(command: c.AnyCommand) -> list[tuple[str, Key]]:
    """The rows that deciding on `command` looks at: what must be loaded before `decide`."""
    known_by = c.natural_key(command)
    keys: list[tuple[str, Key]] = [] if known_by is None else [("commands", (known_by,))]
    for name, table in (("election", "elections"), ("user", "users"), ("tag", "accounts")):
        if (value := getattr(command, name, None)) is not None:
            keys.append((table, (value,)))
    extra = _READS.get(type(command))
    return keys + (extra(command) if extra else [])


def decide(view: View, command: c.AnyCommand, now_us: int) -> Decision:
    """The events that `command` becomes, the entry that it already became, or why it may not."""
    known_by = c.natural_key(command)
    done = None if known_by is None else view.get("commands", known_by)
    if done is not None:
        return Known(done["at"])
    return _DECIDE[type(command)](view, command, now_us)


def _cast_reads(cmd: Any) -> list[tuple[str, Key]]:
    try:
        ballot = parse_ballot(cmd.body)
    except BallotError:
        return []
    return [("casts", (ballot.eid, ballot.bid)), ("spent", (ballot.eid, ballot.bid))]


def _board_reads(cmd: Any) -> list[tuple[str, Key]]:
    keys: list[tuple[str, Key]] = [("epochs", (cmd.election,))]
    for body in cmd.ballots:
        try:
            ballot = parse_ballot(body)
        except BallotError:
            continue
        keys += [("casts", (ballot.eid, ballot.bid)), ("spent", (ballot.eid, ballot.bid))]
    return keys


def _erasure_reads(cmd: Any) -> list[tuple[str, Key]]:
    keys: list[tuple[str, Key]] = [("memberships", (cmd.user,))]
    keys += [("elections", (one,)) for one in (*cmd.elections, *cmd.organises, *cmd.trustee_of)]
    keys += [("roll", (one, cmd.user)) for one in cmd.elections]
    keys += [("invited_trustees", (one, cmd.user)) for one in cmd.trustee_of]
    return keys + [("roll", (roll.election, other.voter)) for roll in cmd.rolls for other in roll.others]


def _claim_reads(cmd: Any) -> list[tuple[str, Key]]:
    place = (cmd.eid, ballot_id(cmd.bpk))
    return [("unused_claims", place), ("casts", place), ("spent", place), ("claim_windows", (cmd.eid,))]


def _voter_reads(cmd: Any) -> list[tuple[str, Key]]:
    accounts_and_roll = [[("accounts", (new.tag,)), ("roll_tags", (cmd.election, new.tag))] for new in cmd.voters]
    return [key for keys in accounts_and_roll for key in keys]


def _outcome_reads(cmd: Any) -> list[tuple[str, Key]]:
    rows = [("mail", (cmd.election, cmd.kind, outcome.voter)) for outcome in cmd.outcomes]
    return [("mail_claims", (cmd.claim,)), *rows]


_READS: dict[type[Any], Callable[[Any], list[tuple[str, Key]]]] = {
    c.GrantRole: lambda cmd: [("roles", (cmd.user, cmd.role))],
    c.WithdrawRole: lambda cmd: [("roles", (cmd.user, cmd.role))],
    c.AddVoters: _voter_reads,
    c.IssueCredential: lambda cmd: [
        ("roll", (cmd.election, cmd.voter)),
        ("users", (cmd.voter,)),
        ("credentials", (cmd.eid, cmd.voter)),
    ],
    c.OrderMail: lambda cmd: [("mail_orders", (cmd.election, cmd.kind))],
    c.ClaimMail: lambda cmd: [
        ("mail_orders", (cmd.election, cmd.kind)),
        *(("mail", (cmd.election, cmd.kind, voter)) for voter in cmd.voters),
    ],
    c.ReportMail: _outcome_reads,
    c.RecordBounce: lambda cmd: [("mail", (cmd.election, cmd.kind, cmd.voter))],
    c.EnrolIdentityKey: lambda cmd: [
        ("identity_keys", (cmd.user, key_hash(cmd.n))),
        ("trustee_keys", (key_hash(cmd.n),)),
    ],
    c.InviteTrustee: lambda cmd: [("invited_trustees", (cmd.election, cmd.user)), ("memberships", (cmd.user,))],
    c.WithdrawTrustee: lambda cmd: [("invited_trustees", (cmd.election, cmd.user))],
    c.EnrolTrustee: lambda cmd: [
        ("invited_trustees", (cmd.election, cmd.user)),
        ("trustee_keys", (key_hash(cmd.n),)),
        ("identity_keys", (cmd.user, key_hash(cmd.n))),
    ],
    c.CastBallot: _cast_reads,
    c.ClaimUnused: _claim_reads,
    c.EndEpoch: lambda cmd: [("epochs", (cmd.election,))],
    c.PublishBallots: _board_reads,
    c.EraseUser: _erasure_reads,
    c.ReleaseTrusteeKey: lambda cmd: [
        ("trustees", (cmd.election, cmd.number)),
        ("released_keys", (cmd.election, cmd.number, product(cmd.p, cmd.q))),
    ],
    c.AttestTally: lambda cmd: [("attestations", (cmd.election, cmd.node)), ("cluster_members", (IN_FORCE,))],
}

_DECIDE: dict[type[Any], Callable[[View, Any, int], Decision]] = {
    c.RegisterUser: accounts.register,
    c.ChangePassword: accounts.change_password,
    c.EnrolIdentityKey: accounts.enrol_identity,
    c.GrantRole: accounts.grant_role,
    c.WithdrawRole: accounts.withdraw_role,
    c.DraftElection: elections.draft,
    c.AmendElection: elections.amend,
    c.AddVoters: elections.add_voters,
    c.InviteTrustee: trustees.invite,
    c.WithdrawTrustee: trustees.withdraw,
    c.EnrolTrustee: trustees.enrol,
    c.OpenElection: elections.open,
    c.StartElection: elections.start,
    c.CloseElection: elections.close,
    c.CancelElection: elections.cancel,
    c.IssueCredential: casting.issue,
    c.OrderMail: mailing.order,
    c.ClaimMail: mailing.claim,
    c.ReportMail: mailing.report,
    c.RecordBounce: mailing.bounce,
    c.CastBallot: casting.cast,
    c.ClaimUnused: casting.claim_unused,
    c.EndEpoch: board.end_epoch,
    c.PublishBallots: board.publish,
    c.EraseCasts: publishing.erase,
    c.EraseUser: erasing.erase_user,
    c.ReleaseTrusteeKey: trustees.release,
    c.PublishSeeds: publishing.seeds,
    c.PublishTally: publishing.tally,
    c.AttestTally: publishing.attest,
}
