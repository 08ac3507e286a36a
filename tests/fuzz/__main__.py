"""`python -m tests.fuzz --seconds 60 [TARGET...]`: every parser, guided by coverage (atheris, which is libFuzzer).

A target's corpus lies in `.fuzz/<target>`, begins with its valid examples and is kept, so that the next run goes on
where this one stopped. What breaks a parser lies beside it as `<target>.crash-...`, `oom-...` or `timeout-...`: run it
again with `python -m tests.fuzz --again FILE TARGET`, make it a test, mend it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

FOLDER = Path(__file__).parents[2] / ".fuzz"
LONGEST_BYTES = 1 << 16
MOST_MEMORY_MIB = 2048
SLOWEST_S = 10


@click.command()
@click.option("--seconds", default=60, show_default=True, help="How long each target is fuzzed.")
@click.option("--again", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Runs one input once.")
@click.argument("names", nargs=-1, metavar="[TARGET]...")
def main(seconds: int, again: Path | None, names: tuple[str, ...]) -> None:
    """Fuzzes the named targets, or all of them, one after another."""
    from tests.fuzz.targets import TARGETS

    if unknown := set(names) - set(TARGETS):
        raise click.UsageError(f"no target {', '.join(unknown)}: choose from {', '.join(TARGETS)}")
    if again is not None:
        for name in names:
            click.echo(f"{name}: {'taken' if TARGETS[name].take(again.read_bytes()) else 'refused'}")
        return
    bad = [name for name in names or TARGETS if not _fuzz(name, TARGETS[name].examples(), seconds)]
    if bad:
        raise click.ClickException(f"broken: {', '.join(bad)}")
    click.echo("no target broke")


def _fuzz(name: str, examples: Sequence[bytes], seconds: int) -> bool:
    """Each target in a process of its own: libFuzzer ends the one that it runs in."""
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for example in examples:
        (corpus / hashlib.sha256(example).hexdigest()[:16]).write_bytes(example)
    click.echo(f"{name}: {seconds} s from {len(list(corpus.iterdir()))} inputs")
    command = [
        *(sys.executable, "-m", "tests.fuzz.guided", name, f"-max_total_time={seconds}", f"-max_len={LONGEST_BYTES}"),
        *(
            f"-rss_limit_mb={MOST_MEMORY_MIB}",
            f"-timeout={SLOWEST_S}",
            f"-artifact_prefix={corpus}.",
            "-print_final_stats=1",
        ),
        str(corpus),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    last = [line for line in done.stderr.splitlines() if "DONE" in line or "number_of_executed_units" in line]
    click.echo("  " + " ".join(last) if done.returncode == 0 else done.stderr[-4000:])
    return done.returncode == 0


if __name__ == "__main__":
    main()
