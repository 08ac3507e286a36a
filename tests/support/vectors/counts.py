"""Lots and counts: random elections of every method, ties and written names among them, with their whole results."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from ballot.voting.counting import METHODS, Tally, lot
from ballot.voting.counting.method import Form
from ballot.voting.question import Question
from tests.support.counts import GRADES

OF_EACH = 12
NAMES = ["jane doe", "joe", "\U0001f600", "\uff5e", "option 1"]


def lots() -> dict[str, Any]:
    cases = [
        {"seed": seed.hex(), "question": number, "candidates": 7, "lot": list(lot.draw(seed, number, 7)), "valid": True}
        for seed in (bytes(32), bytes(range(32)))
        for number in (0, 1)
    ]
    return {"about": "`lot` has the numbers of the candidates in the order drawn", "cases": cases}


def counts(of_each: int = OF_EACH, seed: int = 1) -> dict[str, Any]:
    random = Random(seed)
    cases = [_case(method, random) for method in METHODS for _ in range(of_each)]
    about = (
        "`result` of one question, from its `ballots` as [answer, weight]; the lot is that of question 0 under `seed`"
    )
    return {"about": about, "cases": cases}


def _case(method: str, random: Random) -> dict[str, Any]:
    asked = _question(method, random)
    ballots = [(_answer(asked, random), random.randint(1, 9)) for _ in range(random.choice([0, 1, 3, 8, 20]))]
    seed = random.randbytes(32)
    tally = Tally([asked])
    for answer, weight in ballots:
        tally.add([answer], weight)
    return {
        "name": method,
        "question": msgspec.to_builtins(asked),
        "ballots": [[answer, weight] for answer, weight in ballots],
        "seed": seed.hex(),
        "result": tally.results(seed)[0],
        "valid": True,
    }


def _question(method: str, random: Random) -> Question:
    form, options = METHODS[method].form, random.randint(1, 6)
    lists = form is Form.LIST
    write_ins = random.choice([0, 0, 1, 2]) if lists and method != "plurality" and options > 1 else 0
    most = 1 if method == "plurality" else options + write_ins if lists else options
    return Question(
        "?",
        method,
        [f"option {number}" for number in range(options)],
        most,
        _rules(method, options, random),
        GRADES if form is Form.GRADES else [],
        write_ins,
        ["joe"] if write_ins and random.random() < 0.5 else [],
    )


def _rules(method: str, options: int, random: Random) -> dict[str, int | bool]:
    if method != "irv":
        return {"seats": random.randint(1, options)} | ({"max_score": 3} if method == "score" else {})
    rules: dict[str, int | bool] = {
        "max_skipped_ranks": random.randint(0, 1),
        "overvote_skips": random.random() < 0.5,
        "repeat_exhausts": random.random() < 0.5,
        "batch_elimination": random.random() < 0.5,
        "drop_in_round_1": random.randrange(options),
    }
    return {name: value for name, value in rules.items() if random.random() < 0.5}


def _answer(asked: Question, random: Random) -> list[int | str]:
    form, options = METHODS[asked.method].form, len(asked.options)
    if random.random() < 0.1:
        return []
    if form is not Form.LIST:
        low, high = {
            Form.RANKS: (1, options),
            Form.POINTS: (0, int(asked.rules.get("max_score", 10))),
            Form.GRADES: (0, len(asked.grades) - 1),
        }[form]
        return [random.choice([-1, *range(low, high + 1)]) for _ in range(options)]
    if asked.method == "irv":
        marks: list[int | str] = [random.randint(-2, options - 1) for _ in range(random.randint(1, asked.max_choices))]
    else:
        marks = list(random.sample(range(options), random.randint(1, min(options, asked.max_choices))))
    for _ in range(random.randint(0, asked.write_ins)):
        if len(marks) < asked.max_choices:
            marks.insert(random.randint(0, len(marks)), random.choice(NAMES))
    return marks
