"""What the command line says, to people or to programs, and the codes by which it fails (docs/cli.md)."""

from __future__ import annotations

import errno
import io
import json
import sys
from contextlib import suppress
from typing import Any

from . import errors
from ._addresses import Attempt, text_of
from ._state import StateInUse

STATUS = {
    # Asked, and not done.
    "not_found": 1,
    "refused": 1,
    "stale_sequence": 1,
    "cas_mismatch": 1,
    "no_provider_left": 1,
    "interrupted": 1,
    "overloaded": 1,
    # Cannot be started as asked.
    "usage": 2,
    "value_too_long": 2,
    "no_words": 2,
    "address_in_use": 2,
    "address_unavailable": 2,
    "address_forbidden": 2,
    "no_descriptors": 2,
    "data_in_use": 2,
    "data_newer": 2,
    "target_exists": 2,
    "nothing_shared": 2,
    "io": 2,
    # Nobody to ask.
    "no_contacts": 3,
    "bootstrap_failed": 3,
    "no_answer": 3,
    "timeout": 3,
}
"""Why a command fails, in the words of docs/cli.md, and the exit status that says so."""


class Unread(Exception):
    """What was to be printed cannot be, and nothing else can."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        # Whoever read us has read enough: `… | head -1` is no failure.
        self.status = 0 if isinstance(error, BrokenPipeError) else 2


class Output:
    """One line for people, or one JSON object a line for programs."""

    def __init__(self, as_json: bool, live: bool) -> None:
        self._json = as_json
        self.stays = False
        """Whether the command goes on when nobody reads, or nothing can be written: a node, and who
        fetches a file, do more than talk."""
        self.live = live and not as_json and sys.stdout.isatty()
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Programs read UTF-8, and a name that a terminal cannot show is no reason to end.
            sys.stdout.reconfigure(encoding="utf-8" if as_json else None, errors="replace")

    def event(self, name: str, text: str | None, /, **fields: Any) -> None:
        """Something happened; None is told to programs alone."""
        if self._json:
            self._print(json.dumps({"event": name, **fields}, ensure_ascii=False))
        elif text is not None:
            self._print(text)

    def value(self, value: bytes, fields: dict[str, Any]) -> None:
        """Bytes as they are, for people, or an object for programs."""
        if self._json:
            self.event("value", None, **fields)
            return
        try:
            sys.stdout.buffer.write(value)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise Unread(error) from None

    def note(self, text: str) -> None:
        """Something that a person wants to know, and a program need not."""
        if not self._json:
            self._say(text)

    def warning(self, code: str, message: str) -> None:
        """Something is wrong that does not end the command."""
        if self._json:
            self.event("warning", None, code=code, message=message)
        else:
            self._say(f"warning: {message}")

    def error(self, code: str, message: str, /, **fields: Any) -> int:
        """Why the command ends without result, and the exit status that says so."""
        if self._json:
            self.event("error", None, code=code, message=message, **fields)
        else:
            self._say(f"error: {message}")
        return STATUS[code]

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError as error:
            if not self.stays:
                raise Unread(error) from None

    def _say(self, text: str) -> None:
        # Standard error that is closed is nobody's loss.
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


class Failure(Exception):
    """A command that could not be done: code, message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def said(attempts: tuple[Attempt, ...]) -> list[dict[str, Any]]:
    """What each address answered, for programs."""
    return [
        {
            "given": a.given,
            "addr": text_of(a.address) if a.address else None,
            "result": a.result,
            "message": str(a),
        }
        for a in attempts
    ]


def code_of(error: Exception) -> tuple[str, dict[str, Any]]:
    """Code and further fields for what the package raises."""
    match error:
        case errors.BootstrapError(attempts=attempts):
            return "bootstrap_failed", {"attempts": said(attempts)}
        case errors.NoPeersError():
            return "no_contacts", {}
        case errors.NoAnswerError():
            return "no_answer", {}
        case errors.QueryTimeout():
            return "timeout", {}
        case errors.RefusedError(code="stale_sequence" | "cas_mismatch" as code, seq=seq):
            return code, {"seq": seq}
        case errors.RefusedError():
            return "refused", {}
        case errors.OverloadedError():
            return "overloaded", {}
        case errors.NoProvidersError(rejected=rejected):
            return "no_provider_left" if rejected else "not_found", {}
        case errors.ValueTooLarge():
            return "value_too_long", {}
        case errors.InvalidState() if "newer program" in str(error):
            return "data_newer", {}
        case StateInUse():
            return "data_in_use", {}
        case FileExistsError():
            return "target_exists", {}
        case OSError(errno=errno.EADDRINUSE):
            return "address_in_use", {}
        case OSError(errno=errno.EADDRNOTAVAIL):
            return "address_unavailable", {}
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return "no_descriptors", {}
        case PermissionError(filename=None):
            # What is said of a file names it: this is the socket.
            return "address_forbidden", {}
        case ValueError():
            return "usage", {}
        case OSError():
            return "io", {}
        case _:
            # Our own mistake: its trace is what helps.
            raise error
