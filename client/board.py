"""The board: every ballot of an election, as published after the close."""

from __future__ import annotations

from hashlib import sha256

from .api import Api, b64, read_json, unb64
from .trust import Untrusted


async def download(api: Api, election: bytes) -> list[bytes]:
    """All ballots on the board, in its order: epoch by epoch, in each by name.

    The whole board is asked for, so that nobody learns which one is ours.

    Raises Refused, NoAnswer, and Untrusted when a name is not the hash of its ballot or out of order.
    """
    reply = await api.ask("GET", f"/api/elections/{b64(election)}/ballots")
    ballots: list[bytes] = []
    names: set[bytes] = set()
    last = (0, b"")
    for line in reply.body.splitlines():
        epoch, name, ballot = _read(line)
        if name != sha256(ballot).digest() or (epoch, name) <= last or name in names:
            raise Untrusted("the board names a ballot wrongly, twice or out of order")
        ballots.append(ballot)
        names.add(name)
        last = epoch, name
    return ballots


def _read(line: bytes) -> tuple[int, bytes, bytes]:
    try:
        fields = read_json(line)
        return int(fields["epoch"]), unb64(fields["name"]), unb64(fields["ballot"])
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted("a line of the board does not parse") from error
