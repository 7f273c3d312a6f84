"""Keys, signatures and words: what nodes compute rather than read. From docs/protocol.md alone."""

import unicodedata

import ed25519
from blake3 import derive_key


def network(name):
    return derive_key("kadlet draft-1 network", name.encode())[:8]


def provider_key(content):
    return derive_key("kadlet draft-1 provider key", content)[:20]


def value_key(value):
    return derive_key("kadlet draft-1 value", value)[:20]


def signed_key(public_key, salt):
    return derive_key("kadlet draft-1 signed value", public_key + salt)[:20]


def keyword_key(word):
    return derive_key("kadlet draft-1 keyword", word.encode())[:20]


def signed_message(seq, salt, value, extra=b""):
    message = b"kadlet draft-1 signature" + bytes([len(salt)]) + salt
    return message + seq.to_bytes(8, "big") + len(value).to_bytes(2, "big") + value + extra


def verify(signed):
    message = signed_message(signed.seq, signed.salt, signed.value, signed.extra)
    return ed25519.verify(signed.public_key, signed.signature, message)


def words(name):
    """The different words of a name, in the order in which they appear."""
    found, word = [], ""
    for character in name + " ":
        # One by one: Python's lower() of a whole text looks at a final sigma's context.
        lowered = character.lower().replace("ς", "σ")
        lowered = "".join(c for c in lowered if not "\u0300" <= c <= "\u036f")
        if not lowered:
            continue
        if in_word(lowered[0]):
            word += lowered
        elif word:
            word = cut(word)
            if word not in found:
                found.append(word)
            word = ""
    return found[:32]


def in_word(c):
    # Python does not have the property Alphabetic, which some marks and symbols have as well: letters will do here.
    return c.isalpha() or unicodedata.category(c)[0] == "N"


def cut(word):
    return word.encode()[:32].decode(errors="ignore")


def longest(of):
    return max(of, key=lambda word: len(word.encode()))
