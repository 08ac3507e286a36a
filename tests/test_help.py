"""Every command explains itself, under both names of the option, and so does every option of it."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ballot.cli import main


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ALL = dict(commands(main))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_h_and_help_are_the_same_and_say_what_the_command_does(path: tuple[str, ...]) -> None:
    short, long = (CliRunner().invoke(main, [*path, option], prog_name="ballot") for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.output == long.output
    assert len((ALL[path].help or "").split()) >= 8


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    options = [option for option in ALL[path].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_argument_is_named_in_the_help(path: tuple[str, ...]) -> None:
    arguments = [argument for argument in ALL[path].params if isinstance(argument, click.Argument)]
    for argument in arguments:
        name = argument.human_readable_name.replace("...", "")
        assert any(part in (ALL[path].help or "") for part in name.split("|")), name
