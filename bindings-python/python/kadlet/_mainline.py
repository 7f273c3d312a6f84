"""What a host adds for BitTorrent's Mainline DHT: values there are bencode, and mostly strings."""

from __future__ import annotations

from typing import Final

from ._native import bencode_string, bencoded_string, mainline_routers
from ._types import Item, SignedValue

MAINLINE: Final = "mainline"
"""The network's name for `open_node`."""

ROUTERS: Final = tuple(mainline_routers())
"""Where the public network can be entered, run by several independent people: for `bootstrap=`."""

MAX_VALUE: Final = 1_000
"""The longest value of Mainline, bytes of bencode (BEP 44)."""


class Bencoded(bytes):
    """A value of Mainline that is no string: a number, a list or a dictionary, in bencode."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Bencoded({bytes(self)!r})"

    __str__ = __repr__


def to_network(item: Item) -> Item:
    """As it is stored: bytes become a string, what is bencode stays."""
    match item:
        case Bencoded() | SignedValue():
            return item
        case value:
            return bencode_string(value)


def from_network(value: bytes) -> bytes:
    """What was stored: a string's bytes, or the bencode of anything else."""
    said = bencoded_string(value)
    return Bencoded(value) if said is None else said
