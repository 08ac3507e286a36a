"""`python -m ballot` is the `ballot` command."""

from ballot.cli import main

main()
