"""Definitions, choices and names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ballot.voting import document
from ballot.voting.choice import InvalidChoice, decode_choice
from ballot.voting.counting import METHODS
from ballot.voting.definition import DefinitionError, decode_definition, election_id
from ballot.voting.question import Question
from ballot.voting.write_in import normal_form
from tests.support.counts import GRADES
from tests.support.log_builder import election_log

Change = Callable[[dict[str, Any]], Any]


def changes() -> Iterator[tuple[str, Change]]:
    """Ways in which a definition may be spoilt, and some in which it may differ and stay good."""
    yield "as it is", lambda one: None
    yield "closes by itself", lambda one: one.update(closes_us=one["opens_us"] + 1)
    yield "closes as it opens", lambda one: one.update(closes_us=one["opens_us"])
    yield "more padding", lambda one: one.update(pad_len=65537)
    yield "too much padding", lambda one: one.update(pad_len=65538)
    yield "too little padding", lambda one: one.update(pad_len=one["pad_len"] - 64)
    yield "claims end", lambda one: one.update(claims_s=86_400)
    yield "claims end at once", lambda one: one.update(claims_s=0)
    yield "claims end after more than a year", lambda one: one.update(claims_s=366 * 86_400 + 1)
    yield "epochs", lambda one: one.update(epochs={"interval_us": 600_000_000, "ballots": 20})
    yield "epochs too short", lambda one: one.update(epochs={"interval_us": 599_999_999, "ballots": 20})
    yield "epochs too small", lambda one: one.update(epochs={"interval_us": 600_000_000, "ballots": 19})
    yield "epochs without ballots", lambda one: one.update(epochs={"interval_us": 600_000_000})
    yield "another version", lambda one: one.update(version=2)
    yield "no version", lambda one: one.pop("version")
    yield "a field too many", lambda one: one.update(note="x")
    yield "a number for a text", lambda one: one.update(title=1)
    yield "a truth value for a number", lambda one: one.update(k=True)
    yield "no title", lambda one: one.update(title="")
    yield "a title of 200 letters", lambda one: one.update(title="é" * 200)
    yield "a title of 201 letters", lambda one: one.update(title="\U0001f600" * 201)
    yield "a title that ends in a space", lambda one: one.update(title="City election ")
    yield "a title that ends in an ideographic space", lambda one: one.update(title="City\u3000")
    yield "a title with a zero-width no-break space at its end", lambda one: one.update(title="City\ufeff")
    yield "a title with a line break", lambda one: one.update(title="City\nelection")
    yield "no trustee", lambda one: one.update(trustees=[])
    yield "k above n", lambda one: one.update(k=2)
    yield "k is zero", lambda one: one.update(k=0)
    yield "a modulus in capitals", lambda one: one["trustees"][0].update(n=one["trustees"][0]["n"].upper())
    yield "a modulus too short", lambda one: one["trustees"][0].update(n=one["trustees"][0]["n"][2:])
    yield "one key twice", lambda one: one["trustees"][0].update(n=one["registrars"][0]["n"])
    yield "no registrar", lambda one: one.update(registrars=[])
    yield "a weight of zero", lambda one: one["registrars"][0].update(weight=0)
    yield "a weight of 2^32", lambda one: one["registrars"][0].update(weight=2**32)
    yield "a weight of 2^32 - 1", lambda one: one["registrars"][0].update(weight=2**32 - 1)
    yield "weights too large to count", lambda one: one.update(roll=one["roll"] | {"size": 2**47})
    yield "a roll root too short", lambda one: one.update(roll=one["roll"] | {"root": "00"})
    yield "no question", lambda one: one.update(questions=[])
    yield "too many options together", lambda one: one.update(questions=[_wide(200) for _ in range(6)], pad_len=8192)
    yield from ((f"question: {name}", _asked(change)) for name, change in question_changes())


def question_changes() -> Iterator[tuple[str, Change]]:
    yield "no such method", lambda one: one.update(method="borda")
    yield "a method that is a property of every object", lambda one: one.update(method="toString")
    yield "no option", lambda one: one.update(options=[])
    yield "one option twice", lambda one: one.update(options=["Ada", "Bo", "Ada"])
    yield "one option twice in two spellings", lambda one: one.update(options=["Zo\u00eb", "Zoe\u0308", "Ada"])
    yield "more choices than lines", lambda one: one.update(max_choices=4)
    yield "no choices", lambda one: one.update(max_choices=0)
    yield "an unknown rule", lambda one: one.update(rules={"seats": 1})
    yield "a rule out of range", lambda one: one.update(rules={"max_skipped_ranks": 4})
    yield "a number for a truth value", lambda one: one.update(rules={"overvote_skips": 1})
    yield "a truth value for a number", lambda one: one.update(rules={"max_skipped_ranks": True})
    yield (
        "all rules",
        lambda one: one.update(
            rules={"max_skipped_ranks": 1, "overvote_skips": True, "repeat_exhausts": True, "batch_elimination": True}
        ),
    )
    yield "an empty field that is written", lambda one: one.update(write_ins=0)
    yield "grades where there are none", lambda one: one.update(grades=["good", "bad"])
    yield "names written in", lambda one: one.update(write_ins=2, declared=["Dee"])
    yield "more lines than choices", lambda one: one.update(write_ins=4)
    yield "names declared but none written in", lambda one: one.update(declared=["Dee"])
    yield "names that could not be told apart", lambda one: one.update(write_ins=1, declared=["ADA"])
    yield "names that fold alike", lambda one: one.update(write_ins=1, declared=["Straße", "STRASSE"])
    yield "a character newer than Unicode 3.2", lambda one: one.update(write_ins=1, declared=["\U0001f600"])
    yield "majority judgement without grades", lambda one: one.update(method="majority_judgement")
    yield "majority judgement", lambda one: one.update(method="majority_judgement", grades=GRADES)
    yield "score", lambda one: one.update(method="score", rules={"max_score": 100, "seats": 3})
    yield "score beyond 100", lambda one: one.update(method="score", rules={"max_score": 101})
    yield "schulze", lambda one: one.update(method="schulze")
    yield "stv", lambda one: one.update(method="stv", rules={"seats": 2})
    yield "more seats than options", lambda one: one.update(method="stv", rules={"seats": 4})
    yield "plurality with two marks", lambda one: one.update(method="plurality", max_choices=2)


def _asked(change: Change) -> Change:
    return lambda one: (change(one["questions"][0]), one.update(pad_len=640))


def _wide(options: int) -> dict[str, Any]:
    names = [f"option {number}" for number in range(options)]
    return {"text": "?", "method": "approval", "options": names, "max_choices": 1, "rules": {}}


def definitions() -> dict[str, Any]:
    cases = []
    for name, change in changes():
        value = document.decode(election_log().document)
        change(value)
        cases.append(_definition(name, document.encode(value)))
    cases.append(_definition("a space", election_log().document.replace(b":", b": ", 1)))
    return {"about": "an election definition; where it is valid, `eid` is the election's id", "cases": cases}


def _definition(name: str, data: bytes) -> dict[str, Any]:
    try:
        decode_definition(data)
    except DefinitionError:
        return {"name": name, "definition": data.decode(), "valid": False}
    return {"name": name, "definition": data.decode(), "eid": election_id(data).hex(), "valid": True}


OPTIONS = ["Ada", "Bo", "Cy"]
QUESTIONS = {
    "plurality": Question("?", "plurality", OPTIONS, 1),
    "approval": Question("?", "approval", OPTIONS, 2),
    "irv": Question("?", "irv", OPTIONS, 3),
    "stv": Question("?", "stv", OPTIONS, 2, write_ins=1),
    "schulze": Question("?", "schulze", OPTIONS, 3),
    "majority_judgement": Question("?", "majority_judgement", OPTIONS, 3, {}, GRADES),
    "score": Question("?", "score", OPTIONS, 3),
}
ANSWERS: list[list[Any]] = [
    *([], [0], [2, 0], [0, 1, 2], [-1, -1, -1], [-1], [-2], [3], [0, 0], [1, 1, 3], [4, 1, 1], [0, 3, -1], [0, 10, 5]),
    *([0, 11, 5], [1, 2], ["jane doe"], ["jane doe", 1], ["jane", "joe"], ["x" * 64], ["x" * 65], [""], ["é" * 33]),
    *(["a\tb"], ["a\u0085b"], ["Ada", 0], ['"' * 32], ['"' * 33]),
]


def choices() -> dict[str, Any]:
    cases = [
        {"method": method, "choice": document.encode({"answers": [answer]}).hex(), "valid": _accepted(method, answer)}
        for method in METHODS
        for answer in ANSWERS
    ]
    other = [b"", b"{}", b'{"answers":[]}', b'{"answers":[[0],[0]]}', b'{"answers":[[true]]}', b'{"answers":[0]}']
    cases += [{"method": "irv", "choice": data.hex(), "valid": False} for data in other]
    asked = {method: document.decode(document.encode(_builtins(one))) for method, one in QUESTIONS.items()}
    return {
        "about": "whether a plaintext is a valid choice for the one question of `method`",
        "questions": asked,
        "cases": cases,
    }


def _builtins(question: Question) -> Any:
    import msgspec

    return msgspec.to_builtins(question)


def _accepted(method: str, answer: list[Any]) -> bool:
    try:
        decode_choice([QUESTIONS[method]], document.encode({"answers": [answer]}))
    except InvalidChoice:
        return False
    return True


NAMES = [
    *(
        "Jane  DOE",
        " Zoe\u0308 ",
        "Stra\u00dfe",
        "\u0130stanbul",
        "I\u0131i",
        "\u1e9e",
        "\ufb01sh",
        "\u03a3\u03c2\u03c3",
    ),
    *("\u01c5", "\u1f80", "\u0345", "\u212a", "\u13a0", "\u10a0", "\u10d0", "\u2160", "\uff21", "a\u00a0b", "\u00b5"),
    *("\u0149", "\u1e96", "\u0390", "\u1fb7", "\u0587", "tab\tand\nline", "\u3000", "\u0958"),
]


def names() -> dict[str, Any]:
    cases = [{"name": name, "normal_form": normal_form(name), "valid": True} for name in NAMES]
    return {"about": "`normal_form` is what a written `name` is compared by", "cases": cases}
