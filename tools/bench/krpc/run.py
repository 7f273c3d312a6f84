"""KRPC read and written by Kadlet, the crate mainline, bt_bencode and libtorrent, in one run.

    python3 tools/bench/krpc/run.py [ROUNDS]

Rounds alternate, so that whatever else the machine does falls upon all of them; each figure is the
median of the rounds, and the ratios are what counts. mainline keeps its messages to itself: a copy
of its source, as cargo has it from crates.io, gets two words changed in `target/krpc`.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = ROOT / "target" / "krpc"
MAINLINE = "8.0.1"
LIBTORRENT = "2.1.1"
BATCHES, RUNS = 9, 100


def unpack_mainline() -> None:
    """Puts mainline's source into `target/krpc/mainline`, with its messages public."""
    fetch = TARGET / "fetch"
    (fetch / "src").mkdir(parents=True, exist_ok=True)
    (fetch / "src" / "lib.rs").touch()
    (fetch / "Cargo.toml").write_text(
        '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2024"\n'
        f'[dependencies]\nmainline = "={MAINLINE}"\n[workspace]\n'
    )
    command = ["cargo", "metadata", "--format-version", "1"]
    metadata = json.loads(subprocess.check_output(command, cwd=fetch))
    (manifest,) = (
        it["manifest_path"] for it in metadata["packages"] if it["name"] == "mainline"
    )
    copy = TARGET / "mainline"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(Path(manifest).parent, copy)
    messages = copy / "src" / "common" / "messages.rs"
    messages.write_text(
        messages.read_text().replace("pub(crate) struct Message", "pub struct Message")
    )
    lib = copy / "src" / "lib.rs"
    # The crate denies what this makes of it.
    text = "\n".join(
        line for line in lib.read_text().splitlines() if "#![deny" not in line
    )
    lib.write_text(text + "\npub use common::Message;\n")


def start_libtorrent(datagrams: dict[str, bytes]) -> subprocess.Popen:
    """Starts the child that measures libtorrent in an environment of its own."""
    python = TARGET / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(TARGET / "venv", with_pip=True)
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, f"libtorrent=={LIBTORRENT}"], check=True)
    child = subprocess.Popen(
        [str(python), __file__, "--libtorrent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for name, datagram in datagrams.items():
        print(f"{name}\t{datagram.hex()}", file=child.stdin)
    print(file=child.stdin, flush=True)
    return child


def libtorrent() -> None:
    """The child of `start_libtorrent`: datagrams first, then a round for each line."""
    import libtorrent as lt

    datagrams = {}
    while line := sys.stdin.readline().strip():
        name, text = line.split("\t")
        datagrams[name] = bytes.fromhex(text)
    trees = {name: lt.bdecode(datagram) for name, datagram in datagrams.items()}
    for name, tree in trees.items():
        assert lt.bencode(tree) == datagrams[name]
    for _ in sys.stdin:
        for name, datagram in datagrams.items():
            for what, run, argument in [
                ("decode", lt.bdecode, datagram),
                ("encode", lt.bencode, trees[name]),
            ]:
                times = []
                for _ in range(BATCHES):
                    start = time.perf_counter_ns()
                    for _ in range(RUNS):
                        run(argument)
                    times.append((time.perf_counter_ns() - start) / RUNS)
                print(f"{name}\tlibtorrent {what}\t{statistics.median(times)}")
        print(flush=True)


def one_round(
    child: subprocess.Popen, times: dict[tuple[str, str], list[float]]
) -> None:
    print(file=child.stdin, flush=True)
    while line := child.stdout.readline().strip():
        name, what, nanoseconds = line.split("\t")
        times.setdefault((what, name), []).append(float(nanoseconds))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    unpack_mainline()
    build = ["cargo", "build", "--release", "--target-dir", str(TARGET / "build")]
    subprocess.run([*build, "--manifest-path", str(HERE / "Cargo.toml")], check=True)
    rust = subprocess.Popen(
        [str(TARGET / "build" / "release" / "krpc-bench")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    datagrams = {}
    while line := rust.stdout.readline().strip():
        name, text = line.split("\t")
        datagrams[name] = bytes.fromhex(text)
    children = [rust, start_libtorrent(datagrams)]
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for child in children:
            one_round(child, times)
    for child in children:
        child.stdin.close()
        child.wait()
    sizes = [f"{name}, {len(datagram):,} B" for name, datagram in datagrams.items()]
    print("| ns (times Kadlet's) | " + " | ".join(sizes) + " |")
    print("| --- |" + " --- |" * len(sizes))
    medians = {key: statistics.median(values) for key, values in times.items()}
    rows = [
        *(
            f"{who} {what}"
            for what in ["decode", "encode"]
            for who in ["kadlet", "bt_bencode", "mainline", "libtorrent"]
        ),
        "a copy",
    ]
    for row in rows:
        cells = []
        for name in datagrams:
            nanoseconds = medians[row, name]
            cell = f"{nanoseconds:,.0f}"
            if not row.startswith(("kadlet", "a copy")):
                cell += (
                    f" ({nanoseconds / medians['kadlet ' + row.split()[-1], name]:.1f})"
                )
            cells.append(cell)
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    libtorrent() if "--libtorrent" in sys.argv else main()
