"""Opening a node: sockets, state and joining."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import unicodedata
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path as File
from types import TracebackType

from ._addresses import split
from ._driver import Driver
from ._mainline import MAINLINE
from ._native import Node, mainline_config
from ._sockets import SocketDriver, open_links
from ._state import StateFile
from ._types import Config
from .errors import BootstrapError, of_outcome
from .host import RunningNode, checked, finish, timeout_of


class Opening:
    """What `open_node` gives: for `async with`, or to be awaited and closed by hand."""

    def __init__(self, open_it: Callable[[], Generator[None, None, RunningNode]]) -> None:
        self._open_it = open_it
        self._node: RunningNode | None = None

    def __await__(self) -> Generator[None, None, RunningNode]:
        return self._open_it()

    async def __aenter__(self) -> RunningNode:
        self._node = await self
        return self._node

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._node is not None:
            await self._node.aclose()


def network_name(name: str) -> str:
    """A name that the program takes too: another one would make a network without it."""
    checked("network", name, str, "a str or None")
    if not 1 <= len(name) <= 64:
        raise ValueError(f"a network's name has 1 to 64 characters, this has {len(name)}")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ValueError(f"a network's name has no control characters, this is {name!a}")
    return name


def open_node(
    bind: str = "[::]:0",
    bootstrap: Iterable[str] = (),
    *,
    network: str | None = None,
    state: str | os.PathLike[str] | None = None,
    config: Config | None = None,
    timeout: float | None = None,
) -> Opening:
    """A node on this address, joined to the network that the bootstrap addresses belong to.

    ```
    async with kadlet.open_node(bootstrap=["node.example:7611"]) as node:
        print(await node.get("0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33"))
    ```

    `bind` is IP:PORT, port 0 any free one; `[::]` is both families. Without bootstrap addresses the
    node starts from the contacts in its state, or is the first of a network. `network` is its name,
    of 1 to 64 characters, before that in `config`; "mainline" is BitTorrent's DHT, which is entered by
    `bootstrap=kadlet.ROUTERS`. `state` is a file, written when the node is closed and a minute after
    its contacts changed, each time as a whole; one node at a time uses it. `timeout` is for
    joining, in seconds.

    Raises, when entered or awaited, `BootstrapError` if none of the addresses is a node of the
    network and no contact from the state answers, `InvalidState`, and the system's OSError.
    Wrong arguments raise TypeError and ValueError at once.
    """
    if isinstance(bootstrap, str):
        raise TypeError("bootstrap is a list of HOST:PORT, this is str")
    host, port = split(bind, "bind", any_port=True)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"bind: {host!r} is no IP address; a name may move") from None
    known = tuple(bootstrap)
    for address in known:
        split(address, "a bootstrap address")
    if config is not None:
        checked("config", config, Config, "a Config")
    if state is not None:
        checked("state", state, (str, os.PathLike), "a path")
    settings = config or (mainline_config() if network == MAINLINE else Config())
    if network is not None:
        settings = replace(settings, network=None if network == MAINLINE else network)
    if settings.network is not None:
        network_name(settings.network)
    file = None if state is None else File(state)
    timeout_of(timeout)

    async def open_it() -> RunningNode:
        loop = asyncio.get_running_loop()
        kept = None if file is None else await loop.run_in_executor(None, StateFile, file)
        try:
            return await start(kept)
        except BaseException:
            if kept is not None:
                kept.close()
            raise

    async def start(kept: StateFile | None) -> RunningNode:
        seed = os.urandom(32)
        loop = asyncio.get_running_loop()
        saved: Node | None = None
        if kept is not None:
            saved = await loop.run_in_executor(None, kept.read, settings, seed)
        node = saved or Node(settings, os.urandom(20), seed, 0.0)
        if kept is not None and saved is None:
            # That it cannot be written is better said now than when there is something to lose.
            await loop.run_in_executor(None, kept.write, node.export_state(0.0))
        try:
            links = open_links(str(ip), port)
        except OSError as error:
            raise OSError(error.errno, f"no socket on {bind}: {error.strerror}") from None
        driver = SocketDriver(node, links, kept)
        try:
            await driver.start()
            running = RunningNode(driver)
            await _join(running, driver, known, saved is not None, timeout)
        except BaseException:
            await driver.close()
            raise
        return running

    return Opening(lambda: open_it().__await__())


async def _join(
    running: RunningNode,
    driver: Driver,
    known: tuple[str, ...],
    restored: bool,
    timeout: float | None,
) -> None:
    if known:
        try:
            await running.bootstrap(known, timeout=timeout)
            return
        except BootstrapError:
            # Contacts from earlier may do where the addresses do not.
            if not restored or not any(driver.node.health().contacts.values()):
                raise
            done, _ = await finish(driver.begin(lambda now: driver.node.bootstrap(now, [])))
            if of_outcome(done.outcome) is None:
                return
            raise
    elif restored:
        # Whether anybody is there is seen later: a network may start again with us.
        driver.begin(lambda now: driver.node.bootstrap(now, []))
