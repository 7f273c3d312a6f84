"""The native wire of Kadlet, read and written, from docs/protocol.md alone.

`decode` gives a `Message` or raises `Refused` with the document's name for the reason; `Message.encode` is its inverse for
every message that says nothing unknown. Nothing here knows of sockets, of time, or of what a node does with a message.
"""

from dataclasses import dataclass, field

MAX_DATAGRAM = 1232
MAGIC = bytes.fromhex("fe4b64")
DRAFT = 1
QUERY, RESPONSE, ERROR = 0, 1, 2
CLIENT, UNSUPPORTED, SHORT = 1, 2, 4
NOTHING_WANTED = 2**32 - 1  # a page: "no list, please"

METHODS = {
    1: "ping",
    2: "find_node",
    3: "get_providers",
    4: "announce",
    5: "get",
    6: "put",
    7: "search",
    8: "publish",
    9: "signal",
    10: "dial_back",
    11: "probe",
}
NUMBERS = {name: number for number, name in METHODS.items()}


class Refused(Exception):
    """Not a message: it is dropped without an answer. `args[0]` is the document's name for the reason."""


class Reader:
    """Reads the document's primitive parts from bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Refused("Truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def done(self):
        return self.at == len(self.data)

    def number(self, bits):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if value >> 64 or shift > 63:
                raise Refused("BadNumber")
            if byte < 0x80:
                if value >> bits or (byte == 0 and shift):
                    raise Refused("BadNumber")  # out of range, or in more bytes than it needs
                return value
            shift += 7

    def bytes(self):
        return self.take(self.number(64))

    def text(self, limit=None):
        raw = self.bytes()
        if limit is not None and len(raw) > limit:
            raise Refused("BadField")
        return utf8(raw)


def utf8(raw):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("BadField") from None


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def counted(raw):
    return number(len(raw)) + raw


# Structures. A reader takes a `Reader` and leaves what it does not know; a writer gives bytes.


class UnknownAddress(Exception):
    """An address of a kind that this draft does not have."""


@dataclass(frozen=True)
class Address:
    ip: bytes
    port: int

    @staticmethod
    def read(data):
        kind = data.number(32)
        if kind > 1:
            raise UnknownAddress
        return Address(data.take((4, 16)[kind]), int.from_bytes(data.take(2), "big"))

    def write(self):
        return bytes([len(self.ip) == 16]) + self.ip + self.port.to_bytes(2, "big")


@dataclass(frozen=True)
class Node:
    id: bytes
    address: Address
    capabilities: int = 0

    @staticmethod
    def read(data):
        return Node(data.take(20), Address.read(data), data.number(32))

    def write(self):
        return self.id + self.address.write() + number(self.capabilities)


@dataclass(frozen=True)
class Provider:
    address: Address
    transports: int = 0

    @staticmethod
    def read(data):
        return Provider(Address.read(data), data.take(1)[0])

    def write(self):
        return self.address.write() + bytes([self.transports])


@dataclass(frozen=True)
class Entry:
    name: str
    size: int
    content: bytes
    extra: bytes = b""

    @staticmethod
    def read(data):
        entry = Entry(data.text(255), data.number(64), data.take(32), data.rest())
        if len(entry.extra) > 128:
            raise Refused("BadField")
        return entry

    def write(self):
        return counted(self.name.encode()) + number(self.size) + self.content + self.extra


@dataclass(frozen=True)
class Signed:
    public_key: bytes
    signature: bytes
    seq: int
    salt: bytes
    value: bytes
    extra: bytes = b""

    @staticmethod
    def read(data):
        return Signed(
            data.take(32), data.take(64), data.number(64), data.bytes(), data.bytes(), data.rest()
        )

    def write(self):
        head = self.public_key + self.signature + number(self.seq)
        return head + counted(self.salt) + counted(self.value) + self.extra

    def excess(self):
        """The error that a query with this is answered with, if it is over a limit."""
        if len(self.salt) > 64:
            return 207
        return 205 if len(self.value) + len(self.extra) > 896 else None


@dataclass(frozen=True)
class Error:
    code: int
    text: str = ""

    @staticmethod
    def read(data):
        return Error(data.number(16), data.text())

    def write(self):
        return number(self.code) + counted(self.text.encode()[:64])


# Types of fields: how the bytes of one are read and written.


class Number:
    def __init__(self, bits):
        self.bits = bits

    def read(self, data):
        return data.number(self.bits)

    def write(self, value):
        return number(value)


class Fixed:
    def __init__(self, size):
        self.size = size

    def read(self, data):
        return data.take(self.size)

    def write(self, value):
        return bytes(value)


class Bits:
    """One byte of bits, of which only some may be known."""

    def __init__(self, known=0xFF):
        self.known = known

    def read(self, data):
        return data.take(1)[0] & self.known

    def write(self, value):
        return bytes([value])


class Raw:
    def __init__(self, limit):
        self.limit = limit

    def read(self, data):
        raw = data.rest()
        if len(raw) > self.limit:
            raise Refused("BadField")
        return raw

    def write(self, value):
        return value


class Text(Raw):
    def read(self, data):
        return utf8(super().read(data))

    def write(self, value):
        return value.encode()


class One:
    """One structure. Those that grow at their end are read up to what is known; the rest is a later version's."""

    def __init__(self, of, grows=True):
        self.of, self.grows = of, grows

    def read(self, data):
        value = self.of.read(data)
        if self.grows:
            data.rest()
        return value

    def write(self, value):
        return value.write()


class Many:
    """A list. An element at an address of an unknown kind is passed over."""

    def __init__(self, of):
        self.of = of

    def read(self, data):
        found = []
        while not data.done():
            element = Reader(data.bytes())
            try:
                found.append(self.of.read(element))
            except UnknownAddress:
                pass
        return found

    def write(self, value):
        return b"".join(counted(element.write()) for element in value)


UNLIMITED = MAX_DATAGRAM  # over its limit a value is still read in a query, to be answered with an error

FIELDS = {
    1: ("target", "Q", Fixed(20)),
    2: ("capabilities", "QRE", Number(32)),
    3: ("cookie", "QRE", Fixed(8)),
    4: ("observed", "RE", One(Address, grows=False)),
    5: ("want", "Q", Bits(1 | 2)),
    6: ("mask", "Q", Number(32)),
    7: ("token", "QR", Raw(32)),
    8: ("page", "QR", Number(32)),
    9: ("seq", "RE", Number(64)),
    10: ("newer_than", "Q", Number(64)),
    11: ("cas", "Q", Number(64)),
    12: ("age", "Q", Number(32)),
    13: ("lifetime", "Q", Number(32)),
    14: ("port", "Q", Number(16)),
    15: ("transports", "Q", Bits()),
    16: ("words", "Q", Text(255)),
    17: ("nonce", "Q", Fixed(8)),
    18: ("address", "Q", One(Address, grows=False)),
    19: ("origin", "Q", One(Node)),
    20: ("payload", "Q", Raw(1024)),
    21: ("value", "QR", Raw(UNLIMITED)),
    22: ("signed", "QR", One(Signed)),
    23: ("entry", "Q", One(Entry)),
    24: ("error", "E", One(Error)),
    25: ("nodes", "R", Many(Node)),
    26: ("providers", "R", Many(Provider)),
    27: ("hits", "R", Many(Entry)),
}
LAST_KNOWN = max(FIELDS)
TAGS = {name: tag for tag, (name, _, _) in FIELDS.items()}

# What a field says by not being there; only of those whose absence says something.
ABSENT = {
    "capabilities": 0,
    "want": 0,
    "mask": 0,
    "page": 0,
    "age": 0,
    "transports": 0,
    "words": "",
    "nodes": [],
    "providers": [],
    "hits": [],
}

ALWAYS = {"target", "capabilities", "cookie", "want", "mask"}
# What a method needs (of a set in brackets, one), and what it may have.
NEEDS = {
    "ping": [],
    "find_node": [("target",)],
    "get_providers": [("target",)],
    "announce": [("target",), ("token",)],
    "get": [("target",)],
    "put": [("token",), ("value", "signed")],
    "search": [("target",)],
    "publish": [("target",), ("token",), ("entry",)],
    "signal": [("target",), ("payload",)],
    "dial_back": [("nonce",)],
    "probe": [("address",), ("nonce",)],
}
MAY = {
    "ping": ["nonce"],
    "get_providers": ["page"],
    "announce": ["port", "transports"],
    "get": ["newer_than"],
    "put": ["cas", "age", "lifetime"],
    "search": ["words", "page"],
    "signal": ["origin"],
}


def uses_of(method):
    return ALWAYS | {name for group in NEEDS[method] for name in group} | set(MAY.get(method, ()))


@dataclass
class Message:
    kind: int
    method: int
    transaction: bytes
    sender: bytes
    network: bytes
    flags: int = 0
    fields: dict = field(default_factory=dict)
    # A query that is to be treated as one with an unknown method.
    unknown: bool = False

    def __getitem__(self, name):
        return self.fields.get(name, ABSENT.get(name))

    def used(self):
        """The fields that mean something in this message: of a query those that its method uses."""
        if self.kind != QUERY:
            return self.fields
        uses = ALWAYS if self.unknown else uses_of(METHODS[self.method])
        return {name: value for name, value in self.fields.items() if name in uses}

    def encode(self, extra=b""):
        """The datagram; `extra` is put behind its fields."""
        out = MAGIC + bytes([DRAFT]) + self.network + bytes([self.kind, self.flags])
        out += self.method.to_bytes(2, "big") + self.transaction + self.sender
        for tag in sorted(TAGS[name] for name in self.fields):
            name, _, kind = FIELDS[tag]
            value = self.fields[name]
            if name not in ABSENT or value != ABSENT[name]:
                out += number(2 * tag) + counted(kind.write(value))
        return out + extra


def unknown_field(tag, value, critical=False):
    return number(2 * tag + critical) + counted(value)


def decode(data, network):
    if not data.startswith(MAGIC):
        raise Refused("NotOurs")
    reader = Reader(data)
    reader.take(3)
    if reader.take(1)[0] != DRAFT:
        raise Refused("OtherVersion")
    if reader.take(8) != network:
        raise Refused("OtherNetwork")
    if len(data) > MAX_DATAGRAM:
        raise Refused("TooLong")
    kind, flags = reader.take(2)
    if kind > ERROR:
        raise Refused("BadField")
    method = int.from_bytes(reader.take(2), "big")
    message = Message(kind, method, reader.take(8), reader.take(20), network, flags)
    critical = read_fields(message, reader)
    check(message, critical)
    return message


def read_fields(message, reader):
    """Reads all fields into the message; gives the names of the critical ones, None for one without a name."""
    seen, critical = set(), set()
    letter = "QRE"[message.kind]
    while not reader.done():
        key = reader.number(16)
        content = Reader(reader.bytes())
        tag = key >> 1
        name, kinds, type_ = FIELDS.get(tag, (None, "", None))
        if tag <= LAST_KNOWN:
            if tag in seen:
                raise Refused("Duplicate")
            seen.add(tag)
        meant = letter in kinds
        if key & 1:
            critical.add(name if meant else None)
        if not meant:
            continue
        try:
            message.fields[name] = type_.read(content)
        except UnknownAddress:
            if name == "observed":
                continue
            raise Refused("BadField") from None
        if not content.done():
            raise Refused("Trailing")
    return critical


def check(message, critical):
    fields = message.fields
    if "value" in fields and "signed" in fields:
        raise Refused("Duplicate")
    if message.kind == QUERY:
        method = METHODS.get(message.method)
        if method is None:
            message.unknown = True
            return
        if critical - uses_of(method):
            message.unknown = True
            return
        for group in NEEDS[method]:
            if not any(name in fields for name in group):
                raise Refused("Missing")
        return
    if None in critical:
        raise Refused("Critical")
    if message.kind == ERROR and "error" not in fields:
        raise Refused("Missing")
    if len(fields.get("value", b"")) > 896 or ("signed" in fields and fields["signed"].excess()):
        raise Refused("BadField")
