"""Two nodes that share nothing but a queue, and what the boundary promises."""

from collections import deque
from typing import Any, cast

import kadlet
import pytest

A, B = ("127.0.0.1", 1), ("127.0.0.1", 2)


class Net:
    """Every datagram arrives after a millisecond."""

    def __init__(self) -> None:
        self.now = 1.0
        self.nodes = {
            addr: kadlet.Node(kadlet.Config(), bytes([addr[1]]) * 20, bytes([addr[1]]) * 32, 1.0)
            for addr in (A, B)
        }

    def run(self, node: kadlet.Node, operation: int) -> list[kadlet.Event]:
        events: list[kadlet.Event] = []
        wire: deque[tuple[tuple[str, int], kadlet.Transmit]] = deque()
        while True:
            for addr, sender in self.nodes.items():
                while transmit := sender.poll_transmit():
                    wire.append((addr, transmit))
            while event := node.poll_event():
                events.append(event)
                match event:
                    case kadlet.Done(operation=done) if done == operation:
                        return events
            self.now += 0.001
            if wire:
                addr, transmit = wire.popleft()
                receiver = next(n for a, n in self.nodes.items() if a == transmit.path.remote)
                reason = receiver.handle_datagram(self.now, kadlet.Path(addr), transmit.payload)
                assert reason is None
            else:
                deadlines = (n.poll_timeout() for n in self.nodes.values())
                self.now = max(self.now, min(at for at in deadlines if at is not None))
                for other in self.nodes.values():
                    other.handle_timeout(self.now)


def test_what_one_puts_the_other_gets() -> None:
    net = Net()
    a, b = net.nodes[A], net.nodes[B]
    joined = net.run(a, a.bootstrap(net.now, [kadlet.Path(B)]))
    assert isinstance(joined[-1], kadlet.Done) and joined[-1].outcome == "success"
    net.run(a, a.put(net.now, b"hello"))
    found = net.run(b, b.get(net.now, kadlet.key_of(b"hello")))
    items = [event.item for event in found if isinstance(event, kadlet.Value)]
    assert items == [b"hello"]


def test_a_refusal_can_be_matched() -> None:
    net = Net()
    a = net.nodes[A]
    net.run(a, a.bootstrap(net.now, [kadlet.Path(B)]))
    secret = bytes(32)
    net.run(a, a.put(net.now, kadlet.sign(secret, b"feed", 2, b"two")))
    again = net.run(a, a.put(net.now, kadlet.sign(secret, b"feed", 3, b"three"), cas=1))
    match again[-1]:
        case kadlet.Done(outcome=kadlet.Refused(code="cas_mismatch", seq=2)):
            pass
        case other:
            pytest.fail(f"{other}")


def test_what_is_wrong_with_a_datagram_is_a_value() -> None:
    node = Net().nodes[A]
    reason = node.handle_datagram(1.0, kadlet.Path(B), b"nonsense")
    assert reason is not None and reason.startswith("malformed_")
    assert node.stats().rejected == {reason: 1}
    assert node.dropped() == kadlet.Dropped(0, 0, 0, 0, questions=0)


def test_what_is_wrong_with_an_argument_is_an_exception() -> None:
    node = Net().nodes[A]
    for now in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="seconds from 0"):
            node.handle_timeout(now)
    with pytest.raises(ValueError, match="20 bytes"):
        node.find_node(1.0, b"short")
    with pytest.raises(ValueError, match="no IP address"):
        node.bootstrap(1.0, [kadlet.Path(("localhost", 1))])
    with pytest.raises(ValueError, match="0 to 65535 is expected, this is 65536"):
        node.announce(1.0, bytes(20), 65_536)
    with pytest.raises(ValueError, match="0 to 18446744073709551615"):
        node.cancel(1.0, -1)
    wrong: Any = "key"
    with pytest.raises(TypeError, match="bytes"):
        node.get(1.0, wrong)
    with pytest.raises(TypeError, match="a Path is expected, this is str"):
        node.handle_datagram(1.0, wrong, b"")
    with pytest.raises(TypeError, match=r"an address \(host, port\) is expected, this is int"):
        node.bootstrap(1.0, [kadlet.Path(cast(Any, 5))])
    with pytest.raises(TypeError, match="bytes or a SignedValue is expected, this is str"):
        node.put(1.0, wrong)
    with pytest.raises(TypeError, match="a SearchEntry is expected, this is str"):
        node.publish(1.0, wrong)
    with pytest.raises(TypeError, match="a list of families is expected, this is str"):
        node.link_up(1.0, 0, B, wrong, 1500)
    with pytest.raises(TypeError, match="a Contact is expected, this is str"):
        kadlet.RoutingTable(bytes(20), bytes(32)).verified(1.0, wrong)
    with pytest.raises(TypeError, match="a Message is expected, this is str"):
        kadlet.wire.encode(wrong, "test")
    with pytest.raises(ValueError, match="896"):
        node.put(1.0, bytes(897))


def test_times_are_rounded_to_the_nearest_microsecond_and_come_back() -> None:
    node = Net().nodes[A]
    operation = node.bootstrap(70 * 365 * 86_400.0, [kadlet.Path(B)])
    deadline = node.poll_timeout()
    assert deadline is not None
    node.handle_timeout(deadline)
    later = node.poll_timeout()
    assert later is not None and later > deadline
    progress = node.operation(operation)
    assert progress is not None and progress.remaining == pytest.approx(60 - 0.5, abs=1.0)


def test_addresses_of_either_family_pass() -> None:
    node = Net().nodes[A]
    node.link_up(1.0, 3, ("::1", 9, 0, 0), ["ipv4", "ipv6"], 1400)
    path = kadlet.Path(("::1", 10, 0, 0), link=3)
    node.bootstrap(1.0, [path])
    transmit = node.poll_transmit()
    assert transmit is not None and transmit.path == path


def test_what_is_wrong_with_a_setting_is_said_with_its_name() -> None:
    def node(**settings: Any) -> None:
        kadlet.Node(kadlet.Config(**settings), bytes(20), bytes(32), 0.0)

    wrong: Any = "20"
    with pytest.raises(TypeError, match="^table: k: an int is expected, this is str$"):
        node(table=kadlet.TableConfig(k=wrong))
    with pytest.raises(ValueError, match="^table: b: a number from 0 to 4294967295 is expected"):
        node(table=kadlet.TableConfig(b=-1))
    with pytest.raises(ValueError, match="^tokens: lifetime: .* seconds from 0 on, this is -1$"):
        node(tokens=kadlet.TokenConfig(lifetime=-1.0))
    with pytest.raises(ValueError, match="^role: a role is one of auto, client, server, not king"):
        node(role="king")
    with pytest.raises(TypeError, match="^limits: a LimitConfig is expected, this is str"):
        node(limits=wrong)
    with pytest.raises(TypeError, match="^network: a network is a str"):
        node(network=5)
