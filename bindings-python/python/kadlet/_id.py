"""Ids and keys: 160 bits, and what people may write for them."""

from __future__ import annotations

import re
from typing import TypeAlias

_DIGITS = re.compile("[0-9A-Fa-f]{40}")


class Id(bytes):
    """An id of a node or a key: 20 bytes, written as 40 hexadecimal digits.

    It is bytes, and goes wherever the core wants 20 of them.

    >>> Id("ff" * 20) == bytes([255]) * 20
    True
    >>> str(Id(bytes(20)))
    '0000000000000000000000000000000000000000'
    """

    __slots__ = ()

    def __new__(cls, value: Key) -> Id:
        """From 20 bytes, 40 hexadecimal digits, or another one.

        Raises TypeError for other types, and ValueError for another length.
        """
        if isinstance(value, str):
            # `fromhex` skips blanks.
            if not _DIGITS.fullmatch(value):
                raise ValueError(f"a key has 40 hexadecimal digits, this is {value!r}")
            raw = bytes.fromhex(value)
        elif isinstance(value, bytes):
            raw = value
        else:
            raise TypeError(f"a key is bytes, a hex str or Id, this is {type(value).__name__}")
        if len(raw) != 20:
            raise ValueError(f"a key has 20 bytes, this has {len(raw)}")
        return super().__new__(cls, raw)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"Id({self.hex()!r})"

    def distance(self, other: Key) -> int:
        """How far the other one is: both, bit by bit, by exclusive or."""
        return int.from_bytes(self) ^ int.from_bytes(Id(other))


Key: TypeAlias = bytes | str | Id
"""What may stand for an id or a key: 20 bytes, 40 hexadecimal digits, or an `Id`."""
