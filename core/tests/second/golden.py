"""The golden files of this draft: every line of them is what this implementation says, too."""

import ipaddress
from pathlib import Path

import ed25519
import records
import wire

FOLDER = Path(__file__).parent.parent / "golden" / "draft-1"
PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"


def cases(name):
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def at(address):
    ip = str(ipaddress.ip_address(address.ip))
    return f"{ip}:{address.port}" if len(address.ip) == 4 else f"[{ip}]:{address.port}"


def node(node):
    return f"{node.id.hex()}@{at(node.address)}/{node.capabilities}"


def entry(entry):
    return f"{entry.name.encode().hex()}/{entry.size}/{entry.content.hex()}/{entry.extra.hex()}"


def provider(provider):
    return f"{at(provider.address)}/{provider.transports}"


SHOWN = {
    "observed": at,
    "address": at,
    "origin": node,
    "entry": entry,
    "words": lambda words: words.encode().hex(),
    "nonce": lambda nonce: int.from_bytes(nonce, "big"),
    "nodes": lambda nodes: ",".join(map(node, nodes)),
    "hits": lambda hits: ",".join(map(entry, hits)),
    "providers": lambda providers: ",".join(map(provider, providers)),
}


def said(message):
    """What a message says, in the words of datagrams.txt; in any order."""
    kind = ("query", "response", "error")[message.kind]
    words = [kind, str(message.method), f"transaction={message.transaction.hex()}", f"sender={message.sender.hex()}"]
    words += ["client"] if message.flags & wire.CLIENT else []
    if message.kind == wire.RESPONSE:
        words += ["unsupported"] if message.flags & wire.UNSUPPORTED else []
        words += ["short"] if message.flags & wire.SHORT else []
    words += ["unknown"] if message.unknown else []
    for name, value in message.used().items():
        if wire.ABSENT.get(name) == value:
            continue
        if isinstance(value, wire.Signed):
            parts = {
                "public_key": value.public_key,
                "signature": value.signature,
                "signed_seq": value.seq,
                "salt": value.salt,
                "value": value.value,
                "extra": value.extra,
            }
        elif isinstance(value, wire.Error):
            parts = {"code": value.code, "text": value.text.encode()}
        else:
            parts = {name: SHOWN[name](value) if name in SHOWN else value}
        for part, value in parts.items():
            words.append(f"{part}={value.hex() if isinstance(value, bytes) else value}")
    return words


def datagrams():
    network = records.network("example")
    wrong, count, reasons = [], 0, set()
    for name, raw, expected in cases("datagrams.txt"):
        count += 1
        raw = bytes.fromhex(raw)
        try:
            message = wire.decode(raw, network)
            found = said(message)
            if sorted(found) != sorted(expected.split(" ")):
                wrong.append(f"{name}: {' '.join(found)}, not {expected}")
            elif not name.startswith("later: ") and message.encode() != raw:
                wrong.append(f"{name}: written as {message.encode().hex()}")
        except wire.Refused as refused:
            reasons.add(refused.args[0])
            if f"none: {refused.args[0]}" != expected:
                wrong.append(f"{name}: {refused.args[0]}, not {expected}")
    return count, wrong


def check_value(value, key):
    return records.value_key(bytes.fromhex(value)).hex() == key


def check_signed(secret, salt, seq, value, extra, public, key, message, signature):
    salt, value, extra, seq = bytes.fromhex(salt), bytes.fromhex(value), bytes.fromhex(extra), int(seq)
    own_message = records.signed_message(seq, salt, value, extra)
    own_public, own_signature = ed25519.sign(bytes.fromhex(secret), own_message)
    return (
        own_message.hex() == message
        and own_public.hex() == public
        and own_signature.hex() == signature
        and records.signed_key(own_public, salt).hex() == key
        and ed25519.verify(own_public, own_signature, own_message)
        and not ed25519.verify(own_public, own_signature, own_message + b"x")
    )


def check_words(name, words):
    return " ".join(records.words(name)) == words


def check_keyword(word, key):
    return records.keyword_key(word).hex() == key


CHECKS = {"value": check_value, "signed": check_signed, "words": check_words, "keyword": check_keyword}


def record_vectors():
    wrong, count = [], 0
    for kind, *case in cases("records.txt"):
        count += 1
        if not CHECKS[kind](*case):
            wrong.append(f"{kind} {' '.join(case)}")
    return count, wrong


def samples():
    """The samples of the document are golden datagrams; their breakdown loses no byte."""
    known = {raw for _, raw, _ in cases("datagrams.txt")}
    wrong, blocks = [], PAGE.read_text(encoding="utf-8").split("```")
    blocks = [block for block in blocks if block.startswith("text\nfe4b")]
    for block in blocks:
        data = ""
        for line in block.splitlines()[1:]:
            digits, _, comment = line.strip().partition("  ")
            if digits.endswith("…"):  # the same byte again and again: the comment says how often
                data += digits[:2] * int(comment.split()[-2])
            elif not set(digits) - set("0123456789abcdef "):
                data += digits.replace(" ", "")
        if data not in known:
            wrong.append(f"no golden datagram: {data}")
    return len(blocks), wrong
