"""The pace of mail to a domain: few at once, slower after complaints, faster again once all is quiet."""

import asyncio
from itertools import count

import pytest

from imsg_contract.results import Again, Refused, Result, Sent
from imsg_smtp.domains import (
    COMPLAINT_S,
    DELAYS,
    HOLD_S,
    LIFT_FACTOR,
    MAX_DOMAINS,
    PRESETS,
    QUIET_S,
    SLOWED_PER_MINUTE,
    DomainLimits,
    Domains,
    merge_presets,
)

COMPLAINT = Again("smtp", "550", "Domain frequency limited", 600, "domain", is_paced=True)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


NAMES = map(str, count())
A = "example.com"


async def ask(domains: Domains, name: str, result: Result | None = None, message: str = "") -> Again | None:
    """Wait for one mail's turn, and record its result; return why it may not be sent now."""
    async with domains.wait_turn(name) as not_now:
        if not_now is None and result is not None:
            domains.adapt_pace(name, result, message or next(NAMES))
        return not_now


def pace_of(domains: Domains, name: str) -> int | None:
    """Return how many mails a minute a domain gets; None: as many as come."""
    domain = domains.find(name)
    return None if domain is None else domain.per_minute


async def test_a_domain_without_complaints_has_no_pace() -> None:
    domains = Domains(PRESETS, Clock())
    assert domains.find(A) is None
    assert [await ask(domains, A, Sent("smtp")) for _ in range(200)] == [None] * 200


async def test_a_complaint_holds_the_domain_and_then_slows_it() -> None:
    clock = Clock()
    domains = Domains(PRESETS, clock)
    assert await ask(domains, "qq.com", COMPLAINT) is None
    held = await ask(domains, "foxmail.com")
    assert isinstance(held, Again)
    assert held.code == "paced"
    assert held.after_s == HOLD_S
    assert await ask(domains, "163.com") is None
    clock.now += HOLD_S
    assert pace_of(domains, "qq.com") == 30


@pytest.mark.parametrize("code", ["450 4.2.0", "451 4.7.1"])
async def test_delays_in_a_row_are_a_complaint_and_single_ones_are_greylisting(code: str) -> None:
    domains = Domains((), Clock())
    delay = Again("smtp", code, "later", 300)
    for _ in range(5 * DELAYS):
        await ask(domains, "example.com", delay)
        await ask(domains, "example.com", Sent("smtp"))
    assert pace_of(domains, "example.com") is None
    for _ in range(DELAYS):
        await ask(domains, "example.com", delay)
    assert pace_of(domains, "example.com") == SLOWED_PER_MINUTE


async def test_one_mail_that_is_delayed_repeatedly_slows_no_other() -> None:
    domains = Domains((), Clock())
    for _ in range(5 * DELAYS):
        assert await ask(domains, A, Again("smtp", "451 4.7.1", "later", 300), "greylisted") is None
    assert await ask(domains, A) is None
    assert pace_of(domains, A) is None


async def test_a_complaint_over_one_mail_while_others_are_accepted_is_its_own_from_the_second_on() -> None:
    clock = Clock()
    domains = Domains((), clock)
    for _ in range(4):
        domains.adapt_pace(A, COMPLAINT, "poison")
        clock.now += HOLD_S
        assert await ask(domains, "example.com", Sent("smtp")) is None
        clock.now += COMPLAINT_S
    assert pace_of(domains, A) == SLOWED_PER_MINUTE


async def test_complaints_of_mails_that_were_under_way_together_count_once() -> None:
    clock = Clock()
    domains = Domains((), clock)
    for _ in range(8):
        domains.adapt_pace(A, COMPLAINT, next(NAMES))
    assert pace_of(domains, A) == SLOWED_PER_MINUTE
    clock.now += COMPLAINT_S
    domains.adapt_pace(A, COMPLAINT, next(NAMES))
    assert pace_of(domains, A) == SLOWED_PER_MINUTE // 2


async def test_a_quiet_domain_is_eased_until_it_is_free_again() -> None:
    clock = Clock()
    domains = Domains((), clock)
    domains.adapt_pace(A, COMPLAINT, next(NAMES))
    seen = []
    for _ in range(5):
        clock.now += QUIET_S
        domains.adapt_pace(A, Sent("smtp"), next(NAMES))
        seen.append(pace_of(domains, A))
    assert seen == [120, 240, 480, None, None]
    assert SLOWED_PER_MINUTE * LIFT_FACTOR == 960


async def test_a_pace_that_is_set_holds_always_and_is_never_passed() -> None:
    clock = Clock()
    domains = Domains([DomainLimits("corp", frozenset({"corp.example"}), None, 10, 10)], clock)
    domains.adapt_pace("corp.example", COMPLAINT, next(NAMES))
    assert pace_of(domains, "corp.example") == 5
    for _ in range(4):
        clock.now += QUIET_S
        domains.adapt_pace("corp.example", Sent("smtp"), next(NAMES))
    assert pace_of(domains, "corp.example") == 10
    results = [await ask(domains, "corp.example") for _ in range(3)]
    assert results[0] is None
    assert any(isinstance(result, Again) for result in results)


async def test_a_complaint_about_one_mailbox_slows_no_other() -> None:
    domains = Domains(PRESETS, Clock())
    await ask(domains, "qq.com", Again("smtp", "550", "Mailbox unavailable", 600, "recipient"))
    await ask(domains, "qq.com", Refused("smtp", "550 5.1.1", "no such user"))
    assert pace_of(domains, "qq.com") is None


async def test_no_more_mails_at_once_than_the_domain_bears() -> None:
    domains = Domains(PRESETS, Clock())
    at_once, most = 0, 0

    async def send(n: int) -> None:
        nonlocal at_once, most
        async with domains.wait_turn("qq.com" if n % 2 else "foxmail.com"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1

    await asyncio.gather(*(send(n) for n in range(40)))
    assert most == 5


def test_what_is_learned_of_domains_is_bounded() -> None:
    domains = Domains(PRESETS, Clock())
    for n in range(MAX_DOMAINS + 50):
        domains.adapt_pace(f"d{n}.example", COMPLAINT, "x")
    assert len(domains._domains) == MAX_DOMAINS


def test_a_setting_replaces_the_preset_of_its_name_and_takes_its_domains_from_the_others() -> None:
    own = [
        DomainLimits("qq", frozenset({"qq.com"}), 1),
        DomainLimits("mine", frozenset({"gmail.com"}), 2),
    ]
    found = {domain.name: domain for domain in merge_presets(own)}
    assert found["qq"].domains == {"qq.com"}
    assert found["gmail"].domains == {"googlemail.com"}
    assert set(found) == {"qq", "mine", "netease", "gmail"}
