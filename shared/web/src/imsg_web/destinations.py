"""The addresses that iMSG may connect to where a user or an administrator names the host.

Whoever names a host must not reach this server's internal networks by it (SSRF), except those that the operator allows.
`ipaddress.is_global` is not enough: it accepts multicast, NAT64, 6to4 and others.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import BaseModel

from imsg_web.http_pool import PORTS, NotSent, Proxy, Resolve
from imsg_web.http_pool import resolve as resolve_by_system

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOKUP_TIMEOUT_S = 5.0


def _read(*networks: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in networks)


FORBIDDEN_NETWORKS = _read(
    "169.254.0.0/16", "fe80::/10",
    "100.100.100.200/32", "100.96.0.96/32", "168.63.129.16/32", "192.0.0.192/32",
    "fd00:ec2::254/128", "fd20:ce::254/128", "fd00:42::42/128",
)  # fmt: skip
"""Link-local addresses, and those at which clouds give a machine its credentials. No setting allows them."""

INTERNAL_NETWORKS = _read(
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20",
    "5f00::/16", "fc00::/7", "fec0::/10", "ff00::/8",
)  # fmt: skip
"""IANA's special-purpose registries, without the prefix of NAT64: what it leads to is judged."""

EMBEDDING_NETWORKS = _read("::/96", "::ffff:0:0/96", "64:ff9b::/96")
"""IPv6 addresses that end in an IPv4 one: compatible, mapped, and translated by NAT64."""

FORBIDDEN = "the host has a link-local address, or one at which a cloud gives out credentials: it may not be called"


class AddressForbidden(NotSent):
    """The host has an address that may not be connected to. The text names no address."""


class HostUnresolved(OSError):  # noqa: N818  named for the outcome
    """The host has no address, or its name servers do not answer."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The addresses that may be connected to."""

    allowed: tuple[Network, ...]
    """The operator's networks: allowed beside public addresses, at any port."""
    caller: str
    """Who may not reach other internal addresses, as the refusal names it."""
    setting: str
    """The environment variable that allows them."""
    hosts: frozenset[tuple[str, int]] = frozenset()
    """Hosts with their ports that settings of this machine name."""
    ports: Collection[int] = ()
    """The ports of public addresses; empty: all."""

    def find_objection(self, host: str, address: str, port: int) -> str | None:
        """Return why an address of a host may not be connected to, without naming it; None if it may.

        Whoever named the host reads the reason, and must not learn which address it has.
        """
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "the host has no address that can be called"
        forms = {parsed, unwrap(parsed)}
        if _are_in(forms, FORBIDDEN_NETWORKS):
            return FORBIDDEN
        if (host, port) in self.hosts or _are_in(forms, self.allowed):
            return None
        if _are_in(forms, INTERNAL_NETWORKS):
            return f"the host is inside a network that {self.caller} may not reach ({self.setting})"
        if self.ports and port not in self.ports:
            return (
                f"port {port} may not be called: only {' and '.join(map(str, self.ports))} may, outside {self.setting}"
            )
        return None


INSIDE = AddressPolicy(_read("0.0.0.0/0", "::/0"), "", "")
"""For mail servers: a relay may be inside, so everything is allowed that is not forbidden to everybody."""


def read_networks(networks: Sequence[str]) -> tuple[Network, ...]:
    """Parse the networks of a setting."""
    return _read(*networks)


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that is embedded in an IPv6 one (`::ffff:127.0.0.1`); any other address unchanged."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            return address.sixtofour
        if _are_in((address,), EMBEDDING_NETWORKS):
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _are_in(addresses: Iterable[Address], networks: Iterable[Network]) -> bool:
    return any(address in network for address in addresses for network in networks)


def list_hosts(settings: object) -> frozenset[tuple[str, int]]:
    """Return the hosts of all URLs in settings, with their ports."""
    return frozenset(_find_hosts(settings))


def _find_hosts(value: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401  any settings
    match value:
        case str() if value.startswith(("http://", "https://")):
            try:
                parts = urlsplit(value)
                yield parts.hostname or "", parts.port or PORTS[parts.scheme]
            except ValueError:
                return
        case BaseModel():
            for name in type(value).model_fields:
                yield from _find_hosts(getattr(value, name))
        case Mapping():
            for member in value.values():
                yield from _find_hosts(member)
        case tuple() | list():
            for member in value:
                yield from _find_hosts(member)


class CheckedResolver:
    """Resolves a host and checks each of its addresses: connect to these, and to no others (against DNS rebinding)."""

    def __init__(self, policy: AddressPolicy, look_up: Resolve = resolve_by_system) -> None:
        self._policy = policy
        self._look_up = look_up

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host. Raises AddressForbidden if one may not be called, and HostUnresolved.

        Users read these errors, which therefore name no address and no port of the internal network.
        """
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                addresses = await self._look_up(host, port)
        except TimeoutError as error:  # a subclass of OSError
            raise HostUnresolved(f"{host} can't be resolved: no answer within {LOOKUP_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise HostUnresolved(f"{host} can't be resolved") from error
        if not addresses:
            raise HostUnresolved(f"{host} has no address")
        for address in addresses:
            if objection := self._policy.find_objection(host, address, port):
                raise AddressForbidden(objection)
        return addresses


def find_proxies(policy: AddressPolicy) -> Callable[[str, str], str | None]:
    """Return what finds the URL of the environment's proxy (`HTTPS_PROXY`, `NO_PROXY` …, as in curl), if there is one.

    A name is resolved by the proxy, which the operator has chosen; a host that is an address itself is checked here:
    that raises AddressForbidden.
    """
    proxies = getproxies()

    def find(scheme: str, host: str) -> str | None:
        url = proxies.get(scheme, proxies.get("all"))
        if url is None or proxy_bypass(host):
            return None
        try:
            infos = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
        except OSError:
            return url
        ports = {port for name, port in policy.hosts if name == host} or {PORTS[scheme]}
        for info in infos:
            if objection := policy.find_objection(host, str(info[4][0]), next(iter(ports))):
                raise AddressForbidden(objection)
        return url

    return find


def find_pool_proxy(policy: AddressPolicy) -> Callable[[str, str], Proxy | None]:
    """Return what finds the environment's proxy for an `HttpPool`. It raises NotSent."""
    find = find_proxies(policy)

    def find_proxy(scheme: str, host: str) -> Proxy | None:
        url = find(scheme, host)
        return None if url is None else Proxy.read(url)

    return find_proxy
