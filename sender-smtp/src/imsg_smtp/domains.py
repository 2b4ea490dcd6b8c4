"""The pace of mail to each recipient's domain: bounded concurrency, and slower after the domain complains."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imsg_contract.addresses import domain_of
from imsg_contract.wire import Again, Result, Sent
from imsg_limits.pace import Pace, Rate
from imsg_runtime.logs import logger
from imsg_smtp.refusals import About, Throttled
from imsg_smtp.replies import PROVIDER

log = logger(__name__)

WAIT_S = 5.0
"""How long a mail waits for its domain's pace; what would wait longer comes again by the retry steps."""

SLOWED_PER_MINUTE = 60
"""The pace of a domain nobody set anything for, after its first complaint."""

COMPLAINT_S = 30.0
"""Complaints within so long count as one: they answer mails that were under way together."""

HOLD_S = 10.0
"""How long a domain gets no mail after a complaint; twice as long after each further one."""

LONGEST_HOLD_S = 120.0
"""The longest such wait."""

QUIET_S = 600.0
"""After so long without a complaint the pace doubles."""

EASY = 16
"""At so many times the slowed pace the limit is lifted."""

DELAYS = 3
"""Mails in a row delayed by 450 and 451, with nothing accepted between, make a complaint: one is greylisting."""

MAX_COMPLAINTS = 1_000
"""Of a domain, of which it is remembered which message made them."""

MAX_DOMAINS = 1_024
"""Domains that are remembered; the one used longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class DomainTerms:
    """The limits of the domains of one mail provider."""

    name: str
    domains: frozenset[str]
    connections: int | None = None
    per_minute: int | None = None
    """In force always; None: until there is a complaint nothing is."""
    slowed_per_minute: int = SLOWED_PER_MINUTE


PRESETS: tuple[DomainTerms, ...] = (
    DomainTerms("qq", frozenset({"qq.com", "vip.qq.com", "foxmail.com"}), 5, None, 30),
    DomainTerms(
        "netease",
        frozenset({"163.com", "126.com", "yeah.net", "vip.163.com", "vip.126.com", "188.com"}),
        5,
        None,
        30,
    ),
    DomainTerms("gmail", frozenset({"gmail.com", "googlemail.com"}), 10, None, 60),
)
"""Careful limits of ours: none of the three publishes its own. A setting of the same name replaces one."""


@dataclass(slots=True)
class Domain:
    """What is known of one provider's domains, or of one domain."""

    terms: DomainTerms
    slots: asyncio.Semaphore | None
    per_minute: int | None
    pace: Pace | None = None
    held_until: float = 0.0
    complained_at: float = -math.inf
    eased_at: float = -math.inf
    accepted_at: float = -math.inf
    delayed: set[str] = field(default_factory=set)
    """Messages that were delayed since one was accepted."""
    complaints: int = 0
    """In a row, since a mail was accepted."""
    complained_of: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Message → when it made a complaint: made again after others were accepted, it says nothing of the domain."""


class Domains:
    """Paces the mail of one server by its recipients' domains."""

    def __init__(
        self,
        terms: Iterable[DomainTerms],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._terms: Mapping[str, DomainTerms] = {domain: term for term in terms for domain in term.domains}
        self._domains: OrderedDict[str, Domain] = OrderedDict()

    @asynccontextmanager
    async def turn(self, domain: Domain) -> AsyncIterator[Again | None]:
        """Wait for a mail's turn; None once it may go, else why not now."""
        if domain.slots is None:
            yield await self._wait(domain)
            return
        async with domain.slots:
            yield await self._wait(domain)

    def note(self, recipient: str, result: Result, message: str) -> None:
        """Learn from what became of a mail. Of a domain without troubles, results other than Again change nothing."""
        domain = self._open(recipient)
        if isinstance(result, Sent):
            domain.delayed.clear()
            domain.complaints = 0
            domain.accepted_at = self._clock()
            if domain.per_minute is not None:
                self._ease(domain)
        elif isinstance(result, Throttled):
            if result.about is About.DOMAIN and not self._is_alone(domain, message):
                self._slow(domain, result)
        elif isinstance(result, Again) and result.code[:3] in ("450", "451"):
            domain.delayed.add(message)
            if len(domain.delayed) >= DELAYS:
                domain.delayed.clear()
                self._slow(domain, result)

    def _is_alone(self, domain: Domain, message: str) -> bool:
        """Note a message's complaint; tell whether it made one before, while others were accepted."""
        first = domain.complained_of.setdefault(message, self._clock())
        if len(domain.complained_of) > MAX_COMPLAINTS:
            domain.complained_of.popitem(last=False)
        return first < domain.accepted_at

    async def _wait(self, domain: Domain) -> Again | None:
        left_s = domain.held_until - self._clock()
        if left_s <= 0:
            domain.held_until = 0.0
            left_s = await domain.pace.acquire(within_s=WAIT_S) if domain.pace is not None else 0.0
        if left_s <= 0:
            return None
        detail = f"Mail to {domain.terms.name} waits {left_s:.0f} s: it takes a limited number, and has said so."
        return Again(PROVIDER, "paced", detail, left_s, "domain", is_paced=True, was_called=False)

    def _slow(self, domain: Domain, complaint: Again) -> None:
        now = self._clock()
        if now - domain.complained_at < COMPLAINT_S:
            return
        domain.complained_at = domain.eased_at = now
        domain.complaints += 1
        longest_s = min(LONGEST_HOLD_S, HOLD_S * 2 ** min(domain.complaints - 1, 10))
        domain.held_until = now + min(complaint.after_s, longest_s)
        wanted = domain.terms.slowed_per_minute if domain.per_minute is None else domain.per_minute // 2
        self._set(domain, max(1, wanted))
        log.warning(
            "domain_slowed",
            domain=domain.terms.name,
            per_minute=domain.per_minute,
            code=complaint.code,
            why=complaint.detail,
        )

    def _ease(self, domain: Domain) -> None:
        now = self._clock()
        if domain.per_minute is None or domain.per_minute == domain.terms.per_minute or now - domain.eased_at < QUIET_S:
            return
        domain.eased_at = now
        doubled, most = 2 * domain.per_minute, domain.terms.per_minute
        if most is None and doubled >= EASY * domain.terms.slowed_per_minute:
            self._set(domain, None)
        else:
            self._set(domain, doubled if most is None else min(doubled, most))
        log.info("domain_eased", domain=domain.terms.name, per_minute=domain.per_minute)

    def _set(self, domain: Domain, per_minute: int | None) -> None:
        domain.per_minute = per_minute
        domain.pace = (
            None
            if per_minute is None
            else Pace(Rate(per_minute, 60.0, max(1, per_minute // 10)), self._clock, self._sleep)
        )

    def find(self, recipient: str) -> Domain | None:
        """Find what is set or known of a recipient's domain; None where nothing is, and its mail needs no turn."""
        name = domain_of(recipient)
        terms = self._terms.get(name)
        return self._open(recipient) if terms is not None else self._domains.get(name)

    def _open(self, recipient: str) -> Domain:
        name = domain_of(recipient)
        terms = self._terms.get(name)
        key = terms.name if terms is not None else name
        domain = self._domains.get(key)
        if domain is None:
            terms = terms or DomainTerms(name, frozenset({name}))
            slots = asyncio.Semaphore(terms.connections) if terms.connections else None
            domain = self._domains[key] = Domain(terms, slots, None)
            self._set(domain, terms.per_minute)
            if len(self._domains) > MAX_DOMAINS:
                self._forget()
        else:
            self._domains.move_to_end(key)
        return domain

    def _forget(self) -> None:
        """Forget the domain used longest ago that nobody has to wait for."""
        for key, domain in self._domains.items():
            if domain.slots is None:
                del self._domains[key]
                return


def merge_presets(own: Iterable[DomainTerms]) -> list[DomainTerms]:
    """Merge the settings over the presets, by name; each domain appears once."""
    settings = list(own)
    names, taken = {term.name for term in settings}, {domain for term in settings for domain in term.domains}
    kept = [
        DomainTerms(
            preset.name, preset.domains - taken, preset.connections, preset.per_minute, preset.slowed_per_minute
        )
        for preset in PRESETS
        if preset.name not in names
    ]
    return [*settings, *kept]
