"""The tables that a person reads."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .appends import Row


def print_report(appends: Sequence[Row], length: Sequence[Row], catch_up: Row, failover: Row) -> None:
    console = Console()
    if appends:
        console.print(_side_by_side(f"durable appends of 1 KiB, three nodes, {platform.machine()}", "clients", appends))
    if length:
        console.print(_side_by_side("the same 64 clients at several lengths of the log", "entries", length))
    if catch_up:
        console.print(_down("a new node joins and streams the log", catch_up))
    if failover:
        console.print(_down("leaders killed under 64 clients: longest time without an answer, ms", failover))


def _side_by_side(title: str, head: str, rows: Sequence[Row]) -> Table:
    """One column a row; `head` names the field that tells the columns apart."""
    table = Table("", title=title)
    for row in rows:
        table.add_column(f"{row[head]:,.0f} {head}", justify="right")
    for name in rows[-1]:
        if name != head:
            table.add_row(_label(name), *(_shown(name, row[name]) if name in row else "" for row in rows))
    return table


def _down(title: str, row: Row) -> Table:
    table = Table("", "", title=title, show_header=False)
    for name, value in row.items():
        table.add_row(_label(name), _shown(name, value))
    return table


def _label(name: str) -> str:
    return name.replace("_", " ")


def _shown(name: str, value: float) -> str:
    if name.startswith("ratio") or name.endswith("_s"):
        return f"{value:,.2f}"
    return f"{value:,.0f}" if float(value).is_integer() or value >= 1000 else f"{value:,.1f}"
