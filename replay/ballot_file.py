"""Ballots in a file, as other counting software writes them: BLT, and comma-separated values.

**BLT**: `candidates seats`; perhaps a line of withdrawn candidates as negative numbers; one line for equal ballots,
`count preference preference ... 0`, where a preference is a number from 1, several joined by `=` for equal ones, or `-`
for a skipped one, and an identifier in brackets may come first; a lone `0`; the candidates' names and the title, each
on its line, quoted or not. `#` begins a comment.

**CSV** for lists of options: the header `count,first,second,...` (of the headings only `count` matters), then one line
for equal ballots with the options' names; an empty cell or `undervote` is a skipped rank, `overvote` one with several
marks. For methods that want a number for every option: the header is `count` and the options' names, and a cell has the
rank, the points, or the grade (by name or position), or nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..voting.counting.irv import OVERVOTED, SKIPPED
from ..voting.counting.method import NO_NUMBER, Form
from ..voting.definition import MAX_OPTIONS

MOST_BALLOTS = 2**40
BLT, CSV = ".blt", ".csv"
SKIP_WORDS, OVERVOTE_WORD = ("", "undervote"), "overvote"

Given = tuple[tuple[int, ...], int, int]
"""An answer, how often it was given, and the line it stands on."""


class BallotFileError(ValueError):
    """A file that is not what it should be; the message names the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)


@dataclass
class BallotFile:
    """What a file says. `seats` is 0 where it does not say."""

    title: str
    options: list[str]
    seats: int
    given: list[Given] = field(default_factory=list)


def read_ballot_file(path: Path, form: Form, grades: Sequence[str] = ()) -> BallotFile:
    """The ballots of a .blt or .csv file as answers of this form. Raises BallotFileError, OSError."""
    suffix = path.suffix.lower()
    if suffix not in (BLT, CSV):
        raise BallotFileError(0, f"{path.name}: the name must end in {BLT} or {CSV}")
    if suffix == BLT and form not in (Form.LIST, Form.RANKS):
        raise BallotFileError(0, f"a BLT file has preferences, not {form}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == BLT:
                return _read_blt(file, form)
            return _read_lists(file) if form is Form.LIST else _read_numbers(file, form, grades)
    except UnicodeDecodeError as error:
        raise BallotFileError(0, f"{path.name} is not UTF-8: {error.reason}") from error


# -- BLT

Tiers = list[list[int]]
"""Preferences in order, each the options that share it: none for a skipped one. Options count from 0."""


def _read_blt(file: Iterable[str], form: Form) -> BallotFile:
    lines = _Lines(file)
    number, header = lines.next("the numbers of candidates and seats")
    candidates, seats = _header(number, _uncommented(header))
    withdrawn: set[int] = set()
    ballots: list[tuple[Tiers, int, int]] = []
    while True:
        number, line = lines.next("the 0 that ends the ballots")
        words = _uncommented(line)
        if words == ["0"]:
            break
        if not words:
            continue
        if not ballots and all(word.startswith("-") and word != "-" for word in words):
            withdrawn |= {_candidate(number, word[1:], candidates) for word in words}
        else:
            tiers, count = _ballot(number, words, candidates)
            ballots.append((tiers, count, number))
    names = [_name(*lines.next(f"the name of candidate {place + 1}")) for place in range(candidates)]
    title = _name(*lines.next("the title"))
    lines.end()
    left = [option for option in range(candidates) if option not in withdrawn]
    contest = BallotFile(title, [names[option] for option in left], seats)
    convert = _as_list if form is Form.LIST else _as_ranks
    for tiers, count, number in ballots:
        kept = [
            [left.index(option) for option in tier if option in left]
            for tier in tiers
            if set(tier) - withdrawn or not tier
        ]
        contest.given.append((convert(number, kept, len(left)), count, number))
    return contest


class _Lines:
    """The lines that are not blank, with their numbers."""

    def __init__(self, file: Iterable[str]) -> None:
        self._lines = ((number, line.strip()) for number, line in enumerate(file, 1) if line.strip())
        self._last = 0

    def next(self, wanted: str) -> tuple[int, str]:
        try:
            self._last, line = next(self._lines)
        except StopIteration:
            raise BallotFileError(self._last, f"the file ends where {wanted} should come") from None
        return self._last, line

    def end(self) -> None:
        for number, line in self._lines:
            if not line.startswith("#"):
                raise BallotFileError(number, "something comes after the title")


def _uncommented(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _header(line: int, words: list[str]) -> tuple[int, int]:
    if len(words) != 2:
        raise BallotFileError(line, "the first line must have the numbers of candidates and seats")
    candidates = _number(line, words[0], range(1, MAX_OPTIONS + 1), "candidates")
    return candidates, _number(line, words[1], range(1, candidates + 1), "seats")


def _ballot(line: int, words: list[str], candidates: int) -> tuple[Tiers, int]:
    if words[0].startswith("(") and words[0].endswith(")"):
        words = words[1:]
    if len(words) < 2 or words[-1] != "0":
        raise BallotFileError(line, "a ballot is a count, preferences, and 0")
    count = _number(line, words[0], range(1, MOST_BALLOTS), "a count")
    tiers = [
        [] if word == "-" else [_candidate(line, part, candidates) for part in word.split("=")] for word in words[1:-1]
    ]
    return tiers, count


def _candidate(line: int, word: str, candidates: int) -> int:
    return _number(line, word, range(1, candidates + 1), "a candidate") - 1


def _name(line: int, text: str) -> str:
    if text.startswith('"'):
        inner, closed, rest = text[1:].rpartition('"')
        if not closed or (rest.strip() and not rest.strip().startswith("#")):
            raise BallotFileError(line, "a name in quotes must end with a quote")
        text = inner.strip()
    if not text:
        raise BallotFileError(line, "a name is empty")
    return text


def _as_list(line: int, tiers: Tiers, options: int) -> tuple[int, ...]:
    return tuple(SKIPPED if not tier else tier[0] if len(tier) == 1 else OVERVOTED for tier in tiers)


def _as_ranks(line: int, tiers: Tiers, options: int) -> tuple[int, ...]:
    ranks = [NO_NUMBER] * options
    for rank, tier in enumerate((tier for tier in tiers if tier), 1):
        for option in tier:
            if ranks[option] != NO_NUMBER:
                raise BallotFileError(line, "a candidate has two ranks")
            ranks[option] = rank
    return tuple(ranks)


# -- CSV


def _read_lists(file: Iterable[str]) -> BallotFile:
    rows = list(_rows(file))
    options = sorted({cell for _, _, cells in rows for cell in cells} - {*SKIP_WORDS, OVERVOTE_WORD})
    codes = {name: number for number, name in enumerate(options)}
    codes |= dict.fromkeys(SKIP_WORDS, SKIPPED) | {OVERVOTE_WORD: OVERVOTED}
    contest = BallotFile("", options, 0)
    for line, count, cells in rows:
        answer = [codes[cell] for cell in cells]
        while answer and answer[-1] == SKIPPED:
            answer.pop()
        contest.given.append((tuple(answer), count, line))
    return contest


def _read_numbers(file: Iterable[str], form: Form, grades: Sequence[str]) -> BallotFile:
    headings: list[str] = []
    given = [
        (tuple(_cell(line, cell, form, grades) for cell in cells), count, line)
        for line, count, cells in _rows(file, headings.extend)
    ]
    return BallotFile("", headings, 0, given)


def _cell(line: int, cell: str, form: Form, grades: Sequence[str]) -> int:
    if not cell:
        return NO_NUMBER
    if form is Form.GRADES and cell in grades:
        return grades.index(cell)
    return _number(line, cell, range(MOST_BALLOTS), f"a number of {form}")


def _rows(
    file: Iterable[str], headings: Callable[[list[str]], None] = lambda names: None
) -> Iterator[tuple[int, int, list[str]]]:
    """(line, count, the other cells); `headings` is given those of the header."""
    reader = csv.reader(file, strict=True)
    width = 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not width:
                if cells[0] != "count" or len(cells) < 2:
                    raise BallotFileError(reader.line_num, "the header must begin with count, and go on")
                width = len(cells)
                headings(cells[1:])
                continue
            if len(cells) != width:
                raise BallotFileError(reader.line_num, f"{len(cells)} cells where the header has {width}")
            yield reader.line_num, _number(reader.line_num, cells[0], range(1, MOST_BALLOTS), "a count"), cells[1:]
    except csv.Error as error:
        raise BallotFileError(reader.line_num, f"not comma-separated values: {error}") from error
    if not width:
        raise BallotFileError(0, "the file is empty")


def _number(line: int, word: str, allowed: range, what: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 16) or int(word) not in allowed:
        raise BallotFileError(line, f"{word!r} is not {what} from {allowed.start} to {allowed.stop - 1}")
    return int(word)
