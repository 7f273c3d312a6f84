"""A node's state in a file: the core's versioned bytes, and when they were written.

Four bytes of magic, the time (seconds since 1970, big-endian binary64), then what
`Node.export_state` gave. A file is replaced as a whole or not at all. Beside it lies `NAME.lock`,
empty, held by the one node that uses the state: the system lets go of it however the node ends.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

from ._native import Node
from ._types import Config
from .errors import InvalidState

HEADER = struct.Struct(">4sd")
MAGIC = b"KDLF"


class StateInUse(OSError):
    """Another node uses the file."""


class StateFile:
    """A file that one node at a time uses.

    Raises `StateInUse` if another one does, or another OSError if there can be no file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Beside it: the file itself is replaced at each write. It stays, for whoever removed it
            # would take it from one who has just begun to wait.
            self._lock: IO[bytes] = open(f"{path}.lock", "ab")
        except OSError as error:
            # In the words of whoever named the file.
            raise OSError(error.errno, error.strerror, str(path)) from None
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._lock.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise
            text = "another node uses this state; close it, or give this one a file of its own"
            raise StateInUse(errno.EBUSY, text, str(path)) from None

    def close(self) -> None:
        """Lets another node use it."""
        self._lock.close()

    def read(self, config: Config, seed: bytes) -> Node | None:
        """The node that was saved there; None if there is no file yet."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if len(data) < HEADER.size or not data.startswith(MAGIC):
            raise InvalidState(f"{self.path} is no state of a node")
        _, written = HEADER.unpack_from(data)
        # A clock that was set back, or a damaged time: as if no time had passed.
        elapsed = max(time.time() - written, 0.0) if written >= 0.0 else 0.0
        try:
            return Node.restore(config, data[HEADER.size :], seed, 0.0, elapsed)
        except ValueError as error:
            raise InvalidState(f"{self.path}: {error}") from None

    def write(self, state: bytes) -> None:
        """Replaces the file. After a crash at any moment it is the old one or the new one."""
        folder = self.path.parent
        handle, name = tempfile.mkstemp(prefix=self.path.name, suffix=".tmp", dir=folder)
        try:
            with open(handle, "wb") as file:
                file.write(HEADER.pack(MAGIC, time.time()) + state)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        if os.name == "posix":
            # The new name is safe when the folder is.
            entry = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(entry)
            finally:
                os.close(entry)
