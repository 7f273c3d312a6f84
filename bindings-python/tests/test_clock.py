"""The time of a node whose machine sleeps."""

import asyncio

import kadlet
import pytest
from kadlet import _clock, _sockets, wire
from kadlet._clock import Alarm, Clock
from kadlet._sockets import Link, SocketDriver

from .loops import LOOPBACK, run

HOUR = 3600.0


class Machine:
    """One that sleeps when it is told to, and has slept before."""

    def __init__(self) -> None:
        self.slept = 7.0003

    def __call__(self) -> float:
        return self.slept


def test_a_night_in_which_the_machine_sleeps_counts() -> None:
    loop, machine = asyncio.new_event_loop(), Machine()
    try:
        clock = Clock(loop, machine)
        before, awake, start = clock.now(), loop.time(), clock.moment(0.0)
        assert start <= awake < start + 1.0, "what it slept before is over"
        # Read at two moments, the clocks differ by a little.
        machine.slept += 0.001
        assert clock.moment(0.0) == start
        machine.slept += 12 * HOUR
        assert clock.now() >= before + 12 * HOUR
        # What was due in the night is due at once, and what is due in an hour is so by both clocks.
        assert clock.moment(before + HOUR) <= loop.time()
        assert clock.moment(clock.now() + HOUR) >= awake + HOUR - 1e-6
    finally:
        loop.close()


def test_the_real_clocks_agree_while_nothing_sleeps() -> None:
    loop = asyncio.new_event_loop()
    try:
        clock, start = Clock(loop, _clock.slept), loop.time()
        assert clock.moment(0.0) <= start
        assert clock.now() <= loop.time() - clock.moment(0.0)
    finally:
        loop.close()


def test_an_alarm_rings_at_its_time_soon_after_waking_or_never() -> None:
    async def test() -> None:
        loop, machine = asyncio.get_running_loop(), Machine()
        clock, rung = Clock(loop, machine), asyncio.Event()
        Alarm(clock, clock.now() + 0.01, rung.set)
        await rung.wait()
        rung.clear()
        missed = asyncio.Event()
        cancelled = Alarm(clock, clock.now() + HOUR, missed.set)
        Alarm(clock, clock.now() + 2 * HOUR, rung.set)
        # It wakes meanwhile, and lies down again.
        wakings = asyncio.Event()
        Alarm(clock, clock.now() + 3 * _clock.LONGEST_WAIT, wakings.set)
        await wakings.wait()
        assert not rung.is_set()
        cancelled.cancel()
        machine.slept += 2 * HOUR
        await rung.wait()
        assert not missed.is_set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_clock, "LONGEST_WAIT", 0.02)
        run(test())


def test_what_was_due_in_the_night_is_renewed_in_the_morning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        machine, announced = Machine(), asyncio.Event()
        async with kadlet.open_node(LOOPBACK) as holder:
            monkeypatch.setattr(_sockets, "slept", machine)
            monkeypatch.setattr(_clock, "LONGEST_WAIT", 0.02)
            async with kadlet.open_node(LOOPBACK, [holder.addr]) as sleeper:
                await sleeper.announce(bytes(20), 8080, renew=True)
                driver = holder._driver
                assert isinstance(driver, SocketDriver)
                received = driver.received

                def heard(link: Link, data: bytes, address: kadlet.Address) -> None:
                    match wire.decode(data, "kadlet"):
                        case wire.Message(body=wire.Query(method=wire.Announce())):
                            announced.set()
                    received(link, data, address)

                driver.received = heard  # type: ignore[method-assign]
                # Renewed every six hours; holders keep it for thirteen.
                machine.slept += 12 * HOUR
                await announced.wait()
                assert sleeper._driver.now() >= 12 * HOUR

    run(test())
