#!/usr/bin/env python3
"""The native wire, draft 1, a second time: from docs/protocol.md alone, standard library alone.

    python3 core/tests/protocol.py                       every golden datagram, both ways
    python3 core/tests/protocol.py --talk 127.0.0.1:4242 --network kadlet
                                                         ping and find_node a node
    python3 core/tests/protocol.py --serve 127.0.0.1:0 --network kadlet
                                                         answer ping and find_node until stopped
"""

import argparse
import ipaddress
import os
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

MAGIC, DRAFT = b"\xfeKd", 1
MAX_DATAGRAM = 1232
QUERY, RESPONSE, ERROR = range(3)
CLIENT, UNSUPPORTED, SHORT = 1, 2, 4
PING, FIND_NODE = 1, 2


class NoMessage(Exception):
    """A datagram is no message; the argument is the name of the reason."""


# ---- BLAKE3, as far as short inputs need it: one chunk of at most 1024 bytes ------------------

IV = struct.unpack(
    "<8I",
    bytes.fromhex("67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b"),
)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, ROOT, DERIVE_CONTEXT, DERIVE_MATERIAL = 1, 2, 8, 32, 64
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def compress(chaining, block, flags):
    state = [*chaining, *IV[:4], 0, 0, len(block), flags]
    words = struct.unpack("<16I", block.ljust(64, b"\0"))

    def turn(number, bits):
        return (number >> bits | number << (32 - bits)) & 0xFFFFFFFF

    for _ in range(7):
        for i, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
            for word, first, second in ((words[2 * i], 16, 12), (words[2 * i + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & 0xFFFFFFFF
                state[d] = turn(state[d] ^ state[a], first)
                state[c] = (state[c] + state[d]) & 0xFFFFFFFF
                state[b] = turn(state[b] ^ state[c], second)
        words = [words[i] for i in ORDER]
    return [low ^ high for low, high in zip(state[:8], state[8:])]


def chunk(key, data, mode):
    assert len(data) <= 1024, "more than one chunk"
    chaining = key
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        flags = mode | (CHUNK_START if i == 0 else 0)
        flags |= CHUNK_END | ROOT if i == len(blocks) - 1 else 0
        chaining = compress(chaining, block, flags)
    return chaining


def derive_key(context, material):
    key = chunk(IV, context.encode(), DERIVE_CONTEXT)
    return struct.pack("<8I", *chunk(key, material, DERIVE_MATERIAL))


def network_id(name):
    return derive_key("kadlet draft-1 network", name.encode())[:8]


# ---- postcard ---------------------------------------------------------------------------------


def put_number(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def put_bytes(data):
    return put_number(len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def done(self):
        return self.at == len(self.data)

    def rest(self):
        return self.fixed(len(self.data) - self.at)

    def fixed(self, length):
        if length > len(self.data) - self.at:
            raise NoMessage("Truncated")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, bits):
        number = shift = 0
        while True:
            byte = self.fixed(1)[0]
            number |= (byte & 0x7F) << shift
            if number >> 64:
                raise NoMessage("BadNumber")
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise NoMessage("BadNumber")
        if number >> bits or (byte == 0 and shift):
            raise NoMessage("BadNumber")
        return number

    def bytes(self):
        return self.fixed(self.number(64))


# ---- what is in a field -----------------------------------------------------------------------


def text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise NoMessage("BadField") from None


def limit(data, most):
    if len(data) > most:
        raise NoMessage("BadField")
    return data


@dataclass
class Address:
    kind: int
    ip: bytes = b""
    port: int = 0
    rest: bytes = b""  # of a kind that is not known

    @classmethod
    def read(cls, reader):
        kind = reader.number(32)
        if kind > 1:
            return cls(kind, rest=reader.rest())
        ip = reader.fixed((4, 16)[kind])
        return cls(kind, ip, int.from_bytes(reader.fixed(2), "big"))

    @classmethod
    def of(cls, host, port):
        ip = ipaddress.ip_address(host)
        return cls(ip.version == 6, ip.packed, port)

    def put(self):
        if self.kind > 1:
            return put_number(self.kind) + self.rest
        return put_number(self.kind) + self.ip + self.port.to_bytes(2, "big")

    def __str__(self):
        ip = ipaddress.ip_address(self.ip)
        return f"[{ip}]:{self.port}" if self.kind else f"{ip}:{self.port}"


@dataclass
class Node:
    id: bytes
    address: Address
    capabilities: int = 0
    more: bytes = b""

    @classmethod
    def read(cls, reader):
        id, address = reader.fixed(20), Address.read(reader)
        if address.kind > 1:
            return cls(id, address)
        return cls(id, address, reader.number(32), reader.rest())

    def put(self):
        if self.address.kind > 1:
            return self.id + self.address.put()
        return self.id + self.address.put() + put_number(self.capabilities) + self.more

    def __str__(self):
        return f"{self.id.hex()}@{self.address}/{self.capabilities}"


@dataclass
class Provider:
    address: Address
    transports: int = 0
    more: bytes = b""

    @classmethod
    def read(cls, reader):
        address = Address.read(reader)
        if address.kind > 1:
            return cls(address)
        return cls(address, reader.fixed(1)[0], reader.rest())

    def put(self):
        if self.address.kind > 1:
            return self.address.put()
        return self.address.put() + bytes([self.transports]) + self.more

    def __str__(self):
        return f"{self.address}/{self.transports}"


@dataclass
class Entry:
    name: str
    size: int
    content: bytes
    extra: bytes = b""

    @classmethod
    def read(cls, reader):
        name = text(reader.bytes())
        size, content = reader.number(64), reader.fixed(32)
        limit(name.encode(), 255)
        return cls(name, size, content, limit(reader.rest(), 128))

    def put(self):
        name = put_bytes(self.name.encode())
        return name + put_number(self.size) + self.content + self.extra

    def __str__(self):
        name, content = self.name.encode().hex(), self.content.hex()
        return f"{name}/{self.size}/{content}/{self.extra.hex()}"


@dataclass
class Signed:
    public_key: bytes
    signature: bytes
    seq: int
    salt: bytes
    value: bytes
    extra: bytes = b""

    @classmethod
    def read(cls, reader):
        key, signature, seq = reader.fixed(32), reader.fixed(64), reader.number(64)
        return cls(key, signature, seq, reader.bytes(), reader.bytes(), reader.rest())

    def put(self):
        start = self.public_key + self.signature + put_number(self.seq)
        return start + put_bytes(self.salt) + put_bytes(self.value) + self.extra


@dataclass
class Failure:
    code: int
    text: str
    more: bytes = b""

    @classmethod
    def read(cls, reader):
        return cls(reader.number(16), text(reader.bytes()), reader.rest())

    def put(self):
        return put_number(self.code) + put_bytes(self.text.encode()) + self.more


def whole(read):
    """A field that is exactly one thing."""

    def parse(data):
        reader = Reader(data)
        value = read(reader)
        if not reader.done():
            raise NoMessage("Trailing")
        return value

    return parse


def list_of(kind):
    def parse(data):
        reader, elements = Reader(data), []
        while not reader.done():
            elements.append(kind.read(Reader(reader.bytes())))
        return elements

    return parse, lambda elements: b"".join(put_bytes(e.put()) for e in elements)


def number(bits):
    return whole(lambda reader: reader.number(bits)), put_number


def fixed(length):
    return whole(lambda reader: reader.fixed(length)), bytes


def small():
    return whole(lambda reader: reader.fixed(1)[0]), lambda byte: bytes([byte])


def raw(most):
    return lambda data: limit(data, most), bytes


def structure(kind):
    return whole(kind.read), lambda value: value.put()


# Tag: name, kinds of message it is a field of, how it is read, how it is written.
FIELDS = {
    1: ("target", "Q", *fixed(20)),
    2: ("capabilities", "QRE", *number(32)),
    3: ("cookie", "QRE", *fixed(8)),
    4: ("observed", "RE", *structure(Address)),
    5: ("want", "Q", *small()),
    6: ("mask", "Q", *number(32)),
    7: ("token", "QR", *raw(32)),
    8: ("page", "QR", *number(32)),
    9: ("seq", "RE", *number(64)),
    10: ("newer_than", "Q", *number(64)),
    11: ("cas", "Q", *number(64)),
    12: ("age", "Q", *number(32)),
    13: ("lifetime", "Q", *number(32)),
    14: ("port", "Q", *number(16)),
    15: ("transports", "Q", *small()),
    16: ("words", "Q", lambda data: text(limit(data, 255)), str.encode),
    17: ("nonce", "Q", *fixed(8)),
    18: ("address", "Q", *structure(Address)),
    19: ("origin", "Q", *structure(Node)),
    20: ("payload", "Q", *raw(1024)),
    21: ("value", "QR", *raw(MAX_DATAGRAM)),
    22: ("signed", "QR", *structure(Signed)),
    23: ("entry", "Q", *structure(Entry)),
    24: ("error", "E", *structure(Failure)),
    25: ("nodes", "R", *list_of(Node)),
    26: ("providers", "R", *list_of(Provider)),
    27: ("hits", "R", *list_of(Entry)),
}
LAST_KNOWN = max(FIELDS)
TAGS = {name: tag for tag, (name, *_) in FIELDS.items()}
IN_EVERY_QUERY = {"target", "capabilities", "cookie", "want", "mask"}
# Method: what it needs, what it may have.
METHODS = {
    1: (set(), {"nonce"}),
    2: ({"target"}, set()),
    3: ({"target"}, {"page"}),
    4: ({"target", "token"}, {"port", "transports"}),
    5: ({"target"}, {"newer_than"}),
    6: ({"token", "value"}, {"target", "cas", "age", "lifetime"}),
    7: ({"target"}, {"words", "page"}),
    8: ({"target", "token", "entry"}, set()),
    9: ({"target", "payload"}, {"origin"}),
    10: ({"nonce"}, set()),
    11: ({"address", "nonce"}, set()),
}


@dataclass
class Message:
    kind: int
    method: int
    transaction: bytes
    sender: bytes
    flags: int = 0
    fields: dict = field(default_factory=dict)  # by name, in the order of the datagram
    raw: list = field(default_factory=list)  # (key, bytes) of every field, known or not
    understood: bool = True  # a query: its method, and every critical field

    def __getattr__(self, name):
        return self.fields.get(name)


def decode(data, network):
    if len(data) < 4 or data[:3] != MAGIC:
        raise NoMessage("NotOurs")
    if data[3] != DRAFT:
        raise NoMessage("OtherVersion")
    if len(data) < 12:
        raise NoMessage("Truncated")
    if data[4:12] != network:
        raise NoMessage("OtherNetwork")
    if len(data) > MAX_DATAGRAM:
        raise NoMessage("TooLong")
    header = Reader(data[12:])
    kind, flags, method, transaction, sender = struct.unpack(">BBH8s20s", header.fixed(32))
    if kind > ERROR:
        raise NoMessage("BadField")
    message = Message(kind, method, transaction, sender, flags)
    useful = set(TAGS)
    if kind == QUERY:
        needs, may = METHODS.get(method, (set(), set()))
        useful = IN_EVERY_QUERY | needs | may
        useful |= {"signed"} if "value" in useful else set()
        message.understood = method in METHODS
    seen, reader = set(), Reader(header.rest())
    while not reader.done():
        key = reader.number(16)
        tag, critical = key >> 1, key & 1
        body = reader.bytes()
        message.raw.append((key, body))
        if tag <= LAST_KNOWN:
            if tag in seen:
                raise NoMessage("Duplicate")
            seen.add(tag)
        name, kinds, read, _ = FIELDS.get(tag, ("", "", None, None))
        if "QRE"[kind] in kinds:
            message.fields[name] = read(body)
        if critical and ("QRE"[kind] not in kinds or name not in useful):
            if kind != QUERY:
                raise NoMessage("Critical")
            message.understood = False
    check(message)
    return message


def check(message):
    """What is more than the shape of single fields."""
    fields = message.fields
    if "value" in fields and "signed" in fields:
        raise NoMessage("Duplicate")
    origin = fields.get("origin")
    for address in (fields.get("address"), origin and origin.address):
        if address and address.kind > 1:
            raise NoMessage("BadField")
    if message.kind == RESPONSE:
        limit(fields.get("value", b""), 896)
        if signed := fields.get("signed"):
            limit(signed.salt, 64)
            limit(signed.value + signed.extra, 896)
    if message.kind == ERROR and "error" not in fields:
        raise NoMessage("Missing")
    if message.kind == QUERY and message.understood:
        for name in METHODS[message.method][0]:
            if name not in fields and not (name == "value" and "signed" in fields):
                raise NoMessage("Missing")


def encode(message, network):
    """Every field from what it says; what is not known, as it came."""
    out = MAGIC + bytes([DRAFT]) + network
    out += struct.pack(">BBH", message.kind, message.flags, message.method)
    out += message.transaction + message.sender
    raw = message.raw or [(TAGS[name] << 1, None) for name in sorted(message.fields, key=TAGS.get)]
    for key, body in raw:
        name, _, _, put = FIELDS.get(key >> 1, ("", "", None, None))
        if name in message.fields:
            body = put(message.fields[name])
        out += put_number(key) + put_bytes(body)
    return out


# ---- the golden datagrams ---------------------------------------------------------------------


def describe(message):
    """What the message says, in the words of datagrams.txt."""
    fields = message.fields
    words = [("query", "response", "error")[message.kind], str(message.method)]
    words += [f"transaction={message.transaction.hex()}", f"sender={message.sender.hex()}"]
    words += ["client"] * (message.flags & CLIENT)

    def say(*names):
        for name in names:
            value = fields.get(name)
            if name == "nonce" and value is not None:
                value = int.from_bytes(value, "big")
            if name == "words" and value is not None:
                value = value.encode()
            if isinstance(value, list):
                known = [e for e in value if isinstance(e, Entry) or e.address.kind <= 1]
                value = ",".join(map(str, known)) or None
            if isinstance(value, bytes):
                value = value.hex()
            if value is not None:
                words.append(f"{name}={value}")

    def say_signed():
        if signed := fields.get("signed"):
            words.append(f"public_key={signed.public_key.hex()}")
            words.append(f"signature={signed.signature.hex()}")
            words.append(f"signed_seq={signed.seq}")
            for name in ("salt", "value", "extra"):
                words.append(f"{name}={getattr(signed, name).hex()}")

    say("capabilities", "cookie", "observed")
    if message.kind == QUERY:
        say("target", "want", "mask")
        if message.understood:
            needs, may = METHODS[message.method]
            names = (needs | may) - IN_EVERY_QUERY
            say(*sorted(names, key=TAGS.get))
            if "value" in names:
                say_signed()
        else:
            words.append("unknown")
    elif message.kind == RESPONSE:
        words += ["unsupported"] * bool(message.flags & UNSUPPORTED)
        words += ["short"] * bool(message.flags & SHORT)
        say("token", "page", "seq", "value")
        say_signed()
        say("nodes", "providers", "hits")
    else:
        failure = fields["error"]
        words += [f"code={failure.code}", f"text={failure.text.encode().hex()}"]
        say("seq")
    return " ".join(words)


def check_datagrams(folder):
    network, count = network_id("example"), 0
    for line in (folder / "datagrams.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, data, says = line.split("\t")
        data = bytes.fromhex(data)
        try:
            message = decode(data, network)
            found = describe(message)
            assert encode(message, network) == data, f"{name}: not written as it was read"
        except NoMessage as reason:
            found = f"none: {reason}"
        assert found == says, f"{name}:\n  found    {found}\n  expected {says}"
        count += 1
    return count


def check_records(folder):
    contexts = {
        "value": ("kadlet draft-1 value", lambda parts: bytes.fromhex(parts[0])),
        "signed": ("kadlet draft-1 signed value", lambda parts: bytes.fromhex(parts[4] + parts[1])),
        "keyword": ("kadlet draft-1 keyword", lambda parts: parts[0].encode()),
    }
    keys, count = {"value": 1, "signed": 5, "keyword": 1}, 0
    for line in (folder / "records.txt").read_text().splitlines():
        kind, *parts = line.split("\t")
        if kind in contexts:
            context, material = contexts[kind]
            assert derive_key(context, material(parts))[:20].hex() == parts[keys[kind]], line
            count += 1
        if kind == "signed":
            _, salt, seq, value, *_, message, _ = parts
            salt, value = bytes.fromhex(salt), bytes.fromhex(value)
            expected = b"kadlet draft-1 signature" + bytes([len(salt)]) + salt
            expected += struct.pack(">QH", int(seq), len(value)) + value
            assert expected.hex() == message, line
    return count


def check_samples(folder, page):
    """The samples of docs/protocol.md are golden datagrams, their breakdown loses no byte."""
    lines = (folder / "datagrams.txt").read_text().splitlines()
    golden = {line.split("\t")[1] for line in lines if "\t" in line}
    samples = [block for block in page.read_text().split("```") if block.startswith("text\nfe4b")]
    for block in samples:
        data = ""
        for line in block.splitlines()[1:]:
            digits, _, comment = line.strip().partition("  ")
            if digits.endswith("…"):
                length = int(comment.split()[-2])
                data += digits[:2] * length
            elif not set(digits) - set("0123456789abcdef "):
                data += digits.replace(" ", "")
        assert data in golden, f"{page}: no golden datagram:\n{data}"
    return len(samples)


# ---- talking ----------------------------------------------------------------------------------


class Peer:
    """A client that asks, or a server that answers, over one UDP socket."""

    def __init__(self, network, bind, timeout=2.0):
        self.network, self.id, self.timeout = network_id(network), os.urandom(20), timeout
        family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(bind)
        self.cookies = {}

    def ask(self, remote, method, **fields):
        """One question, sent up to three times; once more with the cookie if the answer is short."""
        if remote in self.cookies:
            fields["cookie"] = self.cookies[remote]
        query = Message(QUERY, method, os.urandom(8), self.id, CLIENT, fields)
        self.socket.settimeout(self.timeout)
        for _ in range(3):
            self.socket.sendto(encode(query, self.network), remote)
            try:
                while True:
                    data, source = self.socket.recvfrom(65536)
                    answer = self.read(data)
                    if answer and answer.kind != QUERY and source[:2] == remote:
                        if answer.transaction == query.transaction:
                            break
            except TimeoutError:
                continue
            if answer.cookie:
                self.cookies[remote] = answer.cookie
            if answer.flags & SHORT and "cookie" not in fields:
                return self.ask(remote, method, **fields)
            return answer
        raise TimeoutError(f"no answer from {remote[0]}:{remote[1]}")

    def read(self, data):
        try:
            return decode(data, self.network)
        except NoMessage:
            return None

    def ping(self, remote):
        return self.ask(remote, PING)

    def find_node(self, remote, target):
        return self.ask(remote, FIND_NODE, target=target)

    def serve(self, on_query=lambda query, remote: None):
        """Answers ping and find_node, and everything else as an old version does."""
        nodes = {}
        self.socket.settimeout(None)
        while True:
            data, remote = self.socket.recvfrom(65536)
            query = self.read(data)
            if not query or query.kind != QUERY:
                continue
            fields = {"observed": Address.of(*remote[:2])}
            answer = Message(RESPONSE, query.method, query.transaction, self.id, 0, fields)
            if not query.understood or query.method not in (PING, FIND_NODE):
                answer.flags = UNSUPPORTED
            if query.target:
                others = [node for node in nodes.values() if node.id != query.sender]
                others.sort(key=lambda node: distance(node.id, query.target))
                fields["nodes"] = others[:20]
                # Three times the question is the most that an unproven address may get.
                while fields["nodes"] and len(encode(answer, self.network)) > 3 * len(data):
                    fields["nodes"].pop()
                if not fields["nodes"]:
                    del fields["nodes"]
            elif answer.flags:
                answer.kind, answer.flags = ERROR, 0
                fields["error"] = Failure(204, "unknown method")
            self.socket.sendto(encode(answer, self.network), remote)
            if not query.flags & CLIENT:
                nodes[query.sender] = Node(query.sender, fields["observed"])
            on_query(query, remote)


def distance(a, b):
    return int.from_bytes(a, "big") ^ int.from_bytes(b, "big")


def host_and_port(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def talk(remote, network):
    """Pings a node and asks it for its own neighbourhood."""
    bind = ("::" if ":" in remote[0] else "0.0.0.0", 0)
    peer = Peer(network, bind)
    pong = peer.ping(remote)
    assert pong.kind == RESPONSE, describe(pong)
    print("ping:", describe(pong))
    found = peer.find_node(remote, pong.sender)
    assert found.kind == RESPONSE and found.sender == pong.sender, describe(found)
    print("find_node:", describe(found))
    unknown = peer.ask(remote, 32 * 7 + 31, target=pong.sender)
    assert unknown.kind == RESPONSE and unknown.flags & UNSUPPORTED, describe(unknown)
    print("unknown method:", describe(unknown))


def serve(bind, network):
    peer = Peer(network, bind)
    host, port = peer.socket.getsockname()[:2]
    print(f"listening {host}:{port} {peer.id.hex()}", flush=True)

    def on_query(query, remote):
        print(f"{remote[0]}:{remote[1]} {describe(query)}", flush=True)

    peer.serve(on_query)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--talk", metavar="IP:PORT", type=host_and_port)
    parser.add_argument("--serve", metavar="IP:PORT", type=host_and_port)
    parser.add_argument("--network", default="kadlet", metavar="NAME")
    options = parser.parse_args()
    if options.talk:
        talk(options.talk, options.network)
    elif options.serve:
        serve(options.serve, options.network)
    else:
        folder = Path(__file__).parent / "golden" / "draft-1"
        page = Path(__file__).parents[2] / "docs" / "protocol.md"
        print(f"agreed: {check_datagrams(folder)} datagrams, {check_records(folder)} keys,"
              f" {check_samples(folder, page)} samples")


if __name__ == "__main__":
    sys.exit(main())
