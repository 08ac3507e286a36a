"""msgpack that came from outside: whole, well-formed, and never costing much more memory than it has bytes."""

from __future__ import annotations

from typing import Any

import msgpack

# An item is a value in a list or a map. A million take tens of megabytes, whatever they are; the largest roll, board
# or append that is ever sent has a fraction of that, since no payload is above 16 MiB and each of its values is a hash,
# a key or a ballot.
MAX_ITEMS = 1 << 20


class UnpackError(ValueError):
    """Bytes that are not msgpack, or have too many items."""


def unpack(data: bytes, *, text_keys: bool) -> Any:
    """The value that `data` holds, all of it; `text_keys` allows no other keys than text and bytes in maps.

    Lists that are empty or say that they are longer than they are take many times their bytes in memory: the items are
    counted as they are read. Raises UnpackError.
    """
    items = 0

    def count(value: Any) -> Any:
        nonlocal items
        items += 1 + len(value)
        if items > MAX_ITEMS:
            raise UnpackError(f"more than {MAX_ITEMS} items")
        return value

    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=text_keys,
            list_hook=count,
            object_hook=count,
            max_array_len=min(len(data), MAX_ITEMS),
            max_map_len=min(len(data) // 2, MAX_ITEMS),
        )
    except UnpackError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # TypeError: a map with a list as a key
        raise UnpackError(f"not msgpack: {error}") from error
