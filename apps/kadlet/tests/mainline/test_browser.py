"""A node in a page, which a relay lends a UDP port, in one Mainline with libtorrent: what either
says, the other finds."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
from conftest import PROGRAM, Mixed, alert
from test_libtorrent import SECRET, expanded, hash_of, sha1

RELAYED = "127.0.97.1"
"""Where the relay opens its clients' ports."""

JOIN = """(async () => {
  const kadlet = await import("/dist/index.js");
  const node = await kadlet.createNode({ network: "mainline", relay: RELAY, bootstrap: [ENTRY] });
  const { bencodeString, load, sign } = await import("/dist/core.js");
  await load();
  const collected = async (found) => {
    const all = [];
    for await (const one of found) all.push(one);
    return all;
  };
  const bytes = (text) => new TextEncoder().encode(text);
  const text = (value) => value && new TextDecoder().decode(value);
  Object.assign(globalThis, { bencodeString, bytes, collected, kadlet, node, sign, text });
})()"""


class Page:
    """A page in Chromium whose `node` is one of Mainline."""

    def __init__(self, folder: Path, entry: str) -> None:
        package = Path(os.environ["KADLET_JS"])
        for part in ("dist", "pkg"):
            shutil.copytree(package / part, folder / part)
        (folder / "index.html").write_text("<!doctype html><title>Mainline</title>")
        relay = [PROGRAM, "relay", "--json", "--listen", "127.0.0.1:0", "--udp", RELAYED]
        self.relay = self._start(*relay, "--allow-private", "--web", str(folder))
        assert self.relay.stdout is not None
        said = json.loads(self.relay.stdout.readline())
        self.page = self._start("node", str(Path(__file__).parent / "page.mjs"), said["url"])
        self.run(JOIN.replace("RELAY", f"{said['relay']!r}").replace("ENTRY", f"{entry!r}"))

    @staticmethod
    def _start(*command: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **pipes)

    def run(self, expression: str) -> Any:
        """What an expression comes to in the page, awaited."""
        assert self.page.stdin is not None and self.page.stdout is not None
        self.page.stdin.write(expression.replace("\n", " ") + "\n")
        self.page.stdin.flush()
        said = json.loads(self.page.stdout.readline())
        assert "error" not in said, said
        return said["value"]

    def until(self, expression: str) -> Any:
        """The same, until it comes to something: others need their time to store."""
        for _ in range(200):
            if found := self.run(expression):
                return found
        raise AssertionError(f"nothing came of {expression}")

    def stop(self) -> None:
        for one in (self.page, self.relay):
            assert one.stdin is not None
            one.stdin.close()
        self.page.wait(20)
        self.relay.terminate()
        self.relay.wait(20)


@pytest.fixture(scope="module")
def page(mixed: Mixed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    # It knows nobody but a session of theirs.
    one = Page(tmp_path_factory.mktemp("web") / "page", "127.0.31.1:6881")
    try:
        yield one
    finally:
        one.stop()


def test_it_is_one_of_them(mixed: Mixed, page: Page) -> None:
    own, addr = page.run("[node.id, node.addr]")
    assert addr.startswith(RELAYED + ":")
    closest = mixed.program.until(
        "lookup",
        own,
        "--trace",
        said=lambda line: line["event"] == "answered" and line["id"] == own,
    )
    assert closest["addr"] == addr


def test_what_it_announces_they_find(mixed: Mixed, page: Page) -> None:
    key = hash_of("announced by a page")
    base32 = base64.b32encode(bytes.fromhex(key)).decode()
    assert page.run(f"node.announce('magnet:?xt=urn:btih:{base32}').then(it => it.stored)") >= 8
    asker = mixed.sessions[2]
    asker.dht_get_peers(sha1(key))
    found = alert(asker, lt.dht_get_peers_reply_alert, lambda it: it.num_peers() > 0)
    port = int(page.run("node.addr").split(":")[1])
    assert found.peers() == [(RELAYED, port)]


def test_what_they_announce_it_keeps_and_finds(mixed: Mixed, page: Page) -> None:
    # Nobody is closer to this than the page itself.
    key = page.run("node.id")
    mixed.sessions[1].dht_announce(sha1(key), 7011, 0)
    page.until("node.storeStats().providers")
    other = hash_of("announced for a page")
    mixed.sessions[6].dht_announce(sha1(other), 7012, 0)
    for named in (other, other.upper(), f"magnet:?xt=urn:btih:{other}&dn=x"):
        peers = page.until(f"collected(node.providers('{named}')).then(it => it.length ? it : 0)")
        assert {peer["address"] for peer in peers} == {"127.0.36.1:7012"}
    swarm = page.run(f"node.scrape('{other}')")
    assert (swarm["seeds"], swarm["peers"]) == (0, 1)
    # What it alone answers them with.
    asker = mixed.sessions[4]
    asker.dht_get_peers(sha1(key))
    found = alert(asker, lt.dht_get_peers_reply_alert, lambda it: it.num_peers() > 0)
    assert found.peers() == [("127.0.31.1", 7011)]


def test_immutable_values_cross_both_ways(mixed: Mixed, page: Page) -> None:
    key = page.run("node.put(bytes('said by a page')).then(it => it.key)")
    assert key == hash_of("14:said by a page")
    asker = mixed.sessions[5]
    asker.dht_get_immutable_item(sha1(key))
    assert alert(asker, lt.dht_immutable_item_alert).item == b"said by a page"
    key = str(mixed.sessions[0].dht_put_immutable_item(b"said to a page"))
    alert(mixed.sessions[0], lt.dht_put_alert)
    assert page.until(f"node.get('{key}').then(text)") == "said to a page"
    key = str(mixed.sessions[3].dht_put_immutable_item({"a": 1}))
    alert(mixed.sessions[3], lt.dht_put_alert)
    said = f"node.get('{key}').then(it => it instanceof kadlet.Bencoded && text(it))"
    assert page.until(said) == "d1:ai1ee"


def test_signed_values_cross_both_ways(mixed: Mixed, page: Page) -> None:
    secret, salt = list(SECRET), "of a page"
    put = (
        "(async (seq, said, cas) => { const item = sign("
        f"Uint8Array.from({secret}), bytes('{salt}'), BigInt(seq), bencodeString(bytes(said)), true);"
        "await node.put(item, { cas }); return [...item.publicKey]; })"
    )
    public = bytes(page.run(put + "(1, 'one')"))
    asker = mixed.sessions[7]
    asker.dht_get_mutable_item(public, salt.encode())
    assert alert(asker, lt.dht_mutable_item_alert, lambda it: it.seq == 1).item == b"one"
    asker.dht_put_mutable_item(expanded(SECRET), public, b"two", salt.encode())
    alert(asker, lt.dht_put_alert)
    link = f"magnet:?xs=urn:btpk:{public.hex()}&s={salt.encode().hex()}"
    assert page.until(f"node.get('{link}').then(text).then(it => it === 'two' && it)") == "two"
    # Nobody has this number; some may still have the first.
    refused = page.run(put + "(3, 'x', 7n).catch(error => error.code)")
    assert refused == "cas_mismatch"
    page.run(put + "(3, 'three', 2n)")
    asker.dht_get_mutable_item(public, salt.encode())
    assert alert(asker, lt.dht_mutable_item_alert, lambda it: it.seq == 3).item == b"three"
