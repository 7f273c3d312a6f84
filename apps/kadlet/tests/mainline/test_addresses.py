"""One node at several addresses: of both families (BEP 32), in one network with libtorrent, and
several of one family (BEP 45)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

import libtorrent as lt
import pytest
from conftest import PATIENCE, PROGRAM, session
from test_libtorrent import hash_of, sha1

QUERY_ID = b"stranger of no table"

LISTS, SIZES = (b"nodes", b"nodes6"), (26, 38)
"""By family: the key of a list of nodes, and the bytes of one node."""


class Node:
    """A node of the program that stays, at each of these addresses."""

    started: ClassVar[list[Node]] = []

    def __init__(self, *listen: str, bootstrap: tuple[str, ...] = ()) -> None:
        command = [PROGRAM, "node", "--json", "--network", "mainline"]
        for address in listen:
            command += ["--listen", address]
        for entry in bootstrap:
            command += ["--bootstrap", entry]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.started.append(self)
        said = self._line()
        assert said["event"] == "listening", said
        self.addrs: list[str] = said["addrs"]
        self.id = bytes.fromhex(said["id"])
        if bootstrap:
            assert self._line()["event"] == "joined"

    def _line(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        said: dict[str, Any] = json.loads(self.child.stdout.readline())
        return said

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(PATIENCE)


def endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def as_bytes(value: Any) -> Any:
    """Texts as bencode has them."""
    match value:
        case str():
            return value.encode()
        case dict():
            return {key.encode(): as_bytes(of) for key, of in value.items()}
        case list():
            return [as_bytes(one) for one in value]
    return value


def ask(address: str, method: str, own_port: int = 0, **arguments: Any) -> dict[bytes, Any]:
    """The answer to one question by a stranger that serves nobody, and is in no table for it."""
    host, port = endpoint(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    query = {"t": "qq", "y": "q", "q": method, "ro": 1, "a": {"id": QUERY_ID, **arguments}}
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as own:
        own.settimeout(PATIENCE)
        own.bind(("::1" if ":" in host else "127.0.201.1", own_port))
        own.sendto(lt.bencode(as_bytes(query)), (host, port))
        while True:
            datagram, source = own.recvfrom(4096)
            answer: dict[bytes, Any] = lt.bdecode(datagram)
            if answer[b"y"] != b"q":
                break
        # Others know us by where they asked us.
        assert source[:2] == (host, port)
    return answer


def nodes(answer: dict[bytes, Any], key: bytes, size: int) -> list[bytes] | None:
    """The addresses in a list of nodes; none if there is no list."""
    if (packed := answer[b"r"].get(key)) is None:
        return None
    assert len(packed) % size == 0
    return [packed[at + 20 : at + size] for at in range(0, len(packed), size)]


def packed(address: str) -> bytes:
    host, port = endpoint(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_pton(family, host) + port.to_bytes(2, "big")


class Both:
    """Nodes and a session of libtorrent that have both families."""

    def __init__(self) -> None:
        self.first = Node("127.0.70.1:0", "[::1]:0")
        self.theirs = ("127.0.80.1:6881", "[::1]:6881")
        self.session = session(
            "127.0.80.1",
            listen_interfaces=",".join(self.theirs),
            # There is one address of loopback in IPv6: all nodes have it.
            dht_restrict_routing_ips=False,
            dht_restrict_search_ips=False,
        )
        # It is a node for each family, each with an id of its own; both listen when they say so.
        self.until(lt.listen_succeeded_alert, 4)
        for address in self.first.addrs:
            self.session.add_dht_node(endpoint(address))
        for address, key, size in zip(self.first.addrs, LISTS, SIZES, strict=True):
            end = time.monotonic() + PATIENCE
            while not nodes(ask(address, "find_node", target=self.first.id), key, size):
                assert time.monotonic() < end, "a session does not make itself known"
                # What makes it ask.
                self.session.dht_get_peers(sha1(hash_of("nothing")))
                self.session.wait_for_alert(100)
        self.second = Node("127.0.71.1:0", "[::1]:0", bootstrap=self.theirs)

    def until(self, kind: type, count: int) -> None:
        end = time.monotonic() + PATIENCE
        while count > 0:
            assert time.monotonic() < end, f"{count} more of {kind.__name__}"
            self.session.wait_for_alert(100)
            count -= sum(isinstance(one, kind) for one in self.session.pop_alerts())

    def run(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        line = [PROGRAM, command, *arguments, "--json", "--network", "mainline"]
        for own, entry in zip(("127.0.202.1:0", "[::1]:0"), self.second.addrs, strict=True):
            line += ["--listen", own, "--bootstrap", entry]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return [json.loads(said) for said in done.stdout.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def stopped() -> Iterator[None]:
    """Whatever became of a test, its nodes end."""
    yield
    for node in Node.started:
        node.stop()


@pytest.fixture(scope="module")
def both() -> Both:
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip("there is no IPv6 on this machine")
    return Both()


def test_each_family_has_a_table_and_want_names_them(both: Both) -> None:
    v4, v6 = both.second.addrs
    target = both.first.id
    known = {b"nodes": {packed(a) for a in (both.first.addrs[0], both.theirs[0])}}
    known[b"nodes6"] = {packed(a) for a in (both.first.addrs[1], both.theirs[1])}
    for asked in (v4, v6):
        own = b"nodes" if asked == v4 else b"nodes6"
        for want, lists in (
            (None, [own]),
            (["n4"], [b"nodes"]),
            (["n6"], [b"nodes6"]),
            (["n4", "n6"], [b"nodes", b"nodes6"]),
            (["n6", "n8", 7, "n4"], [b"nodes", b"nodes6"]),
            (["n8"], [own]),
        ):
            arguments = {} if want is None else {"want": want}
            answer = ask(asked, "find_node", target=target, **arguments)
            for key, size in zip(LISTS, SIZES, strict=True):
                found = nodes(answer, key, size)
                assert (found is not None) == (key in lists), (asked, want, key)
                assert found is None or known[key] <= set(found), (asked, want, key)
            assert answer[b"ip"][:-2] == packed("[::1]:1" if asked == v6 else "127.0.201.1:1")[:-2]


def test_what_they_announce_over_both_is_found_over_both(both: Both) -> None:
    key = hash_of("announced by them over both")
    both.session.dht_announce(sha1(key), 7021, 0)
    wanted = {"127.0.80.1:7021", "[::1]:7021"}
    for _ in range(100):
        found = {it["addr"] for it in both.run("peers", key) if it["event"] == "peer"}
        if found == wanted:
            break
    assert found == wanted
    # Each family's list is asked for over that family.
    for address, size in zip(both.first.addrs, (6, 18), strict=True):
        values = ask(address, "get_peers", info_hash=bytes.fromhex(key))[b"r"][b"values"]
        assert [len(value) for value in values] == [size]


def test_what_we_announce_over_both_they_find_over_both(both: Both) -> None:
    key = hash_of("announced by us over both")
    said = both.run("announce", key, "--port", "7022")[-1]
    assert said["nodes"] >= 6, said
    wanted, found = {("127.0.202.1", 7022), ("::1", 7022)}, set()
    both.session.dht_get_peers(sha1(key))
    end = time.monotonic() + PATIENCE
    while found != wanted:
        assert time.monotonic() < end, found
        both.session.wait_for_alert(100)
        # One answers for each family, and both may have come.
        for one in both.session.pop_alerts():
            if isinstance(one, lt.dht_get_peers_reply_alert):
                found |= set(one.peers())


def test_they_answer_our_want(both: Both) -> None:
    """A node that knows one family of a session asks it for both, and has two tables."""
    third = Node("127.0.72.1:0", "[::1]:0", bootstrap=(both.theirs[0],))
    for address, key, size in zip(third.addrs, LISTS, SIZES, strict=True):
        answer = ask(address, "find_node", target=both.first.id)
        assert nodes(answer, key, size), address


def test_several_addresses_of_one_family_are_one_node() -> None:
    """Asked at any of them it answers from there, as the same node with the same store."""
    node = Node("127.0.73.1:0", "127.0.74.1:0", "127.0.75.1:0")
    other = Node("127.0.76.1:0", bootstrap=(node.addrs[0],))
    key = bytes.fromhex(hash_of("asked at several addresses"))
    assert len(node.addrs) == 3
    tokens = []
    for address in node.addrs:
        # A token is for an address, its port included.
        answer = ask(address, "get_peers", 7024, info_hash=key)
        assert answer[b"r"][b"id"] == node.id
        assert nodes(answer, b"nodes", 26) == [packed(other.addrs[0])]
        tokens.append(answer[b"r"][b"token"])
    first, last = node.addrs[0], node.addrs[-1]
    kept = {"info_hash": key, "port": 7023, "token": tokens[0]}
    assert ask(first, "announce_peer", 7024, **kept)[b"y"] == b"r"
    values = ask(last, "get_peers", info_hash=key)[b"r"][b"values"]
    assert values == [packed("127.0.201.1:7023")]


def test_a_node_asks_from_the_address_that_it_is_known_by() -> None:
    """Who meets it at two addresses has it once, and is asked from one of them."""
    entry = Node("127.0.77.1:0")
    node = Node("127.0.78.1:0", "127.0.79.1:0", bootstrap=(entry.addrs[0],))
    listed = nodes(ask(entry.addrs[0], "find_node", target=node.id), b"nodes", 26)
    assert listed is not None and len(listed) == 1
    assert listed[0] in {packed(address) for address in node.addrs}
