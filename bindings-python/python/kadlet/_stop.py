"""Being asked to stop: Ctrl-C, the system's request, a terminal that is closed.

Commands that leave something to tidy up listen before they start anything: a signal that comes in the
first moment is not lost, and does not end them in the middle.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType


class Stop:
    """Listens from when it is made until the process ends: a second signal does not break off the
    tidying up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked = False
        self._scope: asyncio.Timeout | None = None
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            # Windows has no terminal that hangs up.
            if (number := getattr(signal, name, None)) is None:
                continue
            # `nohup` has it ignored, which listening to it would undo.
            if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue
            # Not the loop's own way, which Windows does not have.
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        # It comes in the middle of anything: the loop does the rest.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            if self._scope is not None:
                self._scope.reschedule(self._loop.time())

    @asynccontextmanager
    async def until_asked(self) -> AsyncIterator[None]:
        """Breaks off what is inside when somebody asks to stop, and goes on behind it."""
        scope = asyncio.timeout(0.0 if self._asked else None)
        try:
            async with scope:
                self._scope = scope
                yield
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._scope = None
