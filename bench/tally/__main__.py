"""`python -m bench.tally`: ballots opened a second beside a bare loop of OAEP decryptions."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from rich.console import Console
from rich.table import Table

from ballot.ledger import rsa
from ballot.replay.checks_count import OPEN_BATCH
from ballot.replay.pool import Pool
from ballot.replay.verify import Primes, open_ballots
from ballot.voting.definition import (
    ElectionDefinition,
    Registrar,
    Roll,
    Trustee,
    election_id,
    encode_definition,
    pad_length,
)
from bench.audit.bare import run_bare
from bench.audit.keys import make_quick_key
from bench.audit.making import QUESTIONS
from bench.audit.voters import Booth, Made, make_voters

Row = dict[str, float | str]
WARM_UP = 64


@dataclass(frozen=True)
class Board:
    """An election's ballots, and the keys of those k trustees who released them."""

    document: bytes
    eid: bytes
    primes: Primes
    made: Sequence[Made]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--ballots", default=2000, show_default=True, type=click.IntRange(100), help="Of each board.")
@click.option("--trustees", default="1/1,3/5", show_default=True, help="Boards, as k/n, separated by ,")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="In turn; medians count.")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(ballots: int, trustees: str, rounds: int, workers: int, as_json: bool) -> None:
    """Open ballots as the audit does, on all cores: decrypt k shares, combine, derive, decrypt, seal again, compare.

    Beside it, in the same run, k decryptions a ballot in a bare loop over `cryptography` on as many processes.
    """
    console, rows = Console(stderr=True), []
    for board in trustees.split(","):
        k, n = map(int, board.split("/"))
        with console.status(f"making {ballots} ballots for {k} of {n} trustees"):
            made = make_board(k, n, ballots)
        with console.status(f"opening {ballots} ballots, {k} of {n} trustees"):
            rows.append(_measure(made, k, n, rounds, workers))
    if as_json:
        click.echo(json.dumps({"machine": platform.platform(), "workers": workers, "rows": rows}))
    else:
        _print(rows, workers)


def make_board(k: int, n: int, ballots: int) -> Board:
    keys, registrar = [rsa.generate(3072) for _ in range(n)], make_quick_key(3072)
    definition = ElectionDefinition(
        title="Bench",
        questions=QUESTIONS,
        opens_us=1,
        closes_us=0,
        pad_len=pad_length(QUESTIONS),
        k=k,
        trustees=[Trustee(f"trustee {number}", rsa.modulus(key).hex()) for number, key in enumerate(keys, 1)],
        registrars=[Registrar(1, registrar.modulus.hex())],
        roll=Roll(ballots, bytes(32).hex()),
        origin="bench.example/log",
        genesis=bytes(32).hex(),
    )
    document = encode_definition(definition)
    eid = election_id(document)
    primes = sorted({prime for _ in range(16) for prime in make_quick_key(2048).primes})
    moduli = tuple(map(rsa.modulus, keys))
    booth = Booth(eid, moduli, k, definition.pad_len, registrar, [make_quick_key(3072)], primes)
    made = sorted(make_voters(booth, 0, ballots), key=lambda one: hashlib.sha256(one.body).digest())
    return Board(document, eid, _released(keys[:k]), made)


def _released(keys: Sequence[RSAPrivateKey]) -> Primes:
    numbers = (key.private_numbers() for key in keys)
    return tuple((number, one.p, one.q) for number, one in enumerate(numbers, 1))


def _measure(board: Board, k: int, n: int, rounds: int, workers: int) -> Row:
    ours, by_seed, bare = [], [], []
    pool = Pool(workers, lambda index, flaw: None)
    try:
        _open(pool, board, WARM_UP * workers, seeds=False)  # Processes are started and have loaded the keys.
        for _ in range(rounds):
            bare.append(run_bare({"oaep3072": k * len(board.made)}, workers)[0])
            ours.append(_open(pool, board, len(board.made), seeds=False))
            by_seed.append(_open(pool, board, len(board.made), seeds=True))
    finally:
        pool.close()
    count = len(board.made)
    return {
        "trustees": f"{k} of {n}",
        "opened_a_second": count / statistics.median(ours),
        "bare_a_second": count / statistics.median(bare),
        "ratio": statistics.median(one / other for one, other in zip(bare, ours, strict=True)),
        "by_seed_a_second": count / statistics.median(by_seed),
    }


def _open(pool: Pool, board: Board, count: int, *, seeds: bool) -> float:
    """The seconds that it took. Raises SystemExit when a ballot does not open to what is in it."""
    made, begun = board.made[:count], time.perf_counter()
    batches = [made[start : start + OPEN_BATCH] for start in range(0, count, OPEN_BATCH)]
    arguments = (
        (board.document, board.eid, board.primes, [one.body for one in batch], [one.seed * seeds for one in batch])
        for batch in batches
    )
    opened = [vote for results in pool.map(open_ballots, arguments, True) for vote, _ in results]
    seconds = time.perf_counter() - begun
    if [vote and vote.answers for vote in opened] != [[[one.answer]] for one in made]:
        raise SystemExit("a ballot did not open to what is in it")
    return seconds


def _print(rows: Sequence[Row], workers: int) -> None:
    table = Table("", title=f"ballots opened, {workers} processes, {platform.machine()}")
    for row in rows:
        table.add_column(f"{row['trustees']} trustees", justify="right")
    for name in rows[-1]:
        if name != "trustees":
            shown = (f"{row[name]:.2f}" if name == "ratio" else f"{row[name]:,.0f}" for row in rows)
            table.add_row(name.replace("_", " "), *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
