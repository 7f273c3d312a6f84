"""The Python surface against the core's public API: neither moves alone.

The core's side is read from its source. Whatever is public there is offered here under a name of
this table, or stands below with the reason why it is not.
"""

import dataclasses
import inspect
import pickle
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kadlet
import pytest
from kadlet import _native, content, errors, wire

CORE = Path(__file__).resolve().parents[2] / "core" / "src"

STRUCTS: dict[str, type] = {
    "Found": kadlet.Found,
    "Progress": kadlet.LookupProgress,
    "SavedContact": kadlet.SavedContact,
    "ProviderStats": content.ProviderStats,
    "Resume": content.Resume,
    "Asked": kadlet.Peer,
    "Config": kadlet.Config,
    "Contact": kadlet.Contact,
    "Dropped": kadlet.Dropped,
    "Entry": kadlet.Entry,
    "EstimateConfig": kadlet.EstimateConfig,
    "FetchConfig": kadlet.FetchConfig,
    "Health": kadlet.Health,
    "LimitConfig": kadlet.LimitConfig,
    "LookupConfig": kadlet.LookupConfig,
    "OperationProgress": kadlet.OperationProgress,
    "Path": kadlet.Path,
    "Rate": kadlet.Rate,
    "RequestConfig": kadlet.RequestConfig,
    "Stats": kadlet.Stats,
    "StoreConfig": kadlet.StoreConfig,
    "StoreStats": kadlet.StoreStats,
    "TableConfig": kadlet.TableConfig,
    "TokenConfig": kadlet.TokenConfig,
    "Totals": kadlet.Totals,
    "Transmit": kadlet.Transmit,
}
"""Structs whose public fields are the fields of a dataclass."""

TAGS: dict[str, Any] = {
    "Heard": kadlet.Heard,
    "RequestFailure": content.RequestFailure,
    "Verdict": content.Verdict,
    "AddressIds": kadlet.AddressIds,
    "Enforce": kadlet.Enforce,
    "ErrorCode": kadlet.ErrorCode,
    "Malformed": kadlet.Rejected,
    "Outcome": kadlet.Outcome,
    "PeerFailure": kadlet.PeerFailure,
    "Rejected": kadlet.Rejected,
    "Role": kadlet.Role,
}
"""Enums whose variants are strings; those with fields are dataclasses."""

UNIONS: dict[str, Any] = {"Event": kadlet.Event, "FetchEvent": content.FetchEvent}
"""Enums whose variants are dataclasses of their name."""

OFFERED: dict[str, Any] = {
    "Change": kadlet.Change,
    "Id": kadlet.Id,
    "Node": kadlet.Node,
    "StoreChange": kadlet.Change,
    "BucketView": kadlet.Bucket,
    "Family": kadlet.Family,
    "Admission": kadlet.Admission,
    "Lookup": kadlet.Lookup,
    "Refusal": kadlet.Admission,
    "RoutingTable": kadlet.RoutingTable,
}
"""Of a form of their own, which tests and traces hold."""

SPOKEN_OTHERWISE: dict[str, Any] = {
    "Announcement": "its fields are arguments of Node.announce",
    "Capabilities": "an int of bits",
    "CommandError": "ValueError, in the core's words",
    "Distance": "the int of Id.distance",
    "Families": "a sequence of families",
    "GetQuery": "its fields are arguments of Node.get",
    "Instant": "seconds",
    "LinkId": "an int",
    "Network": "the name, None for Mainline",
    "OperationId": "an int",
    "ParseIdError": "ValueError",
    "PutOptions": "its fields are arguments of Node.put",
    "RecordName": "bytes",
    "StateError": "ValueError",
    "Closest": "RoutingTable.closest is given how many are wanted",
    "Diverse": "RoutingTable.closest is given how many are wanted",
    "Failure": kadlet.TableFailure,
    "Filter": "its fields are arguments of RoutingTable.closest",
    "Step": "a Contact, wait or done",
}
"""What Python says with a type of its own."""

PARTS = {
    "requests": "Answered Expired Mismatch Request Requests Timeouts",
    "limits": "Cost Limits Prefix Scope is_usable",
    "estimate": "Estimate",
    "tokens": "Token Tokens",
    "store": "BadRecord Certified Due Handover HeldValue Imported NewerVersion Origin Refused Store "
    "Stored",
    "random": "Rng",
}
"""Parts of a node that are for Rust alone."""


CONTENT = {
    "Bitmap": "a tuple of the numbers of pieces",
    "Fetch": content.Fetch,
    "FetchError": "ValueError",
    "FetchEvent": content.FetchEvent,
    "HashList": content.HashList,
    "HashListBuilder": content.HashListBuilder,
    "Link": content.Link,
    "LinkError": "ValueError",
    "ListError": "ValueError",
    "PieceVerifier": "a host in Python holds whole pieces",
    "ProviderStats": content.ProviderStats,
    "Rejection": content.Rejection,
    "Request": content.Request,
    "RequestFailure": content.RequestFailure,
    "RequestId": "an int",
    "Resume": content.Resume,
    "ResumeError": "ValueError",
    "Verdict": content.Verdict,
    "Want": (content.WantHashList, content.WantPiece),
    "safe_file_name": content.safe_file_name,
}
"""What is in `kadlet.content`, or what Python says instead."""

VERBS: dict[str, tuple[type, set[str]]] = {
    "Lookup": (kadlet.Lookup, {"new", "with_mask"}),
    # `len`, and `buckets` for `iter`; a table that is restored is told by `verified`.
    "RoutingTable": (kadlet.RoutingTable, {"new", "len", "is_empty", "iter", "restore"}),
    "Fetch": (content.Fetch, {"new", "verifier", "piece_checked"}),
    "HashList": (content.HashList, {"encoded_len", "piece_verifier"}),
    "HashListBuilder": (content.HashListBuilder, {"new"}),
}
"""Further classes, with the verbs that Python does without or calls otherwise."""


def sources() -> Iterator[str]:
    for file in sorted(CORE.rglob("*.rs")):
        if "tests" not in file.parts and file.name != "tests.rs":
            yield file.read_text("utf-8")


def body_of(kind: str, name: str) -> str:
    """What stands between the braces of a struct or an enum."""
    for text in sources():
        if found := re.search(
            rf"^pub {kind} {name}(?![\w])[^{{;(]*\{{\n(.*?)^\}}", text, re.M | re.S
        ):
            return found[1]
    pytest.fail(f"the core has no {kind} {name}")


def fields_of_struct(name: str) -> list[str]:
    return re.findall(r"^    pub (\w+):", body_of("struct", name), re.M)


def variants_of_enum(name: str) -> dict[str, list[str]]:
    """The variants, each with the names of its fields."""
    variants: dict[str, list[str]] = {}
    for line in body_of("enum", name).splitlines():
        if variant := re.match(r"    ([A-Z]\w*)", line):
            variants[variant[1]] = []
        elif inner := re.match(r"        (\w+):", line):
            variants[next(reversed(variants))].append(inner[1])
    return variants


def snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def names_of(cls: type) -> list[str]:
    return [field.name.rstrip("_") for field in dataclasses.fields(cls)]


def members(union: Any) -> Iterator[Any]:
    """The classes and strings of a union."""
    match typing.get_args(union):
        case ():
            yield union
        case arguments:
            for one in arguments:
                yield from members(one)


@pytest.mark.parametrize("name", STRUCTS)
def test_a_dataclass_has_the_fields_of_its_struct(name: str) -> None:
    assert sorted(names_of(STRUCTS[name])) == sorted(fields_of_struct(name))


@pytest.mark.parametrize("name", TAGS)
def test_a_tag_has_the_names_of_its_enum(name: str) -> None:
    theirs = {snake(variant) for variant in variants_of_enum(name)}
    ours = {member.lower() if isinstance(member, str) else snake(member.__name__)
            for member in members(TAGS[name])}  # fmt: skip
    match name:
        case "Malformed":
            assert {f"malformed_{one}" for one in theirs} == {
                one for one in ours if one.startswith("malformed_")
            }
        case "Rejected":
            assert theirs - {"malformed"} == {
                one for one in ours if not one.startswith("malformed_")
            }
        case _:
            assert ours == theirs


@pytest.mark.parametrize("name", UNIONS)
def test_a_union_has_the_variants_of_its_enum(name: str) -> None:
    ours = {member.__name__: sorted(names_of(member)) for member in members(UNIONS[name])}
    theirs = variants_of_enum(name)
    assert ours == {variant: sorted(fields) for variant, fields in theirs.items()}


def test_messages_are_the_core_s() -> None:
    """Each of the wire's enums and structs, field by field."""
    methods = {one.__name__: sorted(names_of(one)) for one in members(wire.Method)}
    assert methods == {name: sorted(of) for name, of in variants_of_enum("Method").items()}
    for name, python in (
        ("Message<'a>", wire.Message),
        ("Query<'a>", wire.Query),
        ("Response<'a>", wire.Response),
        ("Samples<'a>", wire.Samples),
        ("NodeInfo", wire.NodeInfo),
        ("Peer", wire.Peer),
    ):
        assert sorted(names_of(python)) == sorted(fields_of_struct(name)), name
    # The code is said as its name and its number.
    assert set(names_of(wire.Failure)) - {"number"} == set(fields_of_struct("Failure<'a>"))


def test_changes_are_the_core_s() -> None:
    ours = {member.__name__: sorted(names_of(member)) for member in members(kadlet.Change)}
    theirs = variants_of_enum("StoreChange")
    lost = {"Lost": "RecordsLost"}
    expected = {lost.get(name, f"Record{name}"): sorted(of) for name, of in theirs.items()}
    assert ours == {**expected, "Contacts": []}
    assert set(variants_of_enum("Change")) == {"Record", "Contacts"}


def test_defaults_are_the_core_s() -> None:
    assert kadlet.Config() == _native.default_config()


def test_every_setting_reaches_the_core() -> None:
    """Each is changed in turn: it comes back changed, and nothing else does."""

    def changed(value: Any) -> Iterator[Any]:
        match value:
            case bool():
                yield not value
            case int() | float():
                yield type(value)(value + 1)
            case None:
                yield kadlet.Rate(3, 10)
            case "public" | "auto" | "ignore":
                yield {"public": "everybody", "auto": "server", "ignore": "prefer"}[value]
            case "kadlet":
                yield from ("other", None)
            case _:
                for field in dataclasses.fields(value):
                    for other in changed(getattr(value, field.name)):
                        yield dataclasses.replace(value, **{field.name: other})

    seen = 0
    for config in changed(kadlet.Config()):
        node = kadlet.Node(config, bytes(20), bytes(32), 0.0)
        assert node.config() == config
        seen += 1
    assert seen > 80


def rust_verbs(of: str = "Node") -> dict[str, list[str]]:
    """The public functions of a type of the core, with their arguments."""
    verbs: dict[str, list[str]] = {}
    for text in sources():
        for block in re.findall(rf"^impl {of} \{{\n(.*?)^\}}", text, re.M | re.S):
            for verb, arguments in re.findall(
                r"^    pub (?:const )?fn (\w+)\((.*?)\)(?: ->|\s*\{)", block, re.M | re.S
            ):
                verbs[verb] = re.findall(r"(\w+): ", arguments)
    return verbs


# Structs that Rust takes whole, and Python field by field.
SPREAD = {"query": "GetQuery", "announcement": "Announcement", "options": "PutOptions"}


def test_the_verbs_are_the_core_s() -> None:
    """A verb or an argument that is added, renamed or dropped on one side alone does not pass."""
    theirs = rust_verbs()
    ours = {name for name in vars(kadlet.Node) if not name.startswith("_")}
    assert ours | {"new"} == set(theirs)
    for verb, arguments in theirs.items():
        if verb == "search":
            # A SearchQuery is what the words are parsed into.
            expected = ["now", "query"]
        else:
            expected = [
                name
                for argument in arguments
                for name in (
                    fields_of_struct(SPREAD[argument]) if argument in SPREAD else [argument]
                )
            ]
        python = kadlet.Node if verb == "new" else getattr(kadlet.Node, verb)
        given = [name for name in inspect.signature(python).parameters if name != "self"]
        renamed = {"id": "operation"} if verb == "operation" else {}
        if verb == "poll_event":
            # What is not wanted need not be made for Python.
            expected = ["skip"]
        renamed |= {"data": "datagram", "bytes": {"restore": "state"}.get(verb, "record")}
        expected = [renamed.get(name, name) for name in expected]
        assert sorted(given) == sorted(expected), verb


@pytest.mark.parametrize("name", VERBS)
def test_the_verbs_of_parts_are_the_core_s(name: str) -> None:
    python, without = VERBS[name]
    ours = {verb for verb in vars(python) if not verb.startswith("_")}
    assert ours | without == set(rust_verbs(name))
    assert ours.isdisjoint(without)


def test_what_becomes_of_a_contact_is_the_core_s() -> None:
    admissions = set(variants_of_enum("Admission")) - {"Refused"} | set(variants_of_enum("Refusal"))
    assert {snake(one) for one in admissions} == set(members(kadlet.Admission))
    # With a number and with a contact.
    words = {snake(one) for one in variants_of_enum("Failure")} - {"counted", "replaced"}
    assert words | {int, kadlet.Contact} == set(members(kadlet.TableFailure))


def test_the_kinds_of_a_rejection_are_the_core_s() -> None:
    kinds = typing.get_args(typing.get_type_hints(content.Rejection)["kind"])
    assert set(kinds) == {snake(variant) for variant in variants_of_enum("Rejection")}


def test_the_stub_has_the_same_verbs() -> None:
    stub = Path(kadlet.__file__).with_name("_native.pyi").read_text("utf-8")
    classes = re.findall(r"^class (\w+):\n(.*?)(?=^\S|\Z)", stub, re.M | re.S)
    assert {name for name, _ in classes} == {
        name for name, value in vars(_native).items() if isinstance(value, type)
    }
    for name, body in classes:
        verbs = set(re.findall(r"    def ([a-z]\w+)", body))
        assert verbs == {verb for verb in vars(getattr(_native, name)) if not verb.startswith("_")}


def test_everything_public_in_the_core_is_offered_or_has_a_reason() -> None:
    public: set[str] = set()
    for file in ("lib.rs", "content.rs"):
        text = (CORE / file).read_text("utf-8")
        for items in re.findall(r"^pub use [\w:]+::(?:\{([^}]*)\}|(\w+);)", text, re.M):
            public |= set(re.findall(r"\w+", " ".join(items)))
    ours = [STRUCTS, TAGS, UNIONS, OFFERED, SPOKEN_OTHERWISE]
    known = {name for table in ours for name in table}
    known |= {name for part in PARTS.values() for name in part.split()}
    known |= set(CONTENT)
    assert public - known == set(), "not offered, and no reason said"
    in_modules = {
        name for name in known - public if not any(re.search(rf"\b(struct|enum|fn) {name}\b", source)
                                                   for source in sources())
    }  # fmt: skip
    assert in_modules == set(), "the core has these no more"


def test_all_names_what_there_is() -> None:
    named = set(kadlet.__all__)
    assert all(hasattr(kadlet, name) for name in named)
    there = {
        n for n, v in vars(kadlet).items() if not n.startswith("_") and not inspect.ismodule(v)
    }
    assert there - named == set()


def test_errors_go_to_other_processes_and_back() -> None:
    result = kadlet.PutResult(kadlet.Id(bytes(20)), 1, 2, (), 3)
    lies = content.Rejection("wrong_piece", "gave wrong bytes for piece 3", True)
    arguments: dict[type, tuple[Any, ...]] = {
        kadlet.QueryTimeout: ("the time was up", result),
        kadlet.RefusedError: ("every holder refused", "cas_mismatch", 7),
        kadlet.StaleSequence: ("a newer value is stored", "stale_sequence", 7),
        kadlet.QuorumError: ("1 took it, 2 were asked for", result),
        kadlet.ValueTooLarge: (897, 896),
        kadlet.BootstrapError: ((kadlet.Attempt("a:1", ("10.0.0.1", 1), "timeout"),),),
        kadlet.NoProvidersError: ({"10.0.0.1:1": lies},),
    }
    kinds: list[type] = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    kinds = [kind for kind in kinds if issubclass(kind, kadlet.DhtError)]
    assert len(kinds) > 10 and arguments.keys() <= set(kinds)
    for kind in kinds:
        error: kadlet.DhtError = kind(*arguments.get(kind, ("the message",)))
        again = pickle.loads(pickle.dumps(error))
        assert again.args == error.args and vars(again) == vars(error), kind
        assert type(again) is kind and str(again) == str(error), kind
