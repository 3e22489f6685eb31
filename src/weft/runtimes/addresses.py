"""Which network addresses nobody may be sent to by data.

A URL may come from a response or an issue. It must not reach what only this machine can reach and what hands
out keys: the metadata services of the clouds, which live on link-local and a few other addresses. Loopback
and private networks are where people's own services are, and allowed.

The check is on the address that is really connected to, after the name was resolved: a name, a decimal or an
octal spelling are all the same by then. What remains are IPv6 addresses that carry an IPv4 one inside
(mapped, NAT64, 6to4, Teredo): they are unwrapped first. The ranges are written out, because what `ipaddress`
calls global or reserved differs from one Python to the next, and is wrong for the wrapped forms.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_REFUSED: tuple[tuple[str, str], ...] = (
    ("169.254.0.0/16", "link-local (where clouds keep their metadata)"),
    ("fe80::/10", "link-local"),
    ("100.100.100.200/32", "a metadata service"),
    ("192.0.0.192/32", "a metadata service"),
    ("168.63.129.16/32", "a metadata service"),
    ("fd00:ec2::/32", "a metadata service"),
    ("fd20:ce::254/128", "a metadata service"),
    ("fd00:42::42/128", "a metadata service"),
    ("0.0.0.0/8", "unspecified"),
    ("::/128", "unspecified"),
    ("224.0.0.0/4", "multicast"),
    ("ff00::/8", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("192.0.0.0/24", "reserved"),
    ("100::/64", "reserved"),
)

# where an IPv4 address is found inside an IPv6 one: the network, and the bits to its right
_WRAPPED: tuple[tuple[str, int], ...] = (
    ("::ffff:0:0/96", 0),
    ("::ffff:0:0:0/96", 0),
    ("::/96", 0),
    ("64:ff9b::/96", 0),
    ("2002::/16", 80),
)
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


@lru_cache(maxsize=1)
def _tables() -> tuple[list[tuple[IPv4Network | IPv6Network, str]], list[tuple[IPv6Network, int]]]:
    refused = [(ip_network(text), reason) for text, reason in _REFUSED]
    return refused, [(IPv6Network(text), shift) for text, shift in _WRAPPED]


def refusal(text: str) -> str | None:
    """Why nothing may connect to the IP address `text`, None when it may. What is no IP address is refused."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "no IP address"
    for candidate in (address, *inner(address)):
        for network, reason in _tables()[0]:
            if candidate.version == network.version and candidate in network:
                return reason
    return None


def inner(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may stand for."""
    if isinstance(address, IPv4Address) or address == IPv6Address("::1"):
        return []
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    found = [IPv4Address(number >> shift & 0xFFFFFFFF) for network, shift in _tables()[1] if address in network]
    if address in _NAT64_LOCAL:  # either /96 or /48 (RFC 6052, 2.2); the unused one is zeros
        split = IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
        found += [candidate for candidate in (low, split) if int(candidate)] or [low]
    if address in _TEREDO:
        found += [IPv4Address(number >> 64 & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF)]
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        found.append(low)
    return found
