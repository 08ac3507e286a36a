"""What is said: plain text files, one a kind and language, the subject on the first line, `$name` for what varies."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Literal, NamedTuple, get_args

Language = Literal["en", "de", "fr"]
Kind = Literal["code", "taken", "changed", "invitation", "reminder", "issued", "trustee"]

LANGUAGES: tuple[Language, ...] = get_args(Language)
KINDS: tuple[Kind, ...] = get_args(Kind)


# In place of a time.
NOW: Mapping[Language, str] = {"en": "now", "de": "jetzt", "fr": "maintenant"}
BY_HAND: Mapping[Language, str] = {
    "en": "when the organiser says so",
    "de": "wenn die Wahlleitung es bestimmt",
    "fr": "sur décision de l'organisateur",
}


class Letter(NamedTuple):
    subject: str
    text: str


def letter(kind: Kind, language: Language, /, **values: str) -> Letter:
    """Raises KeyError for a placeholder without a value, TypeError for a value without a placeholder: our bugs."""
    subject, text = template(kind, language)
    if unused := values.keys() - placeholders(kind, language):
        raise TypeError(f"{language}/{kind} has no place for {', '.join(sorted(unused))}")
    return Letter(subject.substitute(values), text.substitute(values))


def placeholders(kind: Kind, language: Language) -> frozenset[str]:
    return frozenset(name for part in template(kind, language) for name in part.get_identifiers())


@cache
def template(kind: Kind, language: Language) -> tuple[Template, Template]:
    """Subject and text."""
    whole = (files(__package__) / "templates" / language / f"{kind}.txt").read_text("utf-8")
    subject, _, text = whole.partition("\n\n")
    return Template(subject), Template(text)


def choose_language(accept: str) -> Language:
    """The language that an Accept-Language header (RFC 9110, section 12.5.4) likes best among ours; English else."""
    wishes: list[tuple[float, Language]] = []
    for wish in accept[:500].split(","):
        name, _, quality = wish.strip().partition(";")
        language = name.strip().lower().partition("-")[0]
        weight = _quality(quality)
        wishes += [(weight, known) for known in LANGUAGES if known == language and weight > 0]
    return max(wishes, key=lambda wish: wish[0])[1] if wishes else "en"


def _quality(text: str) -> float:
    if not text:
        return 1.0
    try:
        return float(text.strip().removeprefix("q="))
    except ValueError:
        return 0.0
