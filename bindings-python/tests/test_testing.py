"""The network for other people's tests: the same seed is the same run."""

import asyncio

import kadlet
import pytest


async def a_day(seed: int) -> list[object]:
    """What can be seen of a network where values are put and nodes die."""
    async with kadlet.testing.network(20, seed=seed, loss=0.05) as nodes:
        key = (await nodes[3].put(b"hello", renew=True)).key
        for dead in nodes[10:15]:
            await dead.aclose()
        await nodes.sleep(86_400.0)
        late = await nodes.join()
        assert await late.get(key) == b"hello"
        asked = [step.operation async for step in late.lookup(bytes(20))]
        return [nodes.now, len(asked), *(node.stats() for node in nodes if not node.closed)]


def test_the_same_seed_is_the_same_day() -> None:
    first = asyncio.run(a_day(1))
    assert asyncio.run(a_day(1)) == first
    assert asyncio.run(a_day(2)) != first


def test_time_passes_only_while_somebody_waits() -> None:
    async def test() -> None:
        async with kadlet.testing.network(3) as nodes:
            before = nodes.now
            for _ in range(10):
                await asyncio.sleep(0)
            assert nodes.now == before
            await nodes[0].get(bytes(20))
            assert before < nodes.now < before + 1.0, "nobody is woken late"
            sleeper = asyncio.create_task(nodes.sleep(1000.0))
            before = nodes.now
            for _ in range(3):
                await nodes[0].get(bytes(20))
            assert nodes.now < before + 1.0, "though another one waits for longer"
            sleeper.cancel()
            before = nodes.now
            await nodes.sleep(10.0)
            assert nodes.now == pytest.approx(before + 10.0)

    asyncio.run(test())


def test_a_timeout_is_in_virtual_time() -> None:
    async def test() -> None:
        async with kadlet.testing.network(2) as nodes:
            await nodes[1].aclose()
            before = nodes.now
            with pytest.raises(kadlet.QueryTimeout):
                await nodes[0].get(bytes(20), timeout=0.25)
            assert nodes.now == pytest.approx(before + 0.25)

    asyncio.run(test())


def test_where_nothing_arrives_nobody_joins() -> None:
    async def test() -> None:
        with pytest.raises(kadlet.BootstrapError):
            async with kadlet.testing.network(2, loss=1.0):
                pytest.fail("there is no network")

    asyncio.run(test())
    with pytest.raises(ValueError, match="from 0 to 1"):
        kadlet.testing.network(2, loss=2.0)
