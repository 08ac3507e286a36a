"""A real election as sample input for the demo and the tests: Minneapolis, mayor, 7 November 2017."""

import csv
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .voting.counting.irv import OVERVOTED, SKIPPED
from .voting.question import Question

TITLE = "Minneapolis, mayor, 7 November 2017"
RANKS = ("first", "second", "third")
NOT_OPTIONS = {"undervote": SKIPPED, "overvote": OVERVOTED}
WRITE_INS = {"UWI": "Undeclared Write-ins"}


@dataclass(frozen=True, slots=True)
class Sample:
    """A question and how it was answered: every distinct answer with the number of ballots that gave it."""

    title: str
    question: Question
    ballots: list[tuple[tuple[int, ...], int]]


def load_minneapolis(path: Path) -> Sample:
    """Reads `minneapolis-2017-mayor.csv` (count, first, second, third; see tests/data/README.md).

    Options are in alphabetical order. Empty ranks at the end of a ballot are left out of its answer.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(int(row["count"]), [row[rank] for rank in RANKS]) for row in csv.DictReader(file)]
    marks = {mark for _, ranks in rows for mark in ranks} - NOT_OPTIONS.keys()
    options = sorted(WRITE_INS.get(mark, mark) for mark in marks)
    numbers = NOT_OPTIONS | {mark: options.index(WRITE_INS.get(mark, mark)) for mark in marks}
    ballots: Counter[tuple[int, ...]] = Counter()
    for count, ranks in rows:
        ballots[_answer([numbers[mark] for mark in ranks])] += count
    return Sample(TITLE, _question(options), list(ballots.items()))


def draw(sample: Sample, n: int, seed: int) -> list[list[int]]:
    """Draws `n` of the sample's ballots at random without replacement, the same ones for the same seed.

    Raises ValueError if the sample has fewer.
    """
    answers = [answer for answer, _ in sample.ballots]
    counts = [count for _, count in sample.ballots]
    return [list(answer) for answer in random.Random(seed).sample(answers, n, counts=counts)]


def _answer(ranks: list[int]) -> tuple[int, ...]:
    while ranks and ranks[-1] == SKIPPED:
        ranks = ranks[:-1]
    return tuple(ranks)


def _question(options: list[str]) -> Question:
    return Question(
        text="Who shall be mayor of Minneapolis?",
        method="irv",
        options=options,
        max_choices=len(RANKS),
        rules={
            "max_skipped_ranks": 1,
            "overvote_skips": True,
            "batch_elimination": True,
            "drop_in_round_1": options.index(WRITE_INS["UWI"]),
        },
    )
