"""`python -m ballot` is the `ballot` command."""

from ballot.entry import main

main()
