"""Replays the golden traces: the same calls, the same answers, byte for byte.

core/tests/traces/main.rs says how the files are written.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kadlet
import pytest

TRACES = Path(__file__).resolve().parents[2] / "core" / "tests" / "golden" / "draft-1" / "traces"

HEX = ["datagram", "id", "key", "payload", "record", "salt", "secret", "seed", "state", "target"]
MICROS = ["now", "after", "elapsed"]


def address(text: str) -> kadlet.Address:
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return (host[1:-1], int(port), 0, 0)
    return (host, int(port))


def path(value: dict[str, Any]) -> kadlet.Path:
    return kadlet.Path(address(value["remote"]), value["link"])


def item(value: Any) -> kadlet.Item:
    if isinstance(value, str):
        return bytes.fromhex(value)
    parts: dict[str, Any] = {k: v if k == "seq" else bytes.fromhex(v) for k, v in value.items()}
    return kadlet.SignedValue(**parts)


def entry(value: dict[str, Any]) -> kadlet.SearchEntry:
    content, extra = bytes.fromhex(value["content"]), bytes.fromhex(value["extra"])
    return kadlet.SearchEntry(value["name"], value["size"], content, extra)


def config(value: dict[str, Any]) -> kadlet.Config:
    value = {**value, "deadline": value["deadline"] / 1e6}
    store = kadlet.StoreConfig(max_changes=value.pop("max_changes"))
    return kadlet.Config(**value, store=store)


READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(HEX, bytes.fromhex),
    **dict.fromkeys(MICROS, lambda micros: micros / 1e6),
    "path": path,
    "addresses": lambda all: [path(one) for one in all],
    "local": address,
    "item": item,
    "entry": entry,
    "config": config,
}


def argument(call: str, name: str, value: Any) -> Any:
    """What a verb of Python is given for what the line says."""
    if (call, name) == ("sign", "value"):
        return bytes.fromhex(value)
    return READ[name](value) if name in READ else value


def words(value: Any) -> Any:
    """What Python was given, as the line says it."""
    match value:
        case kadlet.Config():
            # The settings that traces differ in.
            names = ["capabilities", "deadline", "network", "role"]
            own = {name: words(getattr(value, name)) for name in names}
            return {**own, "max_changes": value.store.max_changes}
        case bytes():
            return value.hex()
        case float():
            return round(value * 1e6)
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case tuple():
            return [words(one) for one in value]
        case dict():
            return {key: words(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name.rstrip("_"): words(getattr(value, f.name)) for f in fields}
    return value


def tagged(value: Any) -> dict[str, Any]:
    """An event or a change: its class is its tag."""
    name = type(value).__name__
    tag = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
    return {**words(value), "type": tag}


def drain(poll: Callable[[], Any]) -> Iterator[Any]:
    while (one := poll()) is not None:
        yield one


class Replay:
    node: kadlet.Node | None = None

    def call(self, arguments: dict[str, Any]) -> Any:
        call = arguments.pop("call")
        read = {name: argument(call, name, value) for name, value in arguments.items()}
        match call:
            case "new":
                self.node = kadlet.Node(**read)
                return None
            case "restore":
                self.node = kadlet.Node.restore(**read)
                return None
            case "sign":
                del read["now"]
                return kadlet.sign(**read)
        assert self.node is not None
        if call in ("id", "config", "table", "closest", "operation", "stats", "health", "estimate"):
            del read["now"]
        return getattr(self.node, call)(**read)

    def out(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            returns = words(self.call(arguments))
        except ValueError as error:
            returns = {"error": str(error)}
        if self.node is None:
            return {"returns": returns}
        deadline = self.node.poll_timeout()
        return {
            "returns": returns,
            "transmits": [words(one) for one in drain(self.node.poll_transmit)],
            "events": [tagged(one) for one in drain(self.node.poll_event)],
            "changes": [tagged(one) for one in drain(self.node.poll_change)],
            "deadline": None if deadline is None else words(deadline),
        }


@pytest.mark.parametrize("trace", sorted(TRACES.glob("*.jsonl")), ids=lambda trace: trace.name)
def test_the_same_again(trace: Path) -> None:
    replay = Replay()
    lines = trace.read_text("utf-8").splitlines()
    assert lines
    for number, line in enumerate(lines, 1):
        call = json.loads(line)["in"]
        out = replay.out(dict(call))
        again = json.dumps(
            {"in": call, "out": out}, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        assert again == line, f"{trace.name}:{number}"
