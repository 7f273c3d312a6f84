"""A peer that asks and answers over a UDP socket: the part of a node that needs no memory.

It answers as docs/protocol.md says a node answers that knows `ping` and `find_node` alone: everything else is an unknown
method. Waiting is for datagrams; time only ends it.
"""

import hashlib
import ipaddress
import os
import select
import socket
import time

import wire

REPEATS = 2
PATIENCE = 2.0  # seconds until a silent question is repeated
ERRORS = {204: "unknown method"}


def address(name):
    """The wire's address of a socket's name."""
    return wire.Address(ipaddress.ip_address(name[0]).packed, name[1])


def host_and_port(text):
    host, _, port = text.rpartition(":")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


def distance(one, other):
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")


class Peer:
    """`others` are peers that go on answering while this one waits; `until` is when waiting ends, by `time.monotonic`."""

    def __init__(self, network, bind=("127.0.0.1", 0), client=True, strict=False, until=None):
        self.network, self.client, self.strict, self.until = network, client, strict, until
        self.id, self.secret = os.urandom(20), os.urandom(16)
        family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(bind)
        self.others = [self]
        self.cookies = {}  # to show, by address
        self.proven = set()
        self.nodes = {}  # to name, by id
        self.asked = []  # the queries that came, and from where
        self.answers = {}  # the answers that came and are not yet looked at, by transaction

    @property
    def name(self):
        return self.socket.getsockname()[:2]

    # Asking.

    def query(self, method, **fields):
        method = wire.NUMBERS.get(method, method)
        flags = wire.CLIENT if self.client else 0
        return wire.Message(wire.QUERY, method, os.urandom(8), self.id, self.network, flags, fields)

    def ask(self, remote, method, extra=b"", **fields):
        """The answer to a question, which is repeated if nobody answers, and if it was answered in short."""
        for _ in range(1 + REPEATS):
            if remote in self.cookies:
                fields["cookie"] = self.cookies[remote]
            query = self.query(method, **fields)
            try:
                answer = self.send(remote, query.encode(extra), query.transaction, PATIENCE)
            except TimeoutError:
                continue
            if "cookie" in answer.fields:
                self.cookies[remote] = answer["cookie"]
            if answer.flags & wire.SHORT and "cookie" not in fields:
                return self.ask(remote, method, extra, **fields)
            return answer
        raise TimeoutError(f"no answer from {remote[0]}:{remote[1]} to {method}")

    def send(self, remote, datagram, transaction, patience=None):
        """Sends these bytes and waits for the answer with this transaction."""
        self.socket.sendto(datagram, remote)
        self.wait(lambda: (transaction, remote) in self.answers, patience)
        return self.answers.pop((transaction, remote))

    def wait(self, happened, patience=None):
        """Reads datagrams until something has happened."""
        ends = [end for end in (self.until, patience and time.monotonic() + patience) if end]
        while not happened():
            left = min(ends) - time.monotonic() if ends else None
            if left is not None and left <= 0:
                raise TimeoutError("waited in vain")
            sockets = {peer.socket: peer for peer in self.others}
            for ready in select.select(list(sockets), [], [], left)[0]:
                sockets[ready].receive()

    def receive(self):
        try:
            datagram, source = self.socket.recvfrom(65536)
        except ConnectionError:
            return  # nobody listens where we sent something
        source = source[:2]
        try:
            message = wire.decode(datagram, self.network)
        except wire.Refused:
            return
        if message.kind == wire.QUERY:
            self.asked.append((message, source))
            if not self.client:
                self.answer(message, source, len(datagram))
        else:
            self.answers[message.transaction, source] = message
            self.proven.add(source)

    # Answering.

    def answer(self, query, source, size):
        if query["cookie"] == self.cookie(source):
            self.proven.add(source)
        proven = source in self.proven or not self.strict
        room = wire.MAX_DATAGRAM if proven else 3 * size
        answer = wire.Message(wire.RESPONSE, query.method, query.transaction, self.id, self.network)
        known = not query.unknown and query.method in (wire.NUMBERS["ping"], wire.NUMBERS["find_node"])
        if not known and query["target"] is None:
            answer.kind = wire.ERROR
            answer.fields["error"] = wire.Error(204, ERRORS[204])
        else:
            answer.flags = 0 if known else wire.UNSUPPORTED
            answer.fields["observed"] = address(source)
            if not proven:
                answer.fields["cookie"] = self.cookie(source)
            if query.method != wire.NUMBERS["ping"] or query.unknown:
                answer.flags |= 0 if proven else wire.SHORT
                nodes = [node for node in self.nodes.values() if node.id != query.sender]
                nodes.sort(key=lambda node: distance(node.id, query["target"]))
                answer.fields["nodes"] = nodes[:20]
        while len(answer.encode()) > room:
            answer.fields["nodes"].pop()
        self.socket.sendto(answer.encode(), source)

    def cookie(self, source):
        """Good for 10 minutes at the least, where nobody runs for so long as this does not matter."""
        return hashlib.blake2b(repr(source).encode(), key=self.secret, digest_size=8).digest()
