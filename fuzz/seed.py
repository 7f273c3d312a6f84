#!/usr/bin/env python3
"""Makes the first inputs of every target: the golden files of the core, and what they lack.

Run it after the golden files have grown, then `cargo xtask fuzz` and `cargo fuzz cmin`.
"""

import hashlib
import pathlib
import re

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "core/tests/golden"


def add(target: str, data: bytes) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def both(data: bytes) -> None:
    add("decode", data)
    add("round_trip", data)


for file in sorted(GOLDEN.rglob("*.txt")):
    for line in file.read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("ascii | "):
            both(line.removeprefix("ascii | ").encode())
        for word in re.findall(r"(?:[0-9a-f]{2}){8,}", line):
            both(bytes.fromhex(word))

BLAKE3 = hashlib.sha256(b"any").hexdigest()
both(f"magnet:?xt=urn:blake3:{BLAKE3}&dn=a%20b.txt&xl=5&x.pe=127.0.0.1:4242&x.pe=[::1]:1".encode())
both("\u00e9t\u00e9 one two Drei.txt".encode())
# Everything of bencode in a few bytes.
both(b"d1:ai-1e1:bl1:cd0:lei99999999999999999999eeee")
# Resume notes of 0 and 9 pieces; a state without and with one contact. Checksums are put right.
NOTE, CHECK = b"kadr\x01" + bytes(32), bytes(8)
both(NOTE + bytes(8) + CHECK)
both(NOTE + (9 << 20).to_bytes(8, "little") + b"\x05\x01" + CHECK)
STATE = b"KDLS\x01\x00" + bytes([1] * 20) + bytes([2] * 20)
CONTACT = bytes([3] * 20) + b"\x00\x7f\x00\x00\x01\x80\x20" + b"\x00\x03\x10\x01\xe8\x07"
both(STATE + b"\x00" + b"\x01\x01" + CHECK)
both(STATE + b"\x01" + CONTACT + b"\x01\x01" + CHECK)

# Sequences: a pseudo-random one of every kind of world; the fuzzer makes sense of them.
for kind in range(32):
    data = b"".join(hashlib.sha256(bytes([kind, part])).digest() for part in range(16))
    add("operations", bytes([kind * 8 + kind % 8]) + data)
# Two nodes meet, one puts a renewed value, both wait.
for kind in range(8):
    joined = bytes([16, 1, 0, 0, 2, 1, 1]) + bytes([0, 15] * 4)
    put = bytes([16, 0, 6, 0, 0, 0, 0x30, 1, 0]) + bytes([0, 15] * 6) + bytes([15, 4] * 3)
    add("operations", bytes([kind]) + joined + put + bytes([14, 0, 14, 1] * 8))
