"""Files of ballots: what is read, and where a refusal points."""

from pathlib import Path

import pytest
from votelib.io.blt import load as votelib_load

from ballot.replay.ballot_file import BallotFileError, read_ballot_file
from ballot.voting.counting.method import Form

DATA = Path(__file__).parents[1] / "data"
BLT = """\
4 2
-4
# withdrawn: Di
3 1 2 0
(id-7) 2 3 0     # with an identifier
1 1=3 - 2 0
5 0
1 4 2 0
0
"Ada"
"Bo # 2"
Cy
Di
"A title"
"""


def read(
    tmp_path: Path, text: str, form: Form = Form.LIST, grades: tuple[str, ...] = (), suffix: str = ".blt"
) -> tuple[list[str], list[tuple[tuple[int, ...], int, int]]]:
    path = tmp_path / f"file{suffix}"
    path.write_text(text)
    contest = read_ballot_file(path, form, grades)
    return contest.options, contest.given


def refusal(tmp_path: Path, text: str, form: Form = Form.LIST, suffix: str = ".blt") -> str:
    with pytest.raises(BallotFileError) as caught:
        read(tmp_path, text, form, ("Good", "Bad"), suffix)
    return str(caught.value)


def test_a_blt_file_is_read_as_lists_of_preferences(tmp_path: Path) -> None:
    options, given = read(tmp_path, BLT)
    assert options == ["Ada", "Bo # 2", "Cy"]
    assert given == [((0, 1), 3, 4), ((2,), 2, 5), ((-2, -1, 1), 1, 6), ((), 5, 7), ((1,), 1, 8)]


def test_a_blt_file_is_read_as_ranks(tmp_path: Path) -> None:
    _, given = read(tmp_path, BLT, Form.RANKS)
    assert [answer for answer, _, _ in given] == [(1, 2, -1), (-1, -1, 1), (1, 2, 1), (-1, -1, -1), (-1, 1, -1)]


def test_title_and_seats_come_along(tmp_path: Path) -> None:
    (tmp_path / "x.BLT").write_text(BLT)
    contest = read_ballot_file(tmp_path / "x.BLT", Form.LIST)
    assert (contest.title, contest.seats) == ("A title", 2)


def test_votelib_reads_the_same_ballots() -> None:
    path = DATA / "glasgow-2017-ward-2.blt"
    contest = read_ballot_file(path, Form.LIST)
    ours: dict[tuple[str, ...], int] = {}
    for answer, count, _ in contest.given:
        names = tuple(contest.options[option] for option in answer)
        ours[names] = ours.get(names, 0) + count
    # It wants names in quotes.
    lines = path.read_text().splitlines()
    place = lines.index("0") + 1
    quoted = [*lines[:place], *(f'"{line.strip()}"' for line in lines[place:] if line.strip())]
    theirs, _, candidates, title = votelib_load(iter(f"{line}\n" for line in quoted))
    assert {tuple(candidate.name for candidate in vote): count for vote, count in theirs.items()} == ours
    assert ([candidate.name for candidate in candidates], title) == (contest.options, contest.title)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("4 2\n", "4\n"), "line 1: the first line must have the numbers of candidates and seats"),
        (("4 2\n", "4 5\n"), "line 1: '5' is not seats from 1 to 4"),
        (("4 2\n", "x 2\n"), "line 1: 'x' is not candidates from 1 to 200"),
        (("-4\n", "-5\n"), "line 2: '5' is not a candidate from 1 to 4"),
        (("3 1 2 0\n", "3 1 2\n"), "line 4: a ballot is a count, preferences, and 0"),
        (("3 1 2 0\n", "3 1 5 0\n"), "line 4: '5' is not a candidate from 1 to 4"),
        (("3 1 2 0\n", "0.5 1 2 0\n"), "line 4: '0.5' is not a count from 1 to 1099511627775"),
        (("3 1 2 0\n", "3 1= 2 0\n"), "line 4: '' is not a candidate from 1 to 4"),
        (("3 1 2 0\n", "3 1 0 2 0\n"), "line 4: '0' is not a candidate from 1 to 4"),
        (("3 1 2 0\n", "٣ 1 2 0\n"), "line 4: '٣' is not a count from 1 to 1099511627775"),
        (('"Ada"\n', '"Ada\n'), "line 10: a name in quotes must end with a quote"),
        (('"Ada"\n', '""\n'), "line 10: a name is empty"),
        (('"A title"\n', ""), "line 13: the file ends where the title should come"),
        (('"A title"\n', '"A title"\nmore\n'), "line 15: something comes after the title"),
        (("5 0\n1 4 2 0\n0\n", ""), "line 7: a ballot is a count, preferences, and 0"),
    ],
)
def test_a_blt_file_that_is_none_is_refused_with_its_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert refusal(tmp_path, BLT.replace(*change, 1)) == message


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "") == "the file ends where the numbers of candidates and seats should come"
    assert refusal(tmp_path, "", suffix=".csv") == "the file is empty"


def test_a_candidate_ranked_twice_has_no_rank(tmp_path: Path) -> None:
    assert refusal(tmp_path, BLT.replace("3 1 2 0", "3 1 1 0"), Form.RANKS) == "line 4: a candidate has two ranks"


def test_preferences_are_no_points(tmp_path: Path) -> None:
    assert refusal(tmp_path, BLT, Form.POINTS) == "a BLT file has preferences, not points"
    assert refusal(tmp_path, BLT, suffix=".txt") == "file.txt: the name must end in .blt or .csv"


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.blt"
    path.write_bytes(b"1 1\n1 1 0\n0\n\xff\nTitle\n")
    with pytest.raises(BallotFileError, match="not UTF-8"):
        read_ballot_file(path, Form.LIST)


def test_a_csv_file_is_read_as_lists_of_names(tmp_path: Path) -> None:
    text = "\ufeffcount,first,second,third\n3,Cy,Ada,\n2,overvote,undervote,Ada\n1,,,\n\n4,Bo,,Cy\n"
    options, given = read(tmp_path, text, suffix=".csv")
    assert options == ["Ada", "Bo", "Cy"]
    assert given == [((2, 0), 3, 2), ((-2, -1, 0), 2, 3), ((), 1, 4), ((1, -1, 2), 4, 6)]


def test_a_csv_file_is_read_as_numbers_and_grades(tmp_path: Path) -> None:
    text = 'count,"Ada, the first",Bo\n3,1,2\n2,,1\n'
    assert read(tmp_path, text, Form.RANKS, suffix=".csv") == (
        ["Ada, the first", "Bo"],
        [((1, 2), 3, 2), ((-1, 1), 2, 3)],
    )
    text = "count,Ada,Bo\n3,Good,1\n"
    assert read(tmp_path, text, Form.GRADES, ("Good", "Bad"), ".csv")[1] == [((0, 1), 3, 2)]


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("first,second\n", Form.LIST, "line 1: the header must begin with count, and go on"),
        ("count\n", Form.LIST, "line 1: the header must begin with count, and go on"),
        ("count,first\n1,Ada,Bo\n", Form.LIST, "line 2: 3 cells where the header has 2"),
        ("count,first\n0,Ada\n", Form.LIST, "line 2: '0' is not a count from 1 to 1099511627775"),
        ("count,Ada\n1,one\n", Form.POINTS, "line 2: 'one' is not a number of points from 0 to 1099511627775"),
        ("count,Ada\n1,Worst\n", Form.GRADES, "line 2: 'Worst' is not a number of grades from 0 to 1099511627775"),
        ('count,Ada\n1,"x\n', Form.LIST, "line 2: not comma-separated values: unexpected end of data"),
    ],
)
def test_a_csv_file_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, form: Form, message: str) -> None:
    assert refusal(tmp_path, text, form, ".csv") == message
