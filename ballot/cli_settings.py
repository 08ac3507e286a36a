"""This node's settings for a command that needs them."""

from __future__ import annotations

import click

from .config import ConfigError, Settings, read_settings

HINT = "See `ballot node --help`; in a cluster of `ballot up` a shell gets it with: . FOLDER/node1/environment"


def settings_or_exit() -> Settings:
    """Raises click.ClickException, which names the setting that is missing or wrong."""
    try:
        return read_settings()
    except ConfigError as error:
        raise click.ClickException(f"{error}. {HINT}") from error
