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

NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
"""The process, or the system, may open no further files."""

T = TypeVar("T")


class InThread(Protocol):
    """Runs something that waits for the disk where the loop does not wait with it."""

    def __call__(self, do: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Share:
    """A file that is served until it is withdrawn, it changes, or the node is closed."""

    link: Link
    """What others fetch it by: `str(share.link)`."""
    path: Path
    """Where it lies. A file that changed is not served any more: `RunningNode.changed` says so."""
    stored: int
    """How many nodes keep the announcement. 0: nobody could be asked yet, or nobody took it; it is
    tried again until somebody does."""
    unlisted: str | None
    """Why it is not found by the words of its name although it was to be: there are none, or others
    take no such name."""
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
        self.share: Share | None = None
        """What it is withdrawn by, once others were told of it."""
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

    def __init__(self, file: SharedFile, changed: Callable[[SharedFile], None]) -> None:
        self.hashes = file.hashes
        self.files = [file]
        self._changed = changed

    async def read(self, start: int, end: int) -> bytes:
        """From the first of them that has not changed; those that have are shared no longer."""
        # As they are now: one may be withdrawn while another is read.
        for file in [*self.files]:
            try:
                return await file.read(start, end)
            except OSError as error:
                if error.errno in NO_DESCRIPTORS:
                    # For a lack of ours the file is not to blame.
                    raise
                self._changed(file)
        raise OSError("it is not shared any more")


class Shelf:
    """What is served, by its id."""

    def __init__(self, changed: Callable[[Share], None]) -> None:
        """`changed` is told of each share that is served no longer, for its file is not what it
        was."""
        self._contents: dict[bytes, Copies] = {}
        self._changed = changed
        self.server = Server(self._contents.get)
        self.port: int | None = None
        """Where the server listens, once it does."""

    def add(self, file: SharedFile) -> None:
        """Serves this file from now on."""
        content = file.hashes.id()
        if (copies := self._contents.get(content)) is None:
            self._contents[content] = Copies(file, self._has_changed)
        else:
            copies.files.append(file)

    def announced(self, file: SharedFile, share: Share) -> None:
        """Others were told of it, while it may have changed."""
        file.share = share
        copies = self._contents.get(share.id)
        if copies is None or file not in copies.files:
            self._changed(share)

    def withdraw(self, share: Share) -> None:
        """Serves its file no longer."""
        if (copies := self._contents.get(share.id)) is not None:
            for file in [file for file in copies.files if file.share == share]:
                self.remove(file)

    def remove(self, file: SharedFile) -> bool:
        """Serves it no longer, and says whether it did until now."""
        content = file.hashes.id()
        copies = self._contents.get(content)
        if copies is None or file not in copies.files:
            return False
        copies.files.remove(file)
        if not copies.files:
            del self._contents[content]
        return True

    def _has_changed(self, file: SharedFile) -> None:
        # Two who read it at once find it out at once. What others are still being told of is named
        # when they have been.
        if self.remove(file) and file.share is not None:
            self._changed(file.share)


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
