"""The wire by itself: the golden datagrams, both ways."""

import re
from pathlib import Path
from typing import Any

import kadlet
import pytest
from kadlet import wire

CORE = Path(__file__).resolve().parents[2] / "core"
GOLDEN = CORE / "tests" / "golden" / "draft-1" / "datagrams.txt"

LINES = [
    line.split("\t") for line in GOLDEN.read_text("utf-8").splitlines() if line[:1] not in ("#", "")
]


@pytest.mark.parametrize("name, datagram, says", LINES, ids=[name for name, *_ in LINES])
def test_a_golden_datagram(name: str, datagram: str, says: str) -> None:
    raw = bytes.fromhex(datagram)
    message = wire.decode(raw, "example")
    kind, _, rest = says.partition(" ")
    if isinstance(message, str):
        assert kind not in ("query", "response", "error")
        return
    parts = dict(re.findall(r"(\w+)=(\S*)", rest))
    assert message.transaction.hex() == parts["transaction"]
    assert message.sender is not None and message.sender.hex() == parts["sender"]
    match message.body:
        case wire.Query(target=target):
            assert kind == "query"
            assert target is None or target.hex() == parts["target"]
        case wire.Response(method=method):
            assert kind == "response" and rest.startswith(str(method))
        case wire.Failure():
            assert kind == "error"
    # What a later version may say otherwise than we do is read, and not written so.
    if not name.startswith("later:"):
        assert wire.encode(message, "example") == raw


def test_mainline_both_ways() -> None:
    id, key = b"abcdefghij0123456789", b"mnopqrstuvwxyz123456"
    samples = wire.Samples((key, id), 2, 300)
    four, six = ("10.0.0.1", 1), ("fd00::1", 2, 0, 0)
    nodes = (wire.NodeInfo(key, four), wire.NodeInfo(key, six))
    families: tuple[kadlet.Family, ...] = ("ipv4", "ipv6")
    for body in (
        wire.Query(wire.Announce(b"token", 8080, True, seed=True), key),
        wire.Query(wire.GetProviders(scrape=True, no_seeds=True), key, want=families),
        wire.Query(wire.SampleKeys(), key),
        wire.Response(nodes, (wire.Peer(four), wire.Peer(six)), token=b"t", listed=families),
        wire.Response(seed_filter=bytes(256), peer_filter=b"\1" * 256),
        wire.Response(samples=samples),
        wire.Failure("cas_mismatch", 301, "CAS mismatch"),
    ):
        message = wire.Message(b"aa", id, body)
        datagram = wire.encode(message, None)
        assert datagram.startswith(b"d") and b"1:t2:aa" in datagram
        again = wire.decode(datagram, None)
        assert not isinstance(again, str)
        assert again.body == body


def test_what_no_datagram_can_say_is_said() -> None:
    def encode(body: Any, transaction: bytes = b"12345678") -> None:
        wire.encode(wire.Message(transaction, bytes(20), body))

    with pytest.raises(ValueError, match="8 to 8 bytes, this has 2"):
        encode(wire.Query(wire.FindNode(), bytes(20)), b"12")
    with pytest.raises(ValueError, match="at most 1232 bytes, not"):
        encode(wire.Query(wire.Put(b"token", bytes(1200)), bytes(20)))
    with pytest.raises(ValueError, match="20 bytes, this has 3"):
        encode(wire.Query(wire.FindNode(), b"123"))
    with pytest.raises(TypeError, match="one of kadlet.wire.Method, this is str"):
        encode(wire.Query("ping", bytes(20)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Query, Response or Failure, this is int"):
        encode(5)
    with pytest.raises(ValueError, match="from 0 to 65535"):
        encode(wire.Query(wire.Announce(b"token", 65_536), bytes(20)))
    assert wire.decode(b"nonsense") == "malformed_not_ours"
