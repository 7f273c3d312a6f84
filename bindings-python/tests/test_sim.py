"""The simulator from Python."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kadlet import sim

SMALL: dict[str, Any] = {"nodes": 20, "k": 8, "lookups": 4, "warm_up": "10 s"}


def test_rows_are_the_same_for_any_number_of_threads() -> None:
    one = sim.run("steady", set=SMALL | {"alpha": [1, 3]}, seeds=2, threads=1)
    assert one == sim.run("steady", set=SMALL | {"alpha": [1, 3]}, seeds=[1, 2], threads=3)
    assert [(row["alpha"], row["seed"]) for row in one] == [("1", 1), ("1", 2), ("3", 1), ("3", 2)]
    assert all(row["scenario"] == "steady" and row["exact"] == 1.0 for row in one)
    assert all(row["exact_of"] == 4 for row in one)


def test_a_file_is_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(sim.scenarios()["lossy"] + "lookups = 4\n", encoding="utf-8")
    [row] = sim.run(file, set={"nodes": 20, "policies": "none"})
    assert row["scenario"] == "mine"
    with pytest.raises(OSError, match="nothing"):
        sim.run(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("scenario", "given", "expected"),
    [
        ("chrun", {}, "did you mean churn"),
        ("steady", {"set": {"los": "2 %"}}, "did you mean loss"),
        ("steady", {"set": {"loss": "150 %"}}, 'expected a share from "0 %" to "100 %"'),
        ("steady", {"set": {"alpha": []}}, "at least one value"),
        ("steady", {"seeds": 0}, "at least one is needed"),
        ("steady", {"threads": 0}, "at least one has to work"),
        (
            "steady",
            {"set": {"nodes": 5_000_000}},
            "of memory and .* are free: run with fewer nodes",
        ),
    ],
)
def test_what_is_wrong_is_said(scenario: str, given: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        sim.run(scenario, **given)  # type: ignore[arg-type]


def test_an_interrupt_stops_the_runs_and_leaves_what_had_ended() -> None:
    program = (
        "import signal, threading, kadlet.sim as sim\n"
        "main = threading.main_thread().ident\n"
        "threading.Timer(2, signal.pthread_kill, (main, signal.SIGINT)).start()\n"
        "small = {'nodes': 20, 'lookups': 1, 'policies': 'none'}\n"
        "try:\n"
        "    sim.run('steady', set=small, seeds=10_000)\n"
        "except KeyboardInterrupt as interrupt:\n"
        "    print(interrupt.rows[0]['seed'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "1\n", done.stderr


def test_rows_fit_a_csv(tmp_path: Path) -> None:
    rows = sim.run("steady", set=SMALL)
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
