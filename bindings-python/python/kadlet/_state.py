"""A node's state in a file: the core's versioned bytes, and when they were written.

Four bytes of magic, the time (seconds since 1970, big-endian binary64), then what
`Node.export_state` gave. A file is replaced as a whole or not at all.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from pathlib import Path

from ._native import Node
from ._types import Config
from .errors import InvalidState

HEADER = struct.Struct(">4sd")
MAGIC = b"KDLF"


def read(path: Path, config: Config, seed: bytes) -> Node | None:
    """The node that was saved there; None if there is no file yet."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise InvalidState(f"{path} is no state of a node")
    _, written = HEADER.unpack_from(data)
    # A clock that was set back, or a damaged time: as if no time had passed.
    elapsed = max(time.time() - written, 0.0) if written >= 0.0 else 0.0
    try:
        return Node.restore(config, data[HEADER.size :], seed, 0.0, elapsed)
    except ValueError as error:
        raise InvalidState(f"{path}: {error}") from None


def write(path: Path, state: bytes) -> None:
    """Replaces the file. After a crash at any moment it is the old one or the new one."""
    try:
        handle, name = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    except OSError as error:
        # In the words of whoever named the file.
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with open(handle, "wb") as file:
            file.write(HEADER.pack(MAGIC, time.time()) + state)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The new name is safe when the folder is.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
