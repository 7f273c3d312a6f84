"""What tests of running nodes share: loops, a bound on every wait, a network on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import kadlet
from kadlet import RunningNode

LOOPBACK = "127.0.0.1:0"


def run(
    test: Awaitable[None],
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop,
) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


@asynccontextmanager
async def network(n: int, bind: str = LOOPBACK) -> AsyncIterator[list[RunningNode]]:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(kadlet.open_node(bind))]
        for _ in range(1, n):
            opening = kadlet.open_node(bind, bootstrap=[nodes[0].addr])
            nodes.append(await stack.enter_async_context(opening))
        yield nodes
