"""What can go wrong, by who can do something about it. All are `DhtError`s.

A peer's fault never shows here: the core counts it (`Stats.rejected`). What the system refuses, a
port in use or a full disk, stays the `OSError` it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._types import Outcome, Refused

if TYPE_CHECKING:
    from ._addresses import Attempt
    from .content import Rejection
    from .host import PutResult


class DhtError(Exception):
    """Any of the errors below."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled as its type called with the message: some are made of more, and a
        # `ProcessPoolExecutor` waits in vain for a result that cannot be read.
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[DhtError], args: tuple[Any, ...], fields: dict[str, Any]) -> DhtError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class NoPeersError(DhtError):
    """There was nobody to ask: the node has no contacts. Raised at once."""


class NoAnswerError(DhtError):
    """Everybody who was asked stayed silent or failed."""


class QueryTimeout(DhtError, TimeoutError):
    """The time was up. `partial` has what was found or stored until then, or None."""

    def __init__(self, message: str, partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial


class OverloadedError(DhtError):
    """Not begun: the node runs as many operations as it may at once."""


class ClosedError(DhtError):
    """The node is closed."""


class RefusedError(DhtError):
    """Peers answered, and none of those that could have stored it did.

    `code` is the reason given most often, `seq` the highest sequence number held, with
    `cas_mismatch` and `stale_sequence`.
    """

    def __init__(self, message: str, code: str, seq: int | None) -> None:
        super().__init__(message)
        self.code = code
        self.seq = seq


class StaleSequence(RefusedError):
    """A newer value is stored already: `seq` is its sequence number."""


class QuorumError(DhtError):
    """Fewer nodes took a record than asked for; those in `result` have it."""

    def __init__(self, message: str, result: PutResult) -> None:
        super().__init__(message)
        self.result = result


class InvalidRecord(DhtError, ValueError):
    """The bytes are none that a record can have: a salt too long, a signature that is wrong."""


class ValueTooLarge(InvalidRecord):
    """The value has `size` bytes, and `limit` are allowed."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a value has at most {limit} bytes, this has {size}")
        self.size = size
        self.limit = limit


class InvalidState(DhtError, ValueError):
    """The file is no state of a node, is damaged or another network's, or a later version wrote it.

    It is left alone.
    """


class BootstrapError(DhtError, ConnectionError):
    """None of the addresses is a node of our network: `attempts` says of each why."""

    def __init__(self, attempts: tuple[Attempt, ...]) -> None:
        super().__init__("no bootstrap address works: " + "; ".join(map(str, attempts)))
        self.attempts = attempts


class NoProvidersError(DhtError):
    """Nobody offers the content, or all who did were dropped: `rejected` says of each why."""

    def __init__(self, rejected: dict[str, Rejection]) -> None:
        reasons = "; ".join(f"{who} {why}" for who, why in rejected.items())
        super().__init__(f"no provider is left: {reasons}" if reasons else "nobody offers it")
        self.rejected = rejected


def of_outcome(outcome: Outcome, partial: Any = None) -> DhtError | None:
    """The error in an outcome, if it is one: that nobody has something is a result."""
    match outcome:
        case "success" | "absent":
            return None
        case "no_peers":
            return NoPeersError("there is nobody to ask: the node has no contacts")
        case "deadline_exceeded":
            return QueryTimeout("the time was up", partial)
        case "overloaded":
            return OverloadedError(
                "this node does as much at once, or renews as many records, as it may"
            )
        case "cancelled":
            return ClosedError("the node is closed")
        case Refused(code="stale_sequence", seq=seq):
            text = f"a newer value is stored already: its sequence number is {seq}"
            return StaleSequence(text, "stale_sequence", seq)
        case Refused(code=code, seq=seq):
            return RefusedError(f"every holder refused: {code}", code, seq)
        case _:
            return NoAnswerError("nobody who was asked gave an answer")
