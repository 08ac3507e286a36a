"""Letters: the same in every language, nothing missing, nothing left over."""

from importlib.resources import files

import pytest

from ballot.mail.letter import BY_HAND, KINDS, LANGUAGES, NOW, Kind, Language, choose_language, letter, placeholders
from ballot.mail.message import compose

VALUES = {
    "title": "Выборы 市長 $title ${x}",
    "site": "https://vote.example",
    "code": "012345",
    "minutes": "10",
    "opens": "now",
    "closes": "2030-01-01 12:00 UTC",
    "name": "Ada (Verein)",
    "election": "AAAAAAAAAAAAAAAAAAAAAA",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_letter_with_the_same_placeholders(kind: Kind, language: Language) -> None:
    assert placeholders(kind, language) == placeholders(kind, "en") <= VALUES.keys()
    values = {name: VALUES[name] for name in placeholders(kind, language)}
    written = letter(kind, language, **values)
    assert written.subject and "\n" not in written.subject
    assert all(value in written.text for value in values.values())
    assert all(len(line) <= 130 for line in written.text.splitlines())
    message = compose("ballot@example.org", "a@example.org", written)
    assert message.get_content().replace("\r\n", "\n") == written.text
    assert message["Subject"] == written.subject


def test_there_is_no_template_that_nothing_uses() -> None:
    folders = list((files("ballot.mail") / "templates").iterdir())
    assert {folder.name for folder in folders} == set(LANGUAGES)
    for folder in folders:
        assert {item.name for item in folder.iterdir()} == {f"{kind}.txt" for kind in KINDS}
    assert set(NOW) == set(BY_HAND) == set(LANGUAGES)


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="minutes"):
        letter("code", "en", code="123456")


def test_a_value_too_many_is_an_error() -> None:
    with pytest.raises(TypeError, match="title"):
        letter("code", "de", code="123456", minutes="10", title="x")


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("es, de;q=0.3, en;q=0.5", "en"),
        ("DE-at;q=0.9,en;q=0.1", "de"),
        ("fr;q=0, de;q=x, es", "en"),
        ("de;q=nonsense;;;,,,", "en"),
        ("x" * 100_000 + ",de", "en"),
    ],
)
def test_the_language_that_is_liked_best_is_chosen(accept: str, language: str) -> None:
    assert choose_language(accept) == language


@pytest.mark.parametrize("address", ["a@example.org\nBcc: b@example.org", "a@example.org\r\nX: y"])
def test_no_header_can_be_smuggled_in(address: str) -> None:
    with pytest.raises(ValueError, match=r"header|message|linefeed|newline"):
        compose("ballot@example.org", address, letter("taken", "en"))
