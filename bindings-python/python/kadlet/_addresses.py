"""From what a person types to addresses, with the reason where that fails."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

from ._types import Address, Family, PeerFailure

RESOLVE_TIMEOUT = 5.0
"""Longest wait for the resolver of the system, seconds: its own patience can be half a minute."""

ADDRESSES_A_NAME = 8
"""At most so many addresses of one name are tried; a name with more is a round robin."""

Source: TypeAlias = IPv4Network | IPv6Network
"""Whoever has one address of it may have them all."""

LOCAL = [
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
]
"""Loopback and private networks."""

EXPECTED = "expected HOST:PORT, such as 192.168.1.5:4000, [fd00::1]:4000 or node.example:4000"

AttemptResult: TypeAlias = Literal[
    "answered",
    "timeout",
    "unreachable",
    "other_network",
    "ourselves",
    "not_a_node",
    "unresolved",
    "out_of_reach",
]

WORDS: dict[AttemptResult, str] = {
    "answered": "answered",
    "timeout": "did not answer",
    "unreachable": "cannot be reached",
    "other_network": "is a node of another network",
    "ourselves": "is this node itself",
    "not_a_node": "gave no answer that a node would give",
    "unresolved": "cannot be resolved",
    "out_of_reach": "is out of reach of the address that this node is bound to",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one address that a node was told to start from."""

    given: str
    """As given."""
    address: Address | None
    """The address behind it, once resolved."""
    result: AttemptResult
    """What happened there."""
    detail: str = ""
    """The resolver's words."""

    def __str__(self) -> str:
        at = f" ({text_of(self.address)})" if self.address else ""
        at = "" if at == f" ({self.given})" else at
        return f"{self.given}{at} {WORDS[self.result]}" + (self.detail and f": {self.detail}")


def result_of(failure: PeerFailure) -> AttemptResult:
    """The word for a failure of an address."""
    match failure:
        case "timeout" | "other_network" | "ourselves":
            return failure
        case "path_failed":
            return "unreachable"
        case _:
            return "not_a_node"


def text_of(address: Address) -> str:
    """An address as people type it."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def family_of(address: Address) -> Family:
    """The family of an address."""
    return "ipv6" if ":" in address[0] else "ipv4"


def split(text: str, what: str, *, any_port: bool = False) -> tuple[str, int]:
    """Host and port of a text; port 0 is one only where the system is to choose it."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str HOST:PORT, this is {type(text).__name__}")
    host, colon, digits = text.rpartition(":")
    problem = ""
    if not colon:
        problem = "the port is missing"
    elif not (digits.isascii() and digits.isdigit() and int(digits) <= 65_535):
        problem = f"the port is no number from {0 if any_port else 1} to 65535"
    elif int(digits) == 0 and not any_port:
        problem = "no node can be at port 0"
    elif host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        problem = "" if is_ip(host) and ":" in host else "this is no IPv6 address"
    elif not host:
        problem = "the host is missing"
    elif ":" in host:
        problem = "an IPv6 address is written in brackets"
    elif not re.fullmatch(r"[\w.-]{1,253}", host):
        problem = "the host is no name and no address"
    elif re.fullmatch(r"[0-9.]+", host) and not is_ip(host):
        # Digits and dots alone are an address with a slip in it; no resolver should be asked.
        problem = "this is no IPv4 address"
    if not problem and not any_port and is_ip(host) and not is_usable(host):
        problem = "no node can be at this address"
    if problem:
        raise ValueError(f"{text!r}: {problem}; {EXPECTED}")
    return host, int(digits)


def is_ip(host: str) -> bool:
    """Whether it is an address already."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_usable(host: str) -> bool:
    """Whether a node can be at this address."""
    ip = ip_address(host)
    return not (ip.is_unspecified or ip.is_multicast or host == "255.255.255.255")


def source_of(host: str) -> Source | None:
    """Under what those of one source are counted: an IPv4 /24 or an IPv6 /48, as the network itself
    counts its peers. None in loopback and private networks, where one prefix is everybody.
    """
    ip = ip_address(host.partition("%")[0])
    ip = ip.version == 6 and ip.ipv4_mapped or ip
    if any(ip in network for network in LOCAL):
        return None
    return ip_network((ip, 24 if ip.version == 4 else 48), strict=False)


def numeric(host: str, port: int) -> Address:
    """The `socket` module's form of an address; asks nobody."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    return _plain(found[0][4])


async def resolve(host: str, port: int) -> tuple[list[Address], str]:
    """The addresses behind a name, or why there are none. The loop runs on meanwhile."""
    if is_ip(host):
        return [numeric(host, port)], ""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except TimeoutError:
        return [], "the name server does not answer"
    except (OSError, UnicodeError) as error:
        return [], str(error)
    addresses = dict.fromkeys(_plain(address) for *_, address in found)
    usable = [address for address in addresses if is_usable(address[0])][:ADDRESSES_A_NAME]
    return usable, "" if usable else "the name has no address at which a node could be"


def _plain(address: tuple[object, ...]) -> Address:
    """As the core gives it back: the scope as a number alone."""
    match address:
        case (str(host), int(port), int(flow), int(scope)):
            return (host.partition("%")[0], port, flow, scope)
        case (str(host), int(port)):
            return (host, port)
        case _:
            raise ValueError(f"{address} is no address of IPv4 or IPv6")
