"""The DNS records of a mail domain: MX, SPF, DKIM, DMARC, and the names of its servers' addresses.

Lookups go through dnspython's asynchronous resolver. A lookup without an answer is recorded and raises nothing.
"""

import asyncio
import contextlib
import ipaddress
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

import dns.asyncresolver
import dns.exception
import dns.resolver
import dns.reversename

from imsg_smtp.mail_setup import DkimPublic, MailSetup

LOOKUP_S = 3.0
"""How long one lookup may take, with all name servers and repeats."""

TOTAL_S = 5.0
"""How long a resolver asks: SPF needs one lookup after another, and later ones count as not answered."""

MAX_SPF_LOOKUPS = 10
"""RFC 7208, 4.6.4: a record that needs more is an error for the receiver."""

MAX_SPF_DEPTH = 10

MAX_ADDRESSES = 4
"""How many addresses of a server are looked up by PTR."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Mx:
    """The MX records of a domain, by preference."""

    domain: str
    hosts: Sequence[str]
    unanswered: Sequence[str]

    @property
    def accepts_mail(self) -> bool:
        """Whether the domain has a mail server; a null MX (RFC 7505) says that it has none."""
        return bool(self.hosts) and list(self.hosts) != ["."]


@dataclass(slots=True)
class Spf:
    """The SPF record of a domain, with what it includes; `fault` says why receivers ignore it."""

    records: list[str] = field(default_factory=list)
    fault: str = ""
    lookups: int = 0
    end: str = ""
    """The last term: `-all`, `~all`, `?all`, `+all`, or nothing."""
    networks: list[Network] = field(default_factory=list)
    unanswered: Sequence[str] = ()

    @property
    def is_valid(self) -> bool:
        """Whether receivers evaluate the record."""
        return bool(self.records) and not self.fault

    def covers(self, address: IpAddress) -> bool:
        """Return whether mail from this address passes."""
        return any(address in network for network in self.networks if network.version == address.version)


@dataclass(frozen=True, slots=True)
class DkimRecord:
    """The record of a key: its public part, empty if revoked, None if there is no record."""

    public: str | None
    kind: str = "rsa"
    """The record's `k` (RFC 6376, 3.6.1; RFC 8463)."""
    texts: Sequence[str] = ()
    """All records of this kind."""
    unanswered: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The DMARC record and the domain that has it; `policy` is empty if there is none."""

    at: str = ""
    policy: str = ""
    record: str = ""
    strict_spf: bool = False
    unanswered: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """An address of a mail server with its PTR name, and whether that name resolves to the address again."""

    address: str
    name: str = ""
    resolves_back: bool = False


@dataclass(frozen=True, slots=True)
class ServerAddresses:
    """The addresses of a mail server, at most MAX_ADDRESSES."""

    rows: Sequence[ServerAddress] = ()
    unanswered: Sequence[str] = ()

    @property
    def are_private(self) -> bool:
        """Whether none of them is reachable from the internet."""
        return all(not ipaddress.ip_address(row.address).is_global for row in self.rows)


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """Everything that DNS says about a sender's domain. Each record lists the lookups of its own without an answer."""

    domain: str
    mx: Mx
    spf: Spf
    dkim: Sequence[DkimRecord]
    dmarc: Dmarc
    servers: Mapping[str, ServerAddresses]
    """By their names."""

    @property
    def unanswered(self) -> list[str]:
        """All lookups without an answer."""
        keys = [name for record in self.dkim for name in record.unanswered]
        servers = [name for server in self.servers.values() for name in server.unanswered]
        return [*self.mx.unanswered, *self.spf.unanswered, *keys, *self.dmarc.unanswered, *servers]

    def covers(self, host: str) -> bool:
        """Return whether the SPF record allows one of a server's addresses."""
        return any(self.spf.covers(ipaddress.ip_address(row.address)) for row in self.servers[host].rows)


@dataclass(frozen=True, slots=True)
class BounceFacts:
    """What DNS says about a domain that bounces are sent to."""

    domain: str
    mx: Mx
    spf: Spf


class Resolver:
    """Looks up names; keeps a list of the lookups that got no answer."""

    def __init__(self, nameserver: str | None = None, port: int = 53) -> None:
        """`nameserver` None takes those of this machine."""
        self.unanswered: list[str] = []
        self._ends_at = time.monotonic() + TOTAL_S
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=nameserver is None)
        except dns.resolver.NoResolverConfiguration:  # this machine names no server: no lookup is answered
            self._resolver = dns.asyncresolver.Resolver(configure=False)
        if nameserver is not None:
            self._resolver.nameservers = [nameserver]
            self._resolver.port = port
        self._resolver.lifetime = LOOKUP_S

    async def resolve(self, name: str, kind: str) -> list[str]:
        """Return the answers as text: a TXT record's strings joined, names without their last dot."""
        answer: dns.resolver.Answer | None = None
        if time.monotonic() > self._ends_at:
            self.unanswered.append(f"{kind} {name}")
            return []
        try:
            answer = await self._resolver.resolve(name, kind, raise_on_no_answer=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            pass
        except (dns.exception.DNSException, OSError, ValueError):
            self.unanswered.append(f"{kind} {name}")
        return [] if answer is None or answer.rrset is None else _read_texts(answer, kind)

    async def resolve_addresses(self, name: str) -> list[str]:
        """Return the IPv4 and IPv6 addresses of a name."""
        v4, v6 = await asyncio.gather(self.resolve(name, "A"), self.resolve(name, "AAAA"))
        return [*v4, *v6]

    def fork(self) -> "Resolver":
        """Return a resolver with the same name servers and a list of its own."""
        forked = copy(self)
        forked.unanswered = []
        return forked


def _read_texts(answer: dns.resolver.Answer, kind: str) -> list[str]:
    match kind:
        case "TXT":
            # Servers answer in any order.
            return sorted(_clean(b"".join(row.strings).decode("utf-8", "replace")) for row in answer)
        case "MX":
            rows = sorted(answer, key=lambda row: int(row.preference))
            return [str(row.exchange).rstrip(".").lower() or "." for row in rows]
        case "PTR":
            return [str(row.target).rstrip(".").lower() for row in answer]
    return [str(row.address) for row in answer]


def _clean(text: str) -> str:
    """Return a record's text without what a terminal or a page can't show: it may come from a stranger."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


async def find_facts(setup: MailSetup, resolver: Resolver) -> DomainFacts:
    """Return the DNS records of a sender's domain, its servers and its keys, all looked up at once."""
    keys = asyncio.gather(*(_find_dkim(key, resolver.fork()) for key in setup.keys))
    servers = asyncio.gather(*(_find_server(host, resolver.fork()) for host in setup.hosts))
    mx, spf, dmarc, dkim, addresses = await asyncio.gather(
        find_mx(setup.domain, resolver),
        find_spf(setup.domain, resolver),
        find_dmarc(setup.domain, resolver),
        keys,
        servers,
    )
    return DomainFacts(setup.domain, mx, spf, dkim, dmarc, dict(zip(setup.hosts, addresses, strict=True)))


async def find_bounce_facts(domain: str, resolver: Resolver) -> BounceFacts:
    """Return the MX and SPF records of a domain."""
    mx, spf = await asyncio.gather(find_mx(domain, resolver), find_spf(domain, resolver))
    return BounceFacts(domain, mx, spf)


async def find_mx(domain: str, resolver: Resolver) -> Mx:
    """Return the mail servers of a domain."""
    resolver = resolver.fork()
    hosts = await resolver.resolve(domain, "MX")
    return Mx(domain, hosts, resolver.unanswered)


async def find_spf(domain: str, resolver: Resolver) -> Spf:
    """Read the SPF record and everything that it includes (RFC 7208), with at most MAX_SPF_LOOKUPS."""
    resolver = resolver.fork()
    spf = Spf(records=await _find_spf_records(domain, resolver), unanswered=resolver.unanswered)
    if len(spf.records) > 1:
        spf.fault = "several"
    elif spf.records:
        await _evaluate(spf, spf.records[0], domain, resolver, 0)
        if spf.lookups > MAX_SPF_LOOKUPS:
            spf.fault = "lookups"
    return spf


async def _find_spf_records(domain: str, resolver: Resolver) -> list[str]:
    texts = await resolver.resolve(domain, "TXT")
    return [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]


async def _evaluate(spf: Spf, record: str, domain: str, resolver: Resolver, depth: int) -> None:
    for word in record.split()[1:]:
        if depth > MAX_SPF_DEPTH or spf.lookups > MAX_SPF_LOOKUPS:
            return
        qualifier, term = (word[0], word[1:]) if word[0] in "+-~?" else ("+", word)
        name, _, value = term.partition(":" if ":" in term else "=")
        name = name.partition("/")[0].lower()
        passes = qualifier == "+"
        match name:
            case "all" if depth == 0:
                spf.end = f"{qualifier}all"
            case "ip4" | "ip6":
                with contextlib.suppress(ValueError):
                    network = ipaddress.ip_network(value, strict=False)
                    spf.networks += [network] if passes else []
            case "a" | "mx":
                spf.lookups += 1
                await _add_hosts(spf, name, (value.partition("/")[0] or domain) if passes else "", resolver)
            case "include" | "redirect":
                spf.lookups += 1
                included = await _find_spf_records(value, resolver) if value and "%" not in value else []
                if not included and value and "%" not in value:
                    spf.fault = spf.fault or f"include {value}"
                if included:
                    await _evaluate(spf, included[0], value, resolver, depth if name == "redirect" else depth + 1)
            case "ptr" | "exists":
                spf.lookups += 1


async def _add_hosts(spf: Spf, kind: str, domain: str, resolver: Resolver) -> None:
    if not domain or "%" in domain:
        return
    hosts = [domain] if kind == "a" else (await resolver.resolve(domain, "MX"))[:10]
    for addresses in await asyncio.gather(*(resolver.resolve_addresses(host) for host in hosts)):
        spf.networks += [ipaddress.ip_network(address) for address in addresses]


async def find_dmarc(domain: str, resolver: Resolver) -> Dmarc:
    """Return the DMARC record of the domain, or of the nearest domain above (the tree walk of RFC 9989)."""
    resolver = resolver.fork()
    labels = domain.split(".")
    for level in range(max(1, len(labels) - 1)):
        at = ".".join(labels[level:])
        texts = await resolver.resolve(f"_dmarc.{at}", "TXT")
        records = [text for text in texts if text.lower().startswith("v=dmarc1")]
        if len(records) == 1:
            tags = {name.lower(): value.lower() for name, value in _read_tags(records[0]).items()}
            policy = tags.get("p", "none")
            policy = tags.get("sp", policy) if level else policy
            return Dmarc(at, policy, records[0], tags.get("aspf") == "s", resolver.unanswered)
    return Dmarc(unanswered=resolver.unanswered)


async def _find_dkim(key: DkimPublic, resolver: Resolver) -> DkimRecord:
    """Read the record of a key; text that receivers reject (RFC 6376, 3.6.1) is no record."""
    texts = await resolver.resolve(key.at, "TXT")
    for text in texts:
        tags = _read_tags(text)
        public = "".join(tags.get("p", "-").split())
        if tags.get("v", "DKIM1") == "DKIM1" and _is_base64(public):
            return DkimRecord(public, tags.get("k", "rsa").lower(), texts)
    return DkimRecord(None, texts=texts, unanswered=resolver.unanswered)


def _read_tags(record: str) -> dict[str, str]:
    """Read `name=value; name=value`, the form of DKIM and DMARC records."""
    pairs = (tag.partition("=") for tag in record.split(";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except Base64Error:
        return False
    return True


async def _find_server(host: str, resolver: Resolver) -> ServerAddresses:
    try:
        addresses = [str(ipaddress.ip_address(host))]
    except ValueError:
        addresses = await resolver.resolve_addresses(host)
    rows = await asyncio.gather(*(_find_name(address, resolver) for address in addresses[:MAX_ADDRESSES]))
    return ServerAddresses(rows, resolver.unanswered)


async def _find_name(address: str, resolver: Resolver) -> ServerAddress:
    names = await resolver.resolve(dns.reversename.from_address(address).to_text(), "PTR")
    if not names:
        return ServerAddress(address)
    back = await resolver.resolve_addresses(names[0])
    return ServerAddress(address, names[0], address in back)
