"""Networks of unmodified nodes in virtual time: the simulator's scenarios from a notebook.

>>> from kadlet import sim
>>> rows = sim.run("steady", set={"nodes": 30, "lookups": 5, "alpha": [1, 3]}, seeds=[1, 2])
>>> [(row["alpha"], row["seed"], row["exact"]) for row in rows]
[('1', 1, 1.0), ('1', 2, 1.0), ('3', 1, 1.0), ('3', 2, 1.0)]

A row is what `kadlet-sim run` writes into its CSV: the scenario, the seed, what was set, and the
figures, beside each share its denominator (`exact_of` beside `exact`); None where there is no
number. The same seed gives the same rows on every machine and for any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ._native import sim_library, sim_run

__all__ = ["run", "scenarios"]

Value = str | int | float
"""A setting: a number, or a text with its unit such as "156 ms" or "2 %"."""


def scenarios() -> dict[str, str]:
    """The scenarios that come with the simulator: their names, and the TOML of each."""
    return dict(sim_library())


def run(
    scenario: str | os.PathLike[str],
    *,
    set: Mapping[str, Value | Iterable[Value]] | None = None,
    seeds: int | Iterable[int] = 1,
    threads: int | None = None,
    force: bool = False,
) -> list[dict[str, str | int | float | None]]:
    """Runs a scenario: one of `scenarios()` by its name, or a file that ends with .toml.

    `set` changes keys; a list of values makes a run for each, several lists for every combination.
    `seeds` is how many (1 to that number), or which. `threads` work, as many as there are cores
    without it. Blocks until all runs are over; Ctrl-C stops them. What had ended by then is in the
    exception's `rows`, and so it is where a run fails (RuntimeError).

    Raises ValueError if a scenario, key or value is none, and says what would be right, or if the
    runs would take more memory than is free (`force` runs them all the same); OSError if the file
    cannot be read.
    """
    name, text = os.fspath(scenario), None
    if name.endswith(".toml"):
        text = Path(name).read_text(encoding="utf-8")
        name = Path(name).stem
    sets = []
    for key, values in (set or {}).items():
        several = [values] if isinstance(values, str | int | float) else values
        sets.append((key, [str(value) for value in several]))
        if not sets[-1][1]:
            raise ValueError(f"{key}: at least one value is needed")
    which = range(1, seeds + 1) if isinstance(seeds, int) else seeds
    numbers = list(which)
    if not numbers:
        raise ValueError("seeds: at least one is needed")
    if threads is None:
        threads = os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"threads: at least one has to work, not {threads}")
    return sim_run(name, text, sets, numbers, threads, force)
