"""A file that is being fetched: pieces where they belong, a note of which are there, and the final
name only when all are.

The same three files as the program's, so that one goes on where the other left off: `.part` with
the bytes, `.part.list` with their hashes, `.part.note` with what is known to be there. One process
works with them at a time: it holds a lock on `.part`. Other programs call their files `.part` too: what
lies there without a list of hashes is not ours, for the list is written first, and it is not
touched.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import IO

from ._shares import unless_stopped
from .content import PIECE_LEN, HashList, Resume, decode_resume, encode_resume

try:
    import fcntl
except ImportError:  # Windows: the program's lock is not seen there, nor ours by it.
    fcntl = None  # type: ignore[assignment]


class Partial:
    """The partial file of one target, and what lies beside it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._data, self._note, self._list = (
            target.with_name(target.name + ending)
            for ending in (".part", ".part.note", ".part.list")
        )
        self._file: IO[bytes] | None = None

    @property
    def started(self) -> bool:
        """Whether the partial file is there and ours."""
        return self._file is not None

    def resume(
        self, content: bytes, max_size: int, stop: threading.Event
    ) -> tuple[HashList, list[int]] | None:
        """What an earlier fetch of the same content left: its list, and the pieces that are on the
        disk and right. None if there is nothing usable; it is overwritten then.

        Raises OSError if another process fetches into the same file, if it is none of a fetch or of
        another one, or if `stop` is set meanwhile.
        """
        self._refuse_foreign()
        self._refuse_another(content)
        try:
            hashes = HashList.decode(self._list.read_bytes(), content, max_size)
            file = open(self._data, "r+b")
        except (OSError, ValueError):
            return None
        try:
            _lock(file)
            if _has_another_name(file):
                file.close()
                return None
            # The list is written before the bytes of an earlier, longer content are cut off.
            file.truncate(hashes.size())
            have = self._there(file, content, hashes, stop)
        except BaseException:
            file.close()
            raise
        self._file = file
        return hashes, have

    def _there(
        self, file: IO[bytes], content: bytes, hashes: HashList, stop: threading.Event
    ) -> list[int]:
        """The pieces that are on the disk and right."""
        try:
            note = decode_resume(self._note.read_bytes())
            noted = set(note.have) if note.id == content and note.size == hashes.size() else set()
        except (OSError, ValueError):
            noted = set()
        have = []
        for index in range(hashes.pieces()):
            unless_stopped(stop)
            start, end = hashes.range(index) or (0, 0)
            file.seek(start)
            # A process that was killed noted nothing of its last pieces. A piece that was never
            # written begins with zeros, and hashing a disk full of them would take minutes.
            if index not in noted and not any(file.read(min(64, end - start))):
                continue
            file.seek(start)
            # The note was written before the disk failed, or after: the bytes decide.
            if hashes.verify_piece(index, file.read(end - start)):
                have.append(index)
        unless_stopped(stop)
        return have

    def start(self, hashes: HashList) -> None:
        """Begins anew, with this list. Raises OSError as `resume` does."""
        self._refuse_foreign()
        # What is in it goes when the lock is ours, not before.
        file = self._opened()
        try:
            _lock(file)
            if os.path.lexists(self.target):
                # Whoever had the lock before us was through: what we opened may be the target.
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.target))
            if _has_another_name(file):
                self._data.unlink()
                file.close()
                file = self._opened()
                _lock(file)
            self._refuse_another(hashes.id())
            _write_whole(self._list, hashes.encode())
            # The note is of what lay here before.
            self._note.unlink(missing_ok=True)
            file.truncate(0)
            file.truncate(hashes.size())
        except BaseException:
            file.close()
            raise
        self._file = file

    def _opened(self) -> IO[bytes]:
        return os.fdopen(os.open(self._data, os.O_RDWR | os.O_CREAT | _BINARY, 0o666), "r+b")

    def _refuse_foreign(self) -> None:
        """Bytes at `.part` without a list beside them are somebody's, and so is a link or a
        folder."""
        try:
            status = os.lstat(self._data)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(status.st_mode) or (status.st_size and not self._list.is_file()):
            raise OSError(
                errno.EEXIST,
                "this is not what a fetch of ours left: move it away, or name another target",
                str(self._data),
            )

    def _refuse_another(self, content: bytes) -> None:
        """Nor are bytes overwritten that lie beside the list of another content: somebody may want
        to go on with that. A list that is damaged helps nobody to go on."""
        try:
            status = self._data.stat()
            # Of a fetch that had the list and no piece nothing is lost: the file is a hole.
            if not status.st_size or not getattr(status, "st_blocks", 1):
                return
            data = self._list.read_bytes()
        except OSError:
            return
        pieces = -(-int.from_bytes(data[:8], "little") // PIECE_LEN)
        if len(data) != 8 + 32 * pieces:
            return
        try:
            HashList.decode(data, content, int.from_bytes(data[:8], "little"))
        except ValueError:
            text = "this is what is left of another fetch: remove it, or name another target"
            raise OSError(errno.EEXIST, text, str(self._data)) from None

    def write(self, start: int, data: bytes) -> None:
        """Writes one verified piece."""
        assert self._file is not None, "nothing was begun"
        self._file.seek(start)
        self._file.write(data)

    def note(self, note: Resume) -> None:
        """Notes which pieces are there: after a crash at most what came since is fetched again."""
        if self._file is not None:
            self._file.flush()
        _write_whole(self._note, encode_resume(note))

    def finish(self) -> None:
        """All pieces are there: the file gets its name, and what lay beside it goes."""
        assert self._file is not None, "nothing was begun"
        # The lock lasts until the name is given.
        with self._file as file:
            self._file = None
            file.flush()
            os.fsync(file.fileno())
            try:
                # Unlike a rename this does not replace what has come there meanwhile.
                os.link(self._data, self.target)
            except FileExistsError:
                raise
            except OSError:
                # File systems without links: a look is less than a link, and better than nothing.
                if os.path.lexists(self.target):
                    raise FileExistsError(
                        errno.EEXIST, os.strerror(errno.EEXIST), str(self.target)
                    ) from None
                os.rename(self._data, self.target)
            else:
                self._data.unlink()
        self._note.unlink(missing_ok=True)
        self._list.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives the lock back; what is there stays."""
        if self._file is not None:
            self._file.close()
            self._file = None


_BINARY = getattr(os, "O_BINARY", 0)


def _lock(file: IO[bytes]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another process is fetching into this file") from None
    except OSError:
        # File systems without locks.
        pass


def _has_another_name(file: IO[bytes]) -> bool:
    """Whether the bytes are somebody's under another name: a process that was killed between giving
    the file its name and taking away this one leaves both, and the person may have moved his."""
    return os.fstat(file.fileno()).st_nlink > 1


def _write_whole(path: Path, data: bytes) -> None:
    """Writes a small file so that it is there whole or as it was before."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
