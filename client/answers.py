"""A voter's answers in words: what is typed becomes the marks of a ballot, and marks are shown as what they say.

One text answers one question, in the form of its method, marks apart by commas (in quotes where a name has one):

    list             Ada, 3, +Jane Doe    options by name or number, the first choice first; + writes a name in
    ranks, points    Rome=1, 2=4          a number for an option; those left out have none
    grades           Union=Good, 2=3      a grade by name or number
    any              -                    blank

Numbers are those shown, from 1. `#3` is a number too, where an option is called 3.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

from ..voting.choice import InvalidChoice, decode_choice, encode_choice
from ..voting.counting import METHODS
from ..voting.counting.method import NO_NUMBER, Form
from ..voting.question import Question
from ..voting.write_in import normal_form

BLANK, WRITTEN = "-", "+"
MOST_DIGITS = 6

Marks = list[int | str]


class AnswerError(ValueError):
    """What was typed is no answer to the question; the message says why."""


def read_answer(question: Question, text: str) -> Marks:
    """The answer that a text gives, with written names in their normal form. Raises AnswerError."""
    if not text.isprintable():
        raise AnswerError("the answer has a character that cannot be shown")
    if text.strip() == BLANK:
        return []
    marks = _split(text)
    form = METHODS[question.method].form
    answer = _list(question, marks) if form is Form.LIST else _numbers(question, form, marks)
    try:
        decode_choice([question], encode_choice([answer]))
    except InvalidChoice as error:
        raise AnswerError(error.reason) from error
    return answer


def show_question(question: Question) -> list[str]:
    """Its text, its options by number and name, and how to answer."""
    lines = [question.text, *_numbered(question.options)]
    if question.declared:
        lines.append(f"     may be written in: {', '.join(question.declared)}")
    if question.grades:
        lines += ["     grades, the best first:", *_numbered(question.grades)]
    return [*lines, f"     {question.method}: {_how(question)}; {BLANK} for a blank vote"]


def show_answer(question: Question, answer: Sequence[int | str]) -> list[str]:
    """What a ballot with this answer says, an option a line."""
    if not answer:
        return ["blank: nothing is marked"]
    form = METHODS[question.method].form
    if form is Form.LIST:
        return [f"{place}. {_name(question, mark)}" for place, mark in enumerate(answer, 1)]
    return [f"{name}: {_said(question, form, int(mark))}" for name, mark in zip(question.options, answer, strict=True)]


def _numbered(names: Sequence[str]) -> list[str]:
    return [f"{number:4} {name}" for number, name in enumerate(names, 1)]


def _how(question: Question) -> str:
    match METHODS[question.method].form:
        case Form.LIST:
            most = question.max_choices
            how = "one option" if most == 1 else f"up to {most} options, the best first where it ranks, as in 2, 1"
            names = f"; up to {question.write_ins} of them written in, as {WRITTEN}NAME" if question.write_ins else ""
            return how + names
        case Form.RANKS:
            return "ranks from 1, the best, equal ones allowed, as in 1=2, 2=1"
        case Form.POINTS:
            return "points, the more the better, as in 1=3, 2=0"
        case Form.GRADES:
            return "grades by name or number, as in 1=1, 2=2"


def _name(question: Question, mark: int | str) -> str:
    if isinstance(mark, str):
        return f"{mark} (written in)"
    return f"{question.options[mark]} ({mark + 1})" if mark >= 0 else "no option"


def _said(question: Question, form: Form, number: int) -> str:
    if number == NO_NUMBER:
        return "left out"
    if form is Form.GRADES:
        return question.grades[number]
    return f"rank {number}" if form is Form.RANKS else f"{number} points"


def _split(text: str) -> list[str]:
    try:
        [fields] = csv.reader([text], skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise AnswerError(f"give marks, apart by commas, or {BLANK} for a blank vote") from error
    marks = [" ".join(field.split()) for field in fields]
    if not marks or "" in marks:
        raise AnswerError(f"a mark is empty; {BLANK} alone is a blank vote")
    return marks


def _list(question: Question, marks: Sequence[str]) -> Marks:
    answer: Marks = []
    for text in marks:
        mark = _mark(question, text)
        if mark in answer:
            raise AnswerError(f"{text} is given twice")
        answer.append(mark)
    if len(answer) > question.max_choices:
        raise AnswerError(f"{len(answer)} options are given, and {question.max_choices} at most may be")
    return answer


def _mark(question: Question, text: str) -> int | str:
    if not text.startswith(WRITTEN) or text in question.options:
        return _pick(question.options, text)
    if not question.write_ins:
        raise AnswerError("no names can be written in here")
    name = normal_form(text.removeprefix(WRITTEN))
    # The count would take it for the option: then the ballot should say so.
    alike = [number for number, option in enumerate(question.options) if normal_form(option) == name]
    return alike[0] if alike else name


def _numbers(question: Question, form: Form, marks: Sequence[str]) -> Marks:
    answer = [NO_NUMBER] * len(question.options)
    for mark in marks:
        name, equals, value = (part.strip() for part in mark.rpartition("="))
        if not equals:
            raise AnswerError(f"{mark} has no number: give OPTION=NUMBER")
        option = _pick(question.options, name)
        if answer[option] != NO_NUMBER:
            raise AnswerError(f"{name} is given twice")
        answer[option] = _pick(question.grades, value) if form is Form.GRADES else _number(value)
    return list(answer)


def _number(text: str) -> int:
    if not _is_number(text):
        raise AnswerError(f"{text} is not a number that can be given")
    return int(text)


def _pick(names: Sequence[str], text: str) -> int:
    """The place of the one name meant, by name or by the number shown."""
    exact = [place for place, name in enumerate(names) if name == text]
    alike = [place for place, name in enumerate(names) if normal_form(name) == normal_form(text)]
    number = text if exact else text.removeprefix("#")
    found = {*(exact or alike), *([int(number) - 1] if _is_number(number) else [])} & set(range(len(names)))
    if not found:
        raise AnswerError(f"there is no {text}: choose from 1 to {len(names)}, or by name")
    if len(found) > 1:
        raise AnswerError(f"{text} may mean more than one: give its number, as in #{min(found) + 1}")
    return found.pop()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
