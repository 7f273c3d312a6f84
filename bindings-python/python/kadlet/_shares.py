"""What a node offers: files that are hashed once and checked whenever they are served."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from ._http import Server
from .content import HashList, HashListBuilder, Link

BLOCK = 1 << 20
"""Bytes read at once while hashing."""

ATTEMPTS = 3
"""A file that changes while it is hashed is hashed again, so often."""

T = TypeVar("T")


class InThread(Protocol):
    """Runs something that waits for the disk where the loop does not wait with it."""

    def __call__(self, do: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Share:
    """A file that is served until it is withdrawn or the node is closed."""

    link: Link
    """What others fetch it by: `str(share.link)`."""
    path: Path
    """Where it lies. A file that changed is not served any more."""
    stored: int
    """How many nodes keep the announcement. 0: nobody could be asked yet, or nobody took it; it is
    tried again until somebody does."""
    operations: tuple[int, ...] = field(repr=False)
    """Name the renewals, to `RunningNode.withdraw`."""

    @property
    def id(self) -> bytes:
        """The content: BLAKE3 of the file, 32 bytes."""
        return self.link.id


class SharedFile:
    """A file as it was when it was hashed."""

    def __init__(self, path: Path, in_thread: InThread, stop: threading.Event) -> None:
        """Hashes it, unless `stop` is set meanwhile: that raises OSError."""
        self.path = path
        self._in_thread = in_thread
        self.hashes, self._stamp = _hashed(path, stop)

    async def read(self, start: int, end: int) -> bytes:
        """A piece that no longer has its hash is not served, whatever the time stamp says."""
        return await self._in_thread(lambda: self._read(start, end))

    def _read(self, start: int, end: int) -> bytes:
        index = start >> 20
        first, last = self.hashes.range(index) or (0, 0)
        with open(self.path, "rb") as file:
            if _stamp(file.fileno()) == self._stamp:
                file.seek(first)
                piece = file.read(last - first)
                if self.hashes.verify_piece(index, piece):
                    return piece[start - first : end - first]
        raise OSError(f"{self.path} has changed since it was shared")


class Copies:
    """Files with the same bytes: one content, which is there as long as one of them is."""

    def __init__(self, file: SharedFile) -> None:
        self.hashes = file.hashes
        self.files = [file]

    async def read(self, start: int, end: int) -> bytes:
        """From the first of them that has not changed."""
        if not self.files:
            # Who asks began before the last one was withdrawn.
            raise OSError("it is not shared any more")
        # As they are now: one may be withdrawn while another is read.
        *others, last = self.files
        for file in others:
            try:
                return await file.read(start, end)
            except OSError:
                continue
        return await last.read(start, end)


class Shelf:
    """What is served, by its id."""

    def __init__(self) -> None:
        self._contents: dict[bytes, Copies] = {}
        self.server = Server(self._contents.get)
        self.port: int | None = None
        """Where the server listens, once it does."""

    def add(self, file: SharedFile) -> None:
        """Serves this file from now on."""
        content = file.hashes.id()
        if (copies := self._contents.get(content)) is None:
            self._contents[content] = Copies(file)
        else:
            copies.files.append(file)

    def remove(self, content: bytes, path: Path) -> None:
        """Serves the file there no longer."""
        copies = self._contents.get(content)
        if copies is None:
            return
        at = next((at for at, file in enumerate(copies.files) if file.path == path), None)
        if at is not None:
            del copies.files[at]
        if not copies.files:
            del self._contents[content]


def _stamp(descriptor: int) -> tuple[int, int]:
    """What tells that a file has been written to since."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def unless_stopped(stop: threading.Event) -> None:
    """Raises OSError if nobody waits any more: a thread is not cancelled with its task."""
    if stop.is_set():
        raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))


def _hashed(path: Path, stop: threading.Event) -> tuple[HashList, tuple[int, int]]:
    # Opening a pipe would wait for its other end.
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a folder; its files are shared one by one")
    if not stat.S_ISREG(mode):
        raise OSError(f"{path} is no file")
    for _ in range(ATTEMPTS):
        builder = HashListBuilder()
        with open(path, "rb", buffering=0) as file:
            before = _stamp(file.fileno())
            while block := file.read(BLOCK):
                unless_stopped(stop)
                builder.update(block)
            hashes = builder.finish()
            if before == _stamp(file.fileno()) and before[0] == hashes.size():
                return hashes, before
    raise OSError(f"{path} is being written to; share it when that has ended")
