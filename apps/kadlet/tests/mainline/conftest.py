"""A Mainline of our own on loopback: nodes of the program, sessions of libtorrent, each in a /24 of
its own, since libtorrent takes one node of each. Commands share one: it keeps those that ask as
nodes although they say that they are none (BEP 43), and waits 15 s for each when it looks for
something."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import libtorrent as lt
import pytest

PROGRAM = os.environ["KADLET_PROGRAM"]

PATIENCE = 60.0
"""Seconds for anything to happen that has to. A lookup of libtorrent that meets the gone waits for
them, 15 s each, before it stores."""

PAUSE = 0.1
"""Seconds between two commands that ask for the same."""


class Program:
    """Commands and nodes of the program in one network."""

    def __init__(self) -> None:
        self.children: list[subprocess.Popen[str]] = []
        self.entry = ""
        self.ip = ""
        """Where the last command ran."""
        self._commands = 0

    def node(self, ip: str, *bootstrap: str) -> str:
        """Starts a node; it listens when this returns."""
        command = [PROGRAM, "node", "--json", "--network", "mainline", "--listen", f"{ip}:6881"]
        for entry in bootstrap:
            command += ["--bootstrap", entry]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        assert said["event"] == "listening", said
        if bootstrap:
            said = json.loads(child.stdout.readline())
            assert said["event"] == "joined" and said["contacts"] > 0, said
        return str(said.get("addr", f"{ip}:6881"))

    def run(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        """What a command says, a line each.

        Each has an address that no other had for long: libtorrent bans one that sent it 50 packets
        in 10 seconds. 254 commands with their pauses take longer than that.
        """
        self.ip = f"127.0.200.{self._commands % 254 + 1}"
        self._commands += 1
        where = ["--network", "mainline", "--listen", f"{self.ip}:0", "--bootstrap", self.entry]
        line = [PROGRAM, command, *arguments, "--json", *where]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return [json.loads(said) for said in done.stdout.splitlines()]

    def until(self, command: str, *arguments: str, said: Callable[[Any], bool]) -> dict[str, Any]:
        """The first line of a command that is so: others need their time to store."""
        end = time.monotonic() + PATIENCE
        while True:
            lines = self.run(command, *arguments)
            for line in lines:
                if said(line):
                    return line
            assert time.monotonic() < end, lines
            time.sleep(PAUSE)

    def stop(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait(PATIENCE)


def session(ip: str, read_only: bool = False, **more: Any) -> lt.session:
    """One libtorrent with nothing but its DHT."""
    return lt.session(
        {
            "listen_interfaces": f"{ip}:6881",
            "enable_dht": True,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "dht_bootstrap_nodes": "",
            "dht_read_only": read_only,
            # 8 kB a second is soon used up by tests, and then it is silent.
            "dht_upload_rate_limit": 1_000_000,
            "alert_mask": lt.alert.category_t.dht_notification
            | lt.alert.category_t.dht_operation_notification
            | lt.alert.category_t.stats_notification
            | lt.alert.category_t.status_notification,
            **more,
        }
    )


def alert(of: lt.session, kind: type, so: Callable[[Any], bool] = lambda _: True) -> Any:
    """Waits for an alert of this kind that is so."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        of.wait_for_alert(100)
        for one in of.pop_alerts():
            if isinstance(one, kind) and so(one):
                return one
    raise AssertionError(f"no {kind.__name__}")


def table(of: lt.session) -> int:
    """How many nodes it knows."""
    of.post_dht_stats()
    stats = alert(of, lt.dht_stats_alert)
    return sum(bucket["num_nodes"] for bucket in stats.routing_table)


class Mixed:
    """Eight of each, which know each other."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.sessions = [session(f"127.0.{30 + n}.1") for n in range(8)]
        # Each side bootstraps from the other: ours by a session, theirs by a node.
        program.entry = program.node("127.0.10.1")
        self.sessions[0].add_dht_node(("127.0.10.1", 6881))
        self.until_known(self.sessions[0], 1)
        for n in range(1, 8):
            program.node(f"127.0.{10 + n}.1", "127.0.30.1:6881")
        for n, one in enumerate(self.sessions[1:]):
            one.add_dht_node((f"127.0.{10 + n}.1", 6881))
        # Asking for its own id is what makes a session find its neighbours.
        for one in self.sessions:
            self.until_known(one, 4)

    @staticmethod
    def until_known(one: lt.session, least: int) -> None:
        end = time.monotonic() + PATIENCE
        while table(one) < least:
            one.dht_get_peers(lt.sha1_hash(os.urandom(20)))
            assert time.monotonic() < end, f"a session knows {table(one)} nodes"
            one.wait_for_alert(100)


@pytest.fixture(scope="session")
def mixed() -> Iterator[Mixed]:
    program = Program()
    try:
        yield Mixed(program)
    finally:
        program.stop()


@pytest.fixture(scope="session")
def ours() -> Iterator[Program]:
    """Eight nodes of ours alone: what is stored here, we have stored and served."""
    program = Program()
    try:
        program.entry = program.node("127.0.60.1")
        for n in range(1, 8):
            program.node(f"127.0.{60 + n}.1", program.entry)
        yield program
    finally:
        program.stop()


@pytest.fixture(scope="session")
def guest(ours: Program) -> lt.session:
    """A session among our own nodes that asks and keeps nothing."""
    one = session("127.0.90.1", read_only=True)
    one.add_dht_node(("127.0.60.1", 6881))
    Mixed.until_known(one, 4)
    return one
