"""What a person sees live on a terminal, by `rich`, an optional extra: `pip install kadlet[rich]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ._addresses import text_of
from ._fetch import FetchProgress
from ._id import Id
from ._types import Answered, Asked, Done, Failed, Health, Refused, Stats
from .host import LookupStep

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

ROWS = 30
"""Rows of a lookup that are shown: the closest ones."""


class View:
    """Something that is drawn again when it changes."""

    def __init__(self, console: Console | None = None) -> None:
        # All of it now: an answer that waits for an import looks like a slow peer.
        from rich import progress_bar, table, text  # noqa: F401
        from rich.live import Live

        self._live = Live(console=console, refresh_per_second=10, transient=True)

    def __enter__(self) -> Any:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def draw(self, what: RenderableType) -> None:
        """Shows this from now on."""
        self._live.update(what)


V = TypeVar("V", bound=View)


@contextmanager
def view_of(kind: type[V], wanted: bool) -> Iterator[V | None]:
    """A view, where one is wanted and `rich` is installed."""
    try:
        view = kind() if wanted else None
    except ImportError:
        view = None
    if view is None:
        yield None
        return
    with view:
        yield view


class LookupView(View):
    """Whom we asked and what each said, nearest to the target first."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._peers: dict[str, tuple[int, str, str]] = {}

    def show(self, target: Id, step: LookupStep, at: float) -> None:
        """Takes the next step."""
        from rich.table import Table

        match step:
            case Done():
                return
            case Asked():
                said = "…"
            case Answered(rtt=rtt, named=named):
                said = f"[green]{rtt * 1e3:.1f} ms, named {len(named)}"
            case Failed(reason=reason):
                said = f"[red]{reason.code if isinstance(reason, Refused) else reason}"
        id = step.peer.id
        distance = target.distance(id) if id else 1 << 160
        addr = text_of(step.peer.path.remote)
        self._peers[addr] = (distance, id.hex() if id else "?", said)
        table = Table(title=f"lookup of {target}, {at * 1e3:.0f} ms", title_justify="left")
        for column in ("shared bits", "id", "address", "answer"):
            table.add_column(column)
        rows = sorted((d, i, a, s) for a, (d, i, s) in self._peers.items())[:ROWS]
        for near, name, address, answer in rows:
            table.add_row(str(160 - near.bit_length()), name, address, answer)
        self.draw(table)


class FetchView(View):
    """How much is there, and who gave it."""

    def show(self, name: str, now: FetchProgress) -> None:
        """Takes how far it is."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        size = f" of {now.size / 1e6:.1f}" if now.size is not None else ""
        given = ", ".join(f"{who}: {pieces}" for who, pieces in now.providers.items())
        parts: list[RenderableType] = [
            Text(f"{name}  {now.done / 1e6:.1f}{size} MB"),
            ProgressBar(total=now.size, completed=now.done, pulse=now.size is None),
            Text(f"pieces from {given}" if given else "looking for who has it", style="dim"),
        ]
        parts += [Text(f"dropped {who}: it {why}") for who, why in now.rejected.items()]
        self.draw(Group(*parts))


class NodeView(View):
    """How the node is."""

    def show(self, id: Id, addrs: tuple[str, ...], health: Health, stats: Stats) -> None:
        """Takes what it says of itself."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        contacts = ", ".join(f"{n} {family}" for family, n in health.contacts.items() if n)
        size = "unknown" if health.network_size is None else f"about {health.network_size}"
        for name, value in (
            ("id", str(id)),
            ("at", ", ".join(addrs)),
            ("contacts", contacts or "none"),
            ("network", f"{size} nodes" + (", and nobody answers" if health.offline else "")),
            ("role", "server" if health.server else "client"),
            ("keeps", f"{health.records} records of others, {health.publications} of its own"),
            ("answered", f"{stats.queries_answered} queries"),
            ("datagrams", f"{stats.datagrams_in} in, {stats.datagrams_out} out"),
        ):
            table.add_row(f"[dim]{name}", value)
        self.draw(table)
