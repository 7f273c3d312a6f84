"""Real nodes, talked to: every rule of docs/protocol.md that one can see from outside.

Nodes are children of this process on loopback and die with it. Nothing waits for time: where silence is the right answer,
the next question's answer is waited for, which must be the next thing that comes. A deadline ends it all.
"""

import json
import os
import subprocess
import threading
import time

import ed25519
import records
import wire
from golden import said
from talk import Peer, address

DEADLINE = 60.0  # seconds for everything; it takes less than one
NETWORK = "second"
FILE_ID = bytes(range(32))


class Child:
    """A node of the program."""

    def __init__(self, program, *options):
        command = [program, "node", "--json", "--listen", "127.0.0.1:0", "--network", NETWORK, "--no-lan", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.events = []

    def listening(self):
        """Its address and id, once it says them."""
        for line in self.process.stdout:
            event = json.loads(line)
            if event.get("event") == "listening":
                host, _, port = event["addr"].rpartition(":")
                return (host, int(port)), bytes.fromhex(event["id"])
        raise AssertionError(f"the node ended with {self.process.wait()}")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def expect(message, kind, **fields):
    """The message is of this kind and says this."""
    assert message.kind == kind, said(message)
    for name, value in fields.items():
        assert message[name] == value, (name, said(message))
    return message


def expect_error(message, code):
    expect(message, wire.ERROR)
    assert message["error"].code == code, said(message)
    return message


def unknown(message):
    return message.kind == wire.RESPONSE and bool(message.flags & wire.UNSUPPORTED)


def talk(peer, remote):
    """What any node answers to any stranger; gives its id."""
    pong = expect(peer.ask(remote, "ping"), wire.RESPONSE, observed=address(peer.name), nodes=[])
    assert not pong.flags & wire.UNSUPPORTED, said(pong)
    found = expect(peer.ask(remote, "find_node", target=pong.sender), wire.RESPONSE)
    assert found.sender == pong.sender, said(found)
    return pong.sender, found


def questions_of_later_versions(peer, remote, target):
    for method in (12, 159, 500):
        assert unknown(peer.ask(remote, method, target=target)), method
        expect_error(peer.ask(remote, method), 204)
    later = wire.unknown_field(200, b"whatever")
    assert not unknown(peer.ask(remote, "find_node", later, target=target))
    expect(peer.ask(remote, "ping", later), wire.RESPONSE)
    critical = wire.unknown_field(200, b"", critical=True)
    assert unknown(peer.ask(remote, "find_node", critical, target=target))
    expect_error(peer.ask(remote, "ping", critical), 204)
    # Fields that the method has no use for: a nonce, and an address that only answers have.
    for tag, value in ((17, bytes(8)), (4, address(peer.name).write())):
        assert not unknown(peer.ask(remote, "find_node", wire.unknown_field(tag, value), target=target)), tag
        critical = wire.unknown_field(tag, value, critical=True)
        assert unknown(peer.ask(remote, "find_node", critical, target=target)), tag


def what_is_no_message(peer, remote, target):
    """Dropped in silence: the answer to the next question is the next thing that comes."""
    whole = peer.query("find_node", target=target).encode()
    ping = peer.query("ping").encode()
    silent = {
        "nothing": b"",
        "half a header": whole[:30],
        "cut in a field": whole[:-1],
        "too long": ping + wire.unknown_field(200, bytes(wire.MAX_DATAGRAM)),
        "no target": peer.query("find_node").encode(),
        "an unknown kind": whole[:12] + b"\3" + whole[13:],
        "a field twice": whole + wire.unknown_field(1, target),
        "an unasked answer": whole[:12] + b"\1" + whole[13:],
        "KRPC": b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
        "its own id": whole[:24] + target + whole[44:],
        "half a header of another network": peer.query("ping").encode()[:4] + bytes(26),
    }
    for name, datagram in silent.items():
        peer.socket.sendto(datagram, remote)
        expect(peer.ask(remote, "ping"), wire.RESPONSE)
        assert not peer.answers, f"{name}: {peer.answers}"
    # The longest message there is.
    room = wire.MAX_DATAGRAM - len(ping) - 4
    expect(peer.ask(remote, "ping", wire.unknown_field(200, bytes(room))), wire.RESPONSE)
    # Another network and a later draft or version: told so, in the answerer's own words.
    for name, start in (("network", ping[:4] + bytes(8)), ("version", ping[:3] + b"\x63" + ping[4:12])):
        foreign = start + ping[12:]
        expect_error(peer.send(remote, foreign, ping[16:24]), 203)
        peer.socket.sendto(foreign[:12] + b"\1" + foreign[13:], remote)
        expect(peer.ask(remote, "ping"), wire.RESPONSE)
        assert not peer.answers, name
    # Every copy of a question is answered.
    for _ in range(2):
        expect(peer.send(remote, ping, ping[16:24]), wire.RESPONSE)


def providers(peer, remote):
    key = records.provider_key(FILE_ID)
    expect_error(peer.ask(remote, "announce", target=key, token=b"made up"), 401)
    token = expect(peer.ask(remote, "get_providers", target=key), wire.RESPONSE, providers=[])["token"]
    expect_error(peer.ask(remote, "announce", target=key, token=token, port=0), 203)
    expect_error(peer.ask(remote, "announce", target=bytes(20), token=token), 401)
    for _ in range(2):
        expect(peer.ask(remote, "announce", target=key, token=token, port=80, transports=1), wire.RESPONSE)
    expect(peer.ask(remote, "announce", target=key, token=token), wire.RESPONSE)
    held = peer.ask(remote, "get_providers", target=key)
    own = address(peer.name)
    expected = {wire.Provider(wire.Address(own.ip, 80), 1), wire.Provider(own, 0)}
    assert set(held["providers"]) == expected, said(held)
    none = expect(peer.ask(remote, "get_providers", target=key, page=wire.NOTHING_WANTED), wire.RESPONSE, providers=[])
    assert none["token"], said(none)


def values(peer, remote):
    value = b"a value " * 112
    key = records.value_key(value)
    token = expect(peer.ask(remote, "get", target=key), wire.RESPONSE, value=None)["token"]
    put = lambda **fields: peer.ask(remote, "put", **{"token": token, "target": key, **fields})
    expect_error(put(value=value + b"x"), 205)
    expect_error(put(value=b"another"), 203)
    expect_error(peer.ask(remote, "put", token=token, value=value), 203)
    expect_error(put(value=value, age=48 * 3600), 203)
    expect(put(value=value), wire.RESPONSE)
    expect(peer.ask(remote, "get", target=key), wire.RESPONSE, value=value)
    expect(peer.ask(remote, "get", target=key, newer_than=2**64 - 1), wire.RESPONSE, value=None)


def signed_values(peer, remote):
    secret, salt = os.urandom(32), b"feed"

    def sign(seq, value, salt=salt, extra=b""):
        public, signature = ed25519.sign(secret, records.signed_message(seq, salt, value, extra))
        return wire.Signed(public, signature, seq, salt, value, extra)

    first = sign(5, b"first", extra=b"later")
    key = records.signed_key(first.public_key, salt)
    token = expect(peer.ask(remote, "get", target=key), wire.RESPONSE, signed=None)["token"]
    put = lambda signed, **fields: peer.ask(remote, "put", target=key, token=token, signed=signed, **fields)
    expect(put(first), wire.RESPONSE)
    # A repeated question finds its own work done, and is content.
    expect(put(first), wire.RESPONSE)
    expect(peer.ask(remote, "get", target=key), wire.RESPONSE, signed=first)
    expect(peer.ask(remote, "get", target=key, newer_than=5), wire.RESPONSE, signed=None, seq=5)
    expect(expect_error(put(sign(4, b"older")), 302), wire.ERROR, seq=5)
    expect_error(put(sign(5, b"other")), 302)
    expect(expect_error(put(sign(6, b"swapped"), cas=4), 301), wire.ERROR, seq=5)
    forged = sign(6, b"true")
    expect_error(put(wire.Signed(forged.public_key, forged.signature, 6, salt, b"false")), 206)
    expect_error(put(sign(6, b"copy"), lifetime=600), 203)
    expect_error(put(sign(6, b"x" * 892, extra=b"later")), 205)
    expect_error(put(sign(6, b"elsewhere", salt=b"")), 203)
    expect_error(put(wire.Signed(bytes(32), bytes(64), 6, bytes(65), bytes(897))), 207)
    expect(put(sign(6, b"swapped"), cas=5), wire.RESPONSE)
    got = expect(peer.ask(remote, "get", target=key), wire.RESPONSE)
    assert records.verify(got["signed"]) and got["signed"].value == b"swapped", said(got)


def search_entries(peer, remote):
    entry = wire.Entry("The Blue Whale.ogg", 1234, FILE_ID, b"later")
    found = records.words(entry.name)
    key = records.keyword_key(records.longest(found))
    token = expect(peer.ask(remote, "search", target=key), wire.RESPONSE, hits=[])["token"]
    publish = lambda entry: peer.ask(remote, "publish", target=key, token=token, entry=entry)
    for name in ("", "a\tWhale", "a fish"):
        expect_error(publish(wire.Entry(name, 1, FILE_ID)), 203)
    expect(publish(entry), wire.RESPONSE)
    expect(peer.ask(remote, "search", target=key, words="blue the"), wire.RESPONSE, hits=[entry])
    expect(peer.ask(remote, "search", target=key, words="blue fish"), wire.RESPONSE, hits=[])


def both_ways(program, children, network, until, first):
    """A node that knows us alone asks us; finds the first node by our answer; and names us to others."""
    server = Peer(network, client=False, strict=True, until=until)
    stranger = Peer(network, until=until)
    server.others = stranger.others = [server, stranger]
    remote, id_ = first
    server.nodes[id_] = wire.Node(id_, address(remote))
    # Who asks and is no client is pinged, and then named.
    expect(server.ask(remote, "find_node", target=server.id), wire.RESPONSE)
    server.wait(lambda: any(source == remote for _, source in server.asked))
    ours = wire.Node(server.id, address(server.name))
    named = expect(stranger.ask(remote, "find_node", target=server.id), wire.RESPONSE)
    assert ours in named["nodes"], said(named)

    host, port = server.name
    children.append(Child(program, "--bootstrap", f"{host}:{port}"))
    second, second_id = children[-1].listening()
    from_second = lambda: [query for query, source in server.asked if source == second]
    server.wait(lambda: any(query.method == wire.NUMBERS["find_node"] for query in from_second()))
    # Its address was not proven at first: it comes again with our cookie.
    server.wait(lambda: any(query["cookie"] == server.cookie(second) for query in from_second()))
    expect(server.ask(second, "ping"), wire.RESPONSE, observed=address(server.name))
    named = expect(stranger.ask(second, "find_node", target=server.id), wire.RESPONSE)
    assert ours in named["nodes"], said(named)

    # By us alone can it know the first node; a question is answered at once, so it is asked until it does.
    def knows_first():
        nodes = expect(stranger.ask(second, "find_node", target=id_), wire.RESPONSE)["nodes"]
        return any(node.id == id_ and node.address == address(remote) for node in nodes)

    stranger.wait(knows_first)
    assert talk(server, second)[0] == second_id


def run(program):
    """Everything, against nodes of this program; gives what it took in seconds."""
    started, network = time.monotonic(), records.network(NETWORK)
    until, children = started + DEADLINE, []
    # A node that says nothing at all is not waited for either.
    watchdog = threading.Timer(DEADLINE, lambda: [child.process.kill() for child in children])
    watchdog.daemon = True
    watchdog.start()
    try:
        children.append(Child(program))
        remote, id_ = children[0].listening()
        peer = Peer(network, until=until)
        assert talk(peer, remote)[0] == id_
        questions_of_later_versions(peer, remote, id_)
        what_is_no_message(peer, remote, id_)
        providers(peer, remote)
        values(peer, remote)
        signed_values(peer, remote)
        search_entries(peer, remote)
        both_ways(program, children, network, until, (remote, id_))
        for child in children:
            assert child.process.poll() is None, "a node ended"
    finally:
        watchdog.cancel()
        for child in children:
            child.end()
    return time.monotonic() - started
