"""Paces mail to each recipient's domain: a limit of concurrency, and of mails a minute after the domain throttles."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imsg_contract.results import Again, Result, Sent
from imsg_limits.pace import Pace, Rate
from imsg_runtime.logs import logger
from imsg_smtp.replies import PROVIDER

log = logger(__name__)

WAIT_S = 5.0
"""How long a mail waits for its domain's pace; with a longer wait it is delayed by the retry steps."""

SLOWED_PER_MINUTE = 60
"""The pace of a domain without settings after its first complaint, that is, a reply that asks for less mail."""

COMPLAINT_S = 30.0
"""Complaints within this time count as one: they answer mails that were in flight together."""

HOLD_S = 10.0
"""How long a domain gets no mail after a complaint; doubled after each further one."""

MAX_HOLD_S = 120.0
"""The longest such wait."""

QUIET_S = 600.0
"""The time without a complaint after which the pace doubles."""

LIFT_FACTOR = 16
"""The multiple of the slowed pace at which the limit is lifted."""

DELAYS = 3
"""So many mails refused by 450 or 451, with none accepted between, count as a complaint: one may be greylisting."""

MAX_COMPLAINTS = 1_000
"""How many messages with a complaint are remembered for each domain."""

MAX_DOMAINS = 1_024
"""How many domains are remembered; the least recently used one is forgotten."""


@dataclass(frozen=True, slots=True)
class DomainLimits:
    """The limits of the domains of one mail provider."""

    name: str
    domains: frozenset[str]
    connections: int | None = None
    per_minute: int | None = None
    """The permanent limit; None: unlimited until the first complaint."""
    slowed_per_minute: int = SLOWED_PER_MINUTE


PRESETS: tuple[DomainLimits, ...] = (
    DomainLimits("qq", frozenset({"qq.com", "vip.qq.com", "foxmail.com"}), 5, None, 30),
    DomainLimits(
        "netease",
        frozenset({"163.com", "126.com", "yeah.net", "vip.163.com", "vip.126.com", "188.com"}),
        5,
        None,
        30,
    ),
    DomainLimits("gmail", frozenset({"gmail.com", "googlemail.com"}), 10, None, 60),
)
"""Cautious limits: none of the three providers publishes its own. A setting of the same name replaces a preset."""


@dataclass(slots=True)
class Domain:
    """The state of one provider's domains, or of one domain."""

    limits: DomainLimits
    slots: asyncio.Semaphore | None
    per_minute: int | None
    pace: Pace | None = None
    held_until: float = 0.0
    complained_at: float = -math.inf
    eased_at: float = -math.inf
    accepted_at: float = -math.inf
    delayed_messages: set[str] = field(default_factory=set)
    """Messages refused by 450 or 451 since a mail was accepted."""
    complaints: int = 0
    """Complaints in a row since a mail was accepted."""
    complaint_times: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Message → time of its first complaint. After other mail was accepted, its repeated complaint does not count."""


class Domains:
    """Paces the mail of one server by its recipients' domains."""

    def __init__(
        self,
        limits: Iterable[DomainLimits],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._limits: Mapping[str, DomainLimits] = {domain: limit for limit in limits for domain in limit.domains}
        self._domains: OrderedDict[str, Domain] = OrderedDict()

    @asynccontextmanager
    async def wait_turn(self, name: str) -> AsyncIterator[Again | None]:
        """Wait for the turn of a mail to a domain and hold it while the context is open.

        Yields None once the mail may be sent, else the result for a mail that would wait longer than WAIT_S.
        """
        domain = self.find(name)
        if domain is None:
            yield None
            return
        if domain.slots is None:
            yield await self._wait_for_pace(domain)
            return
        async with domain.slots:
            yield await self._wait_for_pace(domain)

    def adapt_pace(self, name: str, result: Result, message: str) -> None:
        """Adapt a domain's pace to the result of a mail. `message` is its Message-ID."""
        if self.find(name) is None and not isinstance(result, Again):
            return
        domain = self._find_or_add(name)
        if isinstance(result, Sent):
            domain.delayed_messages.clear()
            domain.complaints = 0
            domain.accepted_at = self._clock()
            if domain.per_minute is not None:
                self._ease(domain)
        elif isinstance(result, Again) and result.is_paced:
            if not self._is_repeated_complaint(domain, message):
                self._slow(domain, result)
        elif isinstance(result, Again) and result.code[:3] in ("450", "451"):
            domain.delayed_messages.add(message)
            if len(domain.delayed_messages) >= DELAYS:
                domain.delayed_messages.clear()
                self._slow(domain, result)

    def _is_repeated_complaint(self, domain: Domain, message: str) -> bool:
        """Record a message's complaint; return whether other mail was accepted since its first complaint."""
        first = domain.complaint_times.setdefault(message, self._clock())
        if len(domain.complaint_times) > MAX_COMPLAINTS:
            domain.complaint_times.popitem(last=False)
        return first < domain.accepted_at

    async def _wait_for_pace(self, domain: Domain) -> Again | None:
        left_s = domain.held_until - self._clock()
        if left_s <= 0:
            domain.held_until = 0.0
            left_s = await domain.pace.acquire(within_s=WAIT_S) if domain.pace is not None else 0.0
        if left_s <= 0:
            return None
        detail = f"Mail to {domain.limits.name} waits {left_s:.0f} s: it takes a limited number, and has said so."
        return Again(PROVIDER, "paced", detail, left_s, "domain", is_paced=True, was_called=False)

    def _slow(self, domain: Domain, complaint: Again) -> None:
        now = self._clock()
        if now - domain.complained_at < COMPLAINT_S:
            return
        domain.complained_at = domain.eased_at = now
        domain.complaints += 1
        longest_s = min(MAX_HOLD_S, HOLD_S * 2 ** min(domain.complaints - 1, 10))
        domain.held_until = now + min(complaint.after_s, longest_s)
        wanted = domain.limits.slowed_per_minute if domain.per_minute is None else domain.per_minute // 2
        self._set_pace(domain, max(1, wanted))
        log.warning(
            "domain_slowed",
            domain=domain.limits.name,
            per_minute=domain.per_minute,
            code=complaint.code,
            why=complaint.detail,
        )

    def _ease(self, domain: Domain) -> None:
        now = self._clock()
        if (
            domain.per_minute is None
            or domain.per_minute == domain.limits.per_minute
            or now - domain.eased_at < QUIET_S
        ):
            return
        domain.eased_at = now
        doubled, limit = 2 * domain.per_minute, domain.limits.per_minute
        if limit is None and doubled >= LIFT_FACTOR * domain.limits.slowed_per_minute:
            self._set_pace(domain, None)
        else:
            self._set_pace(domain, doubled if limit is None else min(doubled, limit))
        log.info("domain_eased", domain=domain.limits.name, per_minute=domain.per_minute)

    def _set_pace(self, domain: Domain, per_minute: int | None) -> None:
        domain.per_minute = per_minute
        domain.pace = (
            None
            if per_minute is None
            else Pace(Rate(per_minute, 60.0, max(1, per_minute // 10)), self._clock, self._sleep)
        )

    def find(self, name: str) -> Domain | None:
        """Return the state of a domain; None without settings and complaints: its mail needs no turn."""
        return self._find_or_add(name) if name in self._limits else self._domains.get(name)

    def _find_or_add(self, name: str) -> Domain:
        limits = self._limits.get(name)
        key = limits.name if limits is not None else name
        domain = self._domains.get(key)
        if domain is None:
            limits = limits or DomainLimits(name, frozenset({name}))
            slots = asyncio.Semaphore(limits.connections) if limits.connections else None
            domain = self._domains[key] = Domain(limits, slots, None)
            self._set_pace(domain, limits.per_minute)
            if len(self._domains) > MAX_DOMAINS:
                self._forget()
        else:
            self._domains.move_to_end(key)
        return domain

    def _forget(self) -> None:
        """Remove the least recently used domain without a limit of concurrency."""
        for key, domain in self._domains.items():
            if domain.slots is None:
                del self._domains[key]
                return


def merge_presets(own: Iterable[DomainLimits]) -> list[DomainLimits]:
    """Merge the settings over the presets, by name; each domain appears once."""
    settings = list(own)
    names, own_domains = {limit.name for limit in settings}, {domain for limit in settings for domain in limit.domains}
    presets = [
        DomainLimits(
            preset.name, preset.domains - own_domains, preset.connections, preset.per_minute, preset.slowed_per_minute
        )
        for preset in PRESETS
        if preset.name not in names
    ]
    return [*settings, *presets]
