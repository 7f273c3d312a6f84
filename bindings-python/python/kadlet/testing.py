"""A network of real nodes in memory, in virtual time: for tests of what is built on Kadlet.

```
async with kadlet.testing.network(50, seed=1, loss=0.05) as nodes:
    stored = await nodes[0].put(b"hello")
    await nodes.sleep(3600.0)
    assert await nodes[49].get(stored.key) == b"hello"
```

Nothing is random but what the seed says, and nothing takes time but computing: the same calls in
the same order give the same run, to the byte. Time stands still while nobody waits for a node, and
jumps to what comes next while somebody does; `timeout=` of the operations is in that time, unlike
`asyncio.timeout`.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Self, TypeVar, overload

from ._addresses import text_of
from ._driver import Driver, Timer
from ._http import Connected, Streams
from ._native import Node
from ._types import Address, Config, Path
from .errors import BootstrapError
from .host import RunningNode

T = TypeVar("T")

DELAY = (0.01, 0.05)
"""A datagram is on its way for so many seconds, at least and at most."""

PORT, HTTP_PORT = 7611, 7612
"""Of every node: datagrams, and the files it shares."""

BATCH = 1000
"""What happens at most before the loop's other tasks get a turn."""

ATTEMPTS = 20
"""A node that loss keeps from joining tries again so often."""


class Network(Sequence[RunningNode]):
    """The nodes that were there from the beginning, in order; closed ones among them."""

    def __init__(self, n: int, seed: int, loss: float, config: Config) -> None:
        self._n = n
        self._random = Random(seed)
        self._loss = loss
        self._config = config
        self._now = 0.0
        self._nodes: list[RunningNode] = []
        self._drivers: dict[Address, _Driver] = {}
        self._queue: list[tuple[float, int, _Event]] = []
        self._busy = 0
        self._order = 0
        self._waiting = 0
        self._woken = False
        self._scheduled = False

    @property
    def now(self) -> float:
        """Virtual seconds since the network was made."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Lets so much virtual time pass."""
        if not seconds >= 0.0:
            raise ValueError(f"a time is a number of seconds from 0 on, this is {seconds}")
        waiter = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)
                self.woken()

        self.at(self._now + seconds, wake)
        self.wait()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self.woken()
            raise

    async def join(self) -> RunningNode:
        """One more node, which joins by one of those that are open; it is not in the sequence."""
        address = self._address(len(self._drivers))
        seeds = self._random.randbytes(20), self._random.randbytes(32)
        node = Node(self._config, *seeds, self._now)
        driver = self._drivers[address] = _Driver(self, node, address)
        running = RunningNode(driver)
        driver.pump()
        known = [d.addrs[0] for d in self._drivers.values() if d is not driver and not d.closed]
        for attempt in range(ATTEMPTS if known else 0):
            try:
                await running.bootstrap([self._random.choice(known)])
                break
            except BootstrapError:
                if attempt == ATTEMPTS - 1:
                    raise
        return running

    async def __aenter__(self) -> Self:
        try:
            for _ in range(self._n):
                self._nodes.append(await self.join())
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every node."""
        for driver in self._drivers.values():
            await driver.close()
        self._queue.clear()

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> RunningNode: ...
    @overload
    def __getitem__(self, index: slice) -> list[RunningNode]: ...
    def __getitem__(self, index: int | slice) -> RunningNode | list[RunningNode]:
        return self._nodes[index]

    @staticmethod
    def _address(n: int) -> Address:
        # Each in a /24 of its own, for the core limits what comes from one.
        return (f"10.{n >> 8}.{n & 255}.1", PORT)

    def at(self, time: float, do: Callable[[], None]) -> Timer:
        """What happens at that time, after what was to happen then before."""
        self._order += 1
        event = _Event(do)
        heapq.heappush(self._queue, (time, self._order, event))
        return event

    def connect(self, to: Address) -> Streams:
        """A connection in memory, whose bytes take no time."""
        host = (to[0], PORT)
        driver = self._drivers.get(host)
        if driver is None or driver.closed or driver.connected is None or to[1] != HTTP_PORT:
            raise ConnectionRefusedError(f"nobody listens at {text_of(to)}")
        ours, theirs = asyncio.StreamReader(), asyncio.StreamReader()
        driver.connected(theirs, _Pipe(ours))
        return ours, _Pipe(theirs)

    def busy(self, more: int) -> None:
        """Time stands still while anything takes none."""
        self._busy += more
        self._schedule()

    def carry(self, sender: Address, path: Path, payload: bytes) -> None:
        """Delivers a datagram later, or never."""
        delay, lost = self._random.uniform(*DELAY), self._random.random() < self._loss
        receiver = self._drivers.get(path.remote)
        if receiver is not None and not lost:
            self.at(self._now + delay, lambda: receiver.receive(sender, payload))

    def wait(self) -> None:
        """Somebody waits: time goes on."""
        self._waiting += 1
        self._schedule()

    def woken(self) -> None:
        """Somebody has what was waited for."""
        self._waiting -= 1
        self._woken = True

    def _schedule(self) -> None:
        if self._waiting and self._queue and not self._busy and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = self._woken = False
        for _ in range(BATCH):
            # Whoever was woken acts before time goes on.
            if self._woken or self._busy or not self._waiting or not self._queue:
                break
            time, _, event = heapq.heappop(self._queue)
            self._now = max(self._now, time)
            event.happen()
        self._schedule()


class _Event:
    """Something that happens at its time."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do

    def happen(self) -> None:
        if self._do is not None:
            self._do()

    def cancel(self) -> None:
        """It does not."""
        self._do = None


class _Pipe:
    """Writes where the other end reads."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._closed = False

    @property
    def transport(self) -> _Pipe:
        return self

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes, /) -> None:
        if self._closed:
            raise ConnectionResetError("the connection is closed")
        self._reader.feed_data(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reader.feed_eof()

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closed


class _Driver(Driver):
    """A node whose socket and clock are the network."""

    def __init__(self, network: Network, node: Node, address: Address) -> None:
        super().__init__(node, (text_of(address),))
        self._network = network
        self._address = address
        self.connected: Connected | None = None
        """What answers connections, if anything does."""
        self._deadline: float | None = None

    def now(self) -> float:
        return self._network.now

    def path_to(self, address: Address) -> Path | None:
        return Path(address)

    def set_timer(self, deadline: float | None) -> None:
        if deadline != self._deadline and deadline is not None:
            self._network.at(deadline, lambda: self._fire(deadline))
        self._deadline = deadline

    def _fire(self, deadline: float) -> None:
        if self._deadline == deadline:
            self._deadline = None
            self.due()

    def send(self, path: Path, payload: bytes) -> None:
        self._network.carry(self._address, path, payload)

    def receive(self, sender: Address, payload: bytes) -> None:
        """A datagram arrives."""
        if not self.closed:
            self.node.handle_datagram(self.now(), Path(sender), payload)
            self.pump()

    async def connect(self, to: Address) -> Streams:
        return self._network.connect(to)

    async def serve(self, connected: Connected) -> int:
        self.connected = connected
        return HTTP_PORT

    def call_at(self, time: float, do: Callable[[], None]) -> Timer:
        return self._network.at(time, do)

    async def in_thread(self, do: Callable[[], T], stop: threading.Event | None = None) -> T:
        # Which thread is done first would not be the same in every run.
        return do()

    def busy(self) -> None:
        self._network.busy(1)

    def idle(self) -> None:
        self._network.busy(-1)

    def close_sockets(self) -> None:
        pass

    def wait(self) -> None:
        self._network.wait()

    def woken(self) -> None:
        self._network.woken()


def network(n: int, *, seed: int = 0, loss: float = 0.0, config: Config | None = None) -> Network:
    """A network of `n` nodes that have joined, for `async with`.

    `loss` of the datagrams, from 0 to 1, never arrive. Closing a node is its death: it says no
    goodbye. At most 65,536 nodes.
    """
    if not isinstance(n, int):
        raise TypeError(f"the number of nodes is an int, this is {type(n).__name__}")
    if not 1 <= n <= 1 << 16:
        raise ValueError(f"a network has 1 to 65536 nodes, this has {n}")
    if not 0.0 <= loss <= 1.0:
        raise ValueError(f"loss is a number from 0 to 1, this is {loss}")
    return Network(n, seed, loss, config or Config())
