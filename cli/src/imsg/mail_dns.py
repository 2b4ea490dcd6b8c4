"""What DNS says of a domain that mail comes from: SPF, DKIM, DMARC, MX, and the names of its server's addresses."""

import asyncio
import contextlib
import ipaddress
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass, field

import dns.asyncresolver
import dns.exception
import dns.resolver
import dns.reversename

ANSWER_S = 3.0
"""How long one answer may take, all servers and repeats together."""

MAX_SPF_LOOKUPS = 10
"""RFC 7208, 4.6.4: one that needs more is an error to whoever checks it."""

MAX_SPF_DEPTH = 10

MAX_ADDRESSES = 4
"""Of the server, whose names are looked up."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class Spf:
    """What the SPF record comes to; `fault` names the one thing that makes it void."""

    records: list[str] = field(default_factory=list)
    fault: str = ""
    lookups: int = 0
    end: str = ""
    """Its last word: `-all`, `~all`, `?all`, `+all`, or nothing."""
    networks: list[Network] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether receivers can go by it."""
        return bool(self.records) and not self.fault

    def covers(self, address: IpAddress) -> bool:
        """Tell whether mail from this address passes."""
        return any(address in network for network in self.networks if network.version == address.version)


@dataclass(frozen=True, slots=True)
class DkimRecord:
    """A selector's record: its public key, empty where it was revoked, None where there is no such record."""

    selector: str
    public: str | None
    kind: str = "rsa"
    """The `k` of the record (RFC 6376, 3.6.1; RFC 8463)."""


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The DMARC record and where it was found; `policy` is empty where there is none."""

    at: str = ""
    policy: str = ""
    strict_spf: bool = False
    reports: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """An address of the server: the name it has, and whether that name leads back to it."""

    address: str
    name: str = ""
    leads_back: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found; `unanswered` are the questions to which no server answered in time."""

    domain: str
    mx: Sequence[str]
    spf: Spf
    dkim: Sequence[DkimRecord]
    dmarc: Dmarc
    addresses: Sequence[Named]
    unanswered: Sequence[str]

    @property
    def is_null_mx(self) -> bool:
        """Whether the domain says that it takes no mail (RFC 7505)."""
        return list(self.mx) == ["."]


class Looker:
    """Asks DNS; a question without an answer is noted and never raises."""

    def __init__(self, nameserver: str | None = None, port: int = 53) -> None:
        self.unanswered: list[str] = []
        self._resolver = dns.asyncresolver.Resolver(configure=nameserver is None)
        if nameserver is not None:
            self._resolver.nameservers = [nameserver]
            self._resolver.port = port
        self._resolver.lifetime = ANSWER_S

    async def ask(self, name: str, kind: str) -> list[str]:
        """Return the answers as text: a TXT record's strings joined, names without their last dot."""
        found: dns.resolver.Answer | None = None
        try:
            found = await self._resolver.resolve(name, kind, raise_on_no_answer=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            pass
        except (dns.exception.DNSException, OSError, ValueError):
            self.unanswered.append(f"{kind} {name}")
        return [] if found is None or found.rrset is None else _texts(found, kind)

    async def addresses(self, name: str) -> list[str]:
        """Return the IPv4 and IPv6 addresses of a name."""
        v4, v6 = await asyncio.gather(self.ask(name, "A"), self.ask(name, "AAAA"))
        return [*v4, *v6]


def _texts(found: dns.resolver.Answer, kind: str) -> list[str]:
    match kind:
        case "TXT":
            return [b"".join(row.strings).decode("utf-8", "replace") for row in found]
        case "MX":
            rows = sorted(found, key=lambda row: int(row.preference))
            return [str(row.exchange).rstrip(".").lower() or "." for row in rows]
        case "PTR":
            return [str(row.target).rstrip(".").lower() for row in found]
    return [str(row.address) for row in found]


async def find_facts(domain: str, host: str, selectors: Sequence[str], looker: Looker) -> Facts:
    """Look everything up, at once; at most a few times ANSWER_S."""
    keys = asyncio.gather(*(_find_dkim(domain, selector, looker) for selector in selectors))
    mx, spf, dmarc, addresses, dkim = await asyncio.gather(
        looker.ask(domain, "MX"), find_spf(domain, looker), find_dmarc(domain, looker), _find_names(host, looker), keys
    )
    return Facts(domain, mx, spf, dkim, dmarc, addresses, tuple(looker.unanswered))


async def find_spf(domain: str, looker: Looker) -> Spf:
    """Read the SPF record and all it includes (RFC 7208), within its own bound of ten look-ups."""
    spf = Spf()
    spf.records = await _spf_records(domain, looker)
    if len(spf.records) > 1:
        spf.fault = "several"
    elif spf.records:
        await _follow(spf, spf.records[0], domain, looker, 0)
        if spf.lookups > MAX_SPF_LOOKUPS:
            spf.fault = "lookups"
    return spf


async def _spf_records(domain: str, looker: Looker) -> list[str]:
    texts = await looker.ask(domain, "TXT")
    return [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]


async def _follow(spf: Spf, record: str, domain: str, looker: Looker, depth: int) -> None:
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
                await _add_hosts(spf, name, (value.partition("/")[0] or domain) if passes else "", looker)
            case "include" | "redirect":
                spf.lookups += 1
                included = await _spf_records(value, looker) if value and "%" not in value else []
                if not included and value and "%" not in value:
                    spf.fault = spf.fault or f"include {value}"
                for one in included[:1]:
                    await _follow(spf, one, value, looker, depth if name == "redirect" else depth + 1)
            case "ptr" | "exists":
                spf.lookups += 1


async def _add_hosts(spf: Spf, kind: str, domain: str, looker: Looker) -> None:
    if not domain or "%" in domain:
        return
    hosts = [domain] if kind == "a" else (await looker.ask(domain, "MX"))[:10]
    for found in await asyncio.gather(*(looker.addresses(host) for host in hosts)):
        spf.networks += [ipaddress.ip_network(address) for address in found]


async def find_dmarc(domain: str, looker: Looker) -> Dmarc:
    """Find the record that holds for a domain: its own, or that of the nearest domain above (RFC 9989's tree walk)."""
    labels = domain.split(".")
    for place in range(max(1, len(labels) - 1)):
        at = ".".join(labels[place:])
        texts = [text for text in await looker.ask(f"_dmarc.{at}", "TXT") if text.lower().startswith("v=dmarc1")]
        if len(texts) == 1:
            tags = {
                name.strip().lower(): value.strip().lower()
                for name, equals, value in (tag.partition("=") for tag in texts[0].split(";"))
                if equals
            }
            policy = tags.get("p", "none")
            policy = tags.get("sp", policy) if place else policy
            return Dmarc(at, policy, tags.get("aspf") == "s", "rua" in tags)
    return Dmarc()


async def _find_dkim(domain: str, selector: str, looker: Looker) -> DkimRecord:
    """Read a key's record; what receivers would not take for one (RFC 6376, 3.6.1) is none."""
    texts = await looker.ask(f"{selector}._domainkey.{domain}", "TXT")
    for text in texts:
        tags = {
            name.strip(): value for name, equals, value in (tag.partition("=") for tag in text.split(";")) if equals
        }
        public = "".join(tags.get("p", "-").split())
        if tags.get("v", "DKIM1").strip() == "DKIM1" and _is_base64(public):
            return DkimRecord(selector, public, tags.get("k", "rsa").strip().lower())
    return DkimRecord(selector, None)


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except Base64Error:
        return False
    return True


async def _find_names(host: str, looker: Looker) -> list[Named]:
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await looker.addresses(host) if host else []
    return await asyncio.gather(*(_find_name(address, looker) for address in found[:MAX_ADDRESSES]))


async def _find_name(address: str, looker: Looker) -> Named:
    names = await looker.ask(dns.reversename.from_address(address).to_text(), "PTR")
    if not names:
        return Named(address)
    back = await looker.addresses(names[0])
    return Named(address, names[0], address in back)
