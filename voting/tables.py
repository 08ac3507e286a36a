"""The shape of the state: tables of rows that entries change.

One fold serves all: the projector carries the changes out in PostgreSQL, the leader lays those in flight over what is
applied, and the auditor keeps them in dictionaries. A row remembers in `at` the entry that changed it last; a change is
merged only if it is newer, so merging twice is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

IN_FORCE = "in force"
"""The key of the one row of `cluster_members`."""

Key = tuple[Any, ...]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """`types` gives the PostgreSQL type of each column, keys included; `at bigint` comes on top."""

    name: str
    key: tuple[str, ...]
    types: Mapping[str, str]
    public: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.types)


@dataclass(frozen=True, slots=True)
class Put:
    """Sets `values` of one row and adds `add` to its counters, making the row if need be; the rest keeps its values.

    An entry changes a row at most once, so that `at` can tell whether a change is merged already.
    """

    table: str
    key: Key
    values: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clear:
    """Removes the rows of `table` whose `column` is `value`."""

    table: str
    column: str
    value: Any


Change = Put | Clear


def _table(name: str, key: str, /, *, public: bool = True, **types: str) -> Table:
    return Table(name, tuple(key.split()), types, public)


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            _table("commands", "command", command="bytea"),
            _table("users", "user_id", user_id="bytea", identity_n="bytea", identity="bytea"),
            _table(
                "identity_keys",
                "user_id identity",
                public=True,
                **dict.fromkeys(("user_id", "identity", "n"), "bytea"),
                enrolled_at="bigint",
            ),
            _table("roles", "user_id role", user_id="bytea", role="text", withdrawn_at="bigint"),
            _table(
                "elections",
                "election",
                election="bytea",
                organiser="bytea",
                status="text",
                draft="bytea",
                eid="bytea",
                definition="bytea",
                opens_us="bigint",
                closes_us="bigint",
                trustee_count="bigint",
                roll_size="bigint",
                roll_root="bytea",
                issued="bigint",
                cast_count="bigint",
                unused="bigint",
                closed_count="bigint",
                chunks="bigint",
                published="bigint",
                seed_chunks="bigint",
                drafted_at="bigint",
                opened_at="bigint",
                closed_at="bigint",
                published_at="bigint",
                erased_at="bigint",
                tally_at="bigint",
                tally="bytea",
                tally_digest="bytea",
                disputed="boolean",
                started_at="bigint",
                invited_count="bigint",
                enrolments="bigint",
                trustee_changes="bigint",
            ),
            _table("roll", "election voter", election="bytea", voter="bytea", weight="bigint", added_at="bigint"),
            _table(
                "trustees",
                "election number",
                election="bytea",
                number="bigint",
                name="text",
                n="bytea",
            ),
            _table(
                "invited_trustees",
                "election user_id",
                public=True,
                **dict.fromkeys(("election", "user_id"), "bytea"),
                name="text",
                n="bytea",
                **dict.fromkeys(("number", "invited_at", "enrolled_at"), "bigint"),
            ),
            _table("trustee_keys", "key", public=True, **dict.fromkeys(("key", "election", "user_id"), "bytea")),
            _table(
                "released_keys",
                "election number n",
                public=True,
                election="bytea",
                number="bigint",
                **dict.fromkeys(("n", "p", "q"), "bytea"),
                released_at="bigint",
            ),
            _table("credentials", "eid voter", eid="bytea", voter="bytea", blinded="bytea", issued_at="bigint"),
            _table("board", "eid name", eid="bytea", name="bytea", position="bigint", published_at="bigint"),
            _table(
                "epochs",
                "election",
                public=True,
                election="bytea",
                **dict.fromkeys(("number", "interval_us", "ballots", "since_us", "ended_at", "casts"), "bigint"),
                begun="boolean",
                last_name="bytea",
            ),
            _table("spent", "eid bid", eid="bytea", bid="bytea"),
            _table("attestations", "election node", election="bytea", node="bigint", digest="bytea"),
            _table("unused_claims", "eid bid", eid="bytea", bid="bytea", claimed_at="bigint"),
            _table("claim_windows", "eid", eid="bytea", until_us="bigint"),
            _table(
                "accounts",
                "tag",
                public=False,
                **dict.fromkeys(("tag", "user_id"), "bytea"),
                **dict.fromkeys(("address_at", "password_at"), "bigint"),
            ),
            _table(
                "mail_orders",
                "election kind",
                public=True,
                election="bytea",
                kind="text",
                **dict.fromkeys(("round", "ordered_us", "claimed_round", "claimed"), "bigint"),
            ),
            _table(
                "mail_claims",
                "claim",
                public=True,
                **dict.fromkeys(("claim", "election"), "bytea"),
                kind="text",
                claimed_us="bigint",
                settled="boolean",
            ),
            _table(
                "mail",
                "election kind voter",
                public=False,
                election="bytea",
                kind="text",
                **dict.fromkeys(("voter", "claim"), "bytea"),
                **dict.fromkeys(("round", "attempt", "retry_us"), "bigint"),
                **dict.fromkeys(("state", "reason"), "text"),
            ),
            # From public payloads alone, but no part of the state that is compared: it counts rows of other tables.
            _table(
                "memberships",
                "user_id",
                public=False,
                user_id="bytea",
                **dict.fromkeys(("rolls", "organised", "invited"), "bigint"),
            ),
            # The public payload of the newest membership entry, which is public by itself.
            _table("cluster_members", "which", public=False, which="text", listed="bytea"),
            _table("roll_tags", "election tag", public=False, election="bytea", tag="bytea", voter="bytea"),
            _table("casts", "eid bid", public=False, eid="bytea", bid="bytea", name="bytea", cast_at="bigint"),
        )
    }
)


def merge(row: Row | None, change: Put, at: int) -> Row:
    """The row after `change` made by entry `at`; unchanged when it has seen that entry. Counters start at 0."""
    if row is not None and row["at"] >= at:
        return row
    table = TABLES[change.table]
    merged = dict(zip(table.key, change.key, strict=True)) if row is None else dict(row)
    merged.update(change.values)
    for column, amount in change.add.items():
        merged[column] = (merged.get(column) or 0) + amount
    merged["at"] = at
    return merged
