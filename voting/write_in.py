"""Names that voters write in: how a ballot holds them, and for whom they count.

In an answer a text stands where the number of an option would. It counts for the option or the declared name with the
same normal form; all others together are one more number, "other names", which is shown but never elected. A name that
the answer has already, marked or written, counts once, at its first place.

The voter's program writes the normal form into the ballot. The count compares and never normalises a ballot's text, so
no two versions of the Unicode tables can disagree on what a ballot says: another spelling is another name.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from . import document
from .question import DefinitionError, InvalidChoice, Question

MOST_WRITE_INS = 10
MOST_BYTES = 64
"""Of a text as it stands in the document, without the quotes around it."""
MOST_LISTED = 100

Marks = tuple[int | str, ...]
"""An answer as a ballot holds it."""


def normal_form(name: str) -> str:
    """NFKC, case folded, NFKC again, and single spaces: "Jane  DOE" is "jane doe"."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def check_names(question: Question) -> None:
    """Raises DefinitionError unless written names could be told apart and counted alike everywhere."""
    if not question.write_ins:
        if question.declared:
            raise DefinitionError("names are declared, but none can be written in")
        return
    if not 1 <= question.write_ins <= min(MOST_WRITE_INS, question.max_choices):
        raise DefinitionError(f"write_ins must be from 0 to max_choices, and at most {MOST_WRITE_INS}")
    names = question.options + question.declared
    for name in names:
        # Later versions give every character of Unicode 3.2 the form that it has now; on newer ones they may differ.
        if any(unicodedata.ucd_3_2_0.category(char) == "Cn" for char in name):
            raise DefinitionError(f"{name!r} has a character that is too new to be compared with written names")
    if len({normal_form(name) for name in names}) != len(names):
        raise DefinitionError("two names could not be told apart when written in")


def check_texts(question: Question, answer: Sequence[int | str]) -> None:
    """Raises InvalidChoice unless the answer's texts may be in it."""
    texts = [mark for mark in answer if isinstance(mark, str)]
    if not texts:
        return
    if len(texts) > question.write_ins:
        raise InvalidChoice("more names are written in than the ballot has lines for")
    if len(answer) > question.max_choices:
        raise InvalidChoice("more options are marked than allowed")
    for text in texts:
        if not text or len(document.encode(text)) - 2 > MOST_BYTES:
            raise InvalidChoice(f"a written name is empty or longer than {MOST_BYTES} bytes")
        if any(char < " " or "\x7f" <= char < "\xa0" for char in text):
            raise InvalidChoice("a written name has a control character")


def longest(question: Question, numbers: Sequence[int]) -> list[int | str]:
    """The longest answer, from the longest one without written names."""
    texts = ["x" * MOST_BYTES] * question.write_ins
    kept = question.max_choices - len(texts)
    return [*(numbers[-kept:] if kept else ()), *texts]


def resolve(question: Question, given: Iterable[tuple[Marks, int]]) -> tuple[Counter[tuple[int, ...]], dict[str, Any]]:
    """The answers with numbers for all names, and what the result says of other names.

    That is `{"listed": [{"name": "jane doe", "votes": 7}, ...], "more": 0}`: the names that were written most often,
    and how often all further ones were.
    """
    numbers = {normal_form(name): number for number, name in enumerate(question.options + question.declared)}
    other = len(numbers)
    ballots: Counter[tuple[int, ...]] = Counter()
    others: Counter[str] = Counter()
    for marks, weight in given:
        ballots[tuple(_numbers(marks, numbers, other))] += weight
        for name in {mark for mark in marks if isinstance(mark, str)} - numbers.keys():
            others[name] += weight
    return ballots, _listed(others)


def _numbers(marks: Marks, numbers: dict[str, int], other: int) -> list[int]:
    answer: list[int] = []
    written: set[int] = set()
    for mark in marks:
        number = numbers.get(mark, other) if isinstance(mark, str) else mark
        if number in written or (isinstance(mark, str) and number in answer):
            continue
        answer.append(number)
        if isinstance(mark, str):
            written.add(number)
    return answer


def _listed(others: Counter[str]) -> dict[str, Any]:
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    listed = [{"name": name, "votes": votes} for name, votes in ordered[:MOST_LISTED]]
    return {"listed": listed, "more": sum(votes for _, votes in ordered[MOST_LISTED:])}
