"""The core's time: since the node was opened, and on while the machine sleeps.

A loop's time stands still meanwhile (CLOCK_MONOTONIC on Linux), and those who hold our records do
not: a node that believed that no time had passed would renew them hours after they are gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LONGEST_WAIT = 30.0
"""Longest wait of a timer, seconds, so that it is noticed soon when the machine has slept."""

BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""The clock that goes on in sleep, where there is one besides CLOCK_MONOTONIC."""


def slept() -> float:
    """For how long the machine has slept since it was switched on, seconds.

    On Windows a loop's time goes on in sleep. On macOS it does not, and nothing is done about it
    yet.
    """
    if BOOTTIME is None:
        return 0.0
    asleep = 0.0
    # What lies between two readings is no sleep: if it is long, they are taken again.
    for _ in range(4):
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        asleep = time.clock_gettime(BOOTTIME) - before
        if time.clock_gettime(time.CLOCK_MONOTONIC) - before < 0.1:
            break
    return asleep


class Clock:
    """Counts from the moment it was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slept: Callable[[], float]) -> None:
        self.loop = loop
        self._start = loop.time()
        self._slept_in_all = slept
        self._slept_before = slept()

    def now(self) -> float:
        """The time, as the core counts it."""
        return max(self.loop.time() - self._start + self._slept(), 0.0)

    def moment(self, time: float) -> float:
        """When the loop's time will have come to a time of the core's, if the machine stays
        awake."""
        return self._start + time - self._slept()

    def _slept(self) -> int:
        """Of the machine's sleep since the start. In whole seconds: two clocks are not read at
        once, and what lies between is none of it."""
        return max(round(self._slept_in_all() - self._slept_before), 0)


class Alarm:
    """Something that happens at a time of the core's, and soon after waking if the machine slept
    then."""

    def __init__(self, clock: Clock, time: float, do: Callable[[], None]) -> None:
        self._clock = clock
        self._time = time
        self._do = do
        self._arm()

    def cancel(self) -> None:
        """It does not happen, if it has not yet."""
        self._handle.cancel()

    def _arm(self) -> None:
        clock = self._clock
        longest = clock.now() + LONGEST_WAIT
        self._last = self._time <= longest
        moment = clock.moment(min(self._time, longest))
        self._handle = clock.loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        if self._last:
            self._do()
        else:
            self._arm()
