"""The program and libtorrent in one Mainline: what either says, the other finds."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import kadlet
import libtorrent as lt
from conftest import Mixed, Program, alert

SECRET = bytes(range(32))


def expanded(secret: bytes) -> bytes:
    """The private key as libtorrent takes it: hashed, with the bits set that RFC 8032 sets."""
    half = bytearray(hashlib.sha512(secret).digest())
    half[0] &= 248
    half[31] &= 63
    half[31] |= 64
    return bytes(half)


def hash_of(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def sha1(text: str) -> lt.sha1_hash:
    return lt.sha1_hash(bytes.fromhex(text))


def key_file(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text(SECRET.hex() + "\n")
    return str(file)


def test_what_we_announce_they_find(mixed: Mixed) -> None:
    key = hash_of("announced by us")
    said = mixed.program.run("announce", key, "--port", "7001", "--seed")[-1]
    assert said["nodes"] >= 8, said
    asker = mixed.sessions[3]
    asker.dht_get_peers(sha1(key))
    found = alert(asker, lt.dht_get_peers_reply_alert, lambda it: it.num_peers() > 0)
    assert found.peers() == [(mixed.program.ip, 7001)]


def test_what_they_announce_we_find_count_and_sample(mixed: Mixed) -> None:
    key = hash_of("announced by them")
    for one in mixed.sessions[:3]:
        one.dht_announce(sha1(key), 7002, 0)
    found = mixed.program.until("peers", key, said=lambda line: line["event"] == "peer")
    assert found["addr"].endswith(":7002")
    swarm = mixed.program.until(
        "peers", key, "--scrape", said=lambda line: line.get("peers") == 3
    )
    assert swarm == {"event": "swarm", "key": key, "seeds": 0, "peers": 3}
    magnet = f"magnet:?xt=urn:btih:{key}"
    mixed.program.until("peers", magnet, said=lambda line: line["event"] == "peer")
    mixed.program.until("sample", "--target", key, said=lambda line: line.get("key") == key)


def test_immutable_values_cross_both_ways(mixed: Mixed) -> None:
    said = mixed.program.run("put", "said by us")[-1]
    assert said["key"] == hash_of("10:said by us")
    asker = mixed.sessions[4]
    asker.dht_get_immutable_item(sha1(said["key"]))
    found = alert(asker, lt.dht_immutable_item_alert)
    assert found.item == b"said by us"
    key = str(mixed.sessions[5].dht_put_immutable_item(b"said by them"))
    alert(mixed.sessions[5], lt.dht_put_alert)
    found = mixed.program.until("value", key, said=lambda line: line["event"] == "value")
    assert bytes.fromhex(found["string"]) == b"said by them"


def test_signed_values_cross_both_ways(mixed: Mixed, tmp_path: Path) -> None:
    file, salt = key_file(tmp_path), "both ways"
    put = ["--key", file, "--salt", salt]
    first = mixed.program.run("put", "one", *put, "--seq", "1")[-1]
    public = bytes.fromhex(first["public_key"])
    asker = mixed.sessions[6]
    asker.dht_get_mutable_item(public, salt.encode())
    found = alert(asker, lt.dht_mutable_item_alert, lambda it: it.seq == 1)
    assert found.item == b"one"
    # libtorrent reads what is there and says the next number.
    asker.dht_put_mutable_item(expanded(SECRET), public, b"two", salt.encode())
    alert(asker, lt.dht_put_alert)
    found = mixed.program.until(
        "value", first["key"], "--salt", salt, said=lambda line: line.get("seq") == 2
    )
    assert bytes.fromhex(found["string"]) == b"two"
    # Compare and swap: over the number that is there, and over none other.
    refused = mixed.program.run("put", "x", *put, "--seq", "3", "--cas", "1")[-1]
    assert refused["event"] == "error" and refused["code"] == "cas_mismatch", refused
    third = mixed.program.run("put", "three", *put, "--cas", "2")[-1]
    assert (third["event"], third["seq"]) == ("stored", 3), third
    asker.dht_get_mutable_item(public, salt.encode())
    found = alert(asker, lt.dht_mutable_item_alert, lambda it: it.seq == 3)
    assert found.item == b"three"


def test_a_mutable_torrent_is_followed(mixed: Mixed, tmp_path: Path) -> None:
    key = hash_of("named by a key")
    value = tmp_path / "torrent"
    value.write_bytes(b"d2:ih20:" + bytes.fromhex(key) + b"e")
    said = mixed.program.run(
        "put", f"@{value}", "--bencode", "--key", key_file(tmp_path), "--salt", "46"
    )[-1]
    link = f"magnet:?xs=urn:btpk:{said['public_key']}&s={b'46'.hex()}"
    found = mixed.program.run("value", link)[-1]
    assert found["info_hash"] == key
    mixed.program.run("announce", link, "--port", "7003")
    announced = f"{mixed.program.ip}:7003"
    assert mixed.program.run("peers", link)[0]["addr"] == announced


def test_only_we_store_and_serve(ours: Program, guest: lt.session, tmp_path: Path) -> None:
    """With the other read-only, nobody else can have kept what is found."""
    key = str(guest.dht_put_immutable_item(b"kept by us"))
    assert alert(guest, lt.dht_put_alert).num_success >= 8
    guest.dht_get_immutable_item(sha1(key))
    assert alert(guest, lt.dht_immutable_item_alert).item == b"kept by us"
    public = bytes.fromhex(
        ours.run("put", "unused", "--key", key_file(tmp_path), "--salt", "s")[-1]["public_key"]
    )
    guest.dht_put_mutable_item(expanded(SECRET), public, b"signed", b"salt")
    alert(guest, lt.dht_put_alert)
    guest.dht_get_mutable_item(public, b"salt")
    assert alert(guest, lt.dht_mutable_item_alert, lambda it: it.seq >= 1).item == b"signed"
    hash_ = hash_of("asked for by a guest")
    ours.run("announce", hash_, "--port", "7004")
    guest.dht_get_peers(sha1(hash_))
    found = alert(guest, lt.dht_get_peers_reply_alert, lambda it: it.num_peers() > 0)
    assert found.peers() == [(ours.ip, 7004)]
    guest.dht_sample_infohashes(("127.0.60.1", 6881), sha1(hash_))
    sample = alert(guest, lt.dht_sample_infohashes_alert)
    assert sample.num_infohashes >= 1


def test_a_python_node_is_one_of_them(mixed: Mixed) -> None:
    async def test() -> None:
        where = [mixed.program.entry]
        async with kadlet.open_node("127.0.98.1:0", where, network="mainline") as node:
            announced = await node.announce(hash_of("announced by python"), 7005)
            assert announced.stored >= 8
            asker = mixed.sessions[7]
            asker.dht_get_peers(sha1(announced.key.hex()))
            found = await asyncio.to_thread(
                alert, asker, lt.dht_get_peers_reply_alert, lambda it: it.num_peers() > 0
            )
            assert found.peers() == [("127.0.98.1", 7005)]
            stored = await node.put(b"said by python")
            asker.dht_get_immutable_item(sha1(stored.key.hex()))
            item = await asyncio.to_thread(alert, asker, lt.dht_immutable_item_alert)
            assert item.item == b"said by python"
            key = hash_of("announced for python")
            asker.dht_announce(sha1(key), 7006, 0)
            for _ in range(100):
                peers = [peer async for peer in node.providers(key)]
                if peers:
                    break
                await asyncio.sleep(0.1)
            assert [peer.address[1] for peer in peers] == [7006]
            value = await node.put(kadlet.Bencoded(b"d1:ai1ee"))
            assert await node.get(value.key) == b"d1:ai1ee"

    asyncio.run(test())
