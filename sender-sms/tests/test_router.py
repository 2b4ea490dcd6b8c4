"""Which calls a router makes: few for bad numbers, and none twice for a good one."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import pytest

from imsg_contract.results import Again, Blocked, Refused, Sent
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Recipient
from imsg_delivery.routes import Switch
from imsg_sms.bad_numbers import MAX_REFUSED_CALLS, REFUSED_CALLS_EACH
from imsg_sms.providers import ProviderReply
from imsg_sms.router import MAX_CONCURRENT_CALLS, SmsRouter
from imsg_sms.templates import Message
from imsg_testing.jobs import make_job

NOW = datetime(2026, 11, 26, tzinfo=UTC)
JOB = make_job("", at=NOW, method="sms", content="x")
WORDS = Message("code", {"code": "4370"}, "码4370")


class Strict:
    """A provider that refuses a call whole where one of its numbers is bad."""

    name = kind = "strict"
    mixes_countries = True
    takes_text = True
    takes_signature = True
    limits: Mapping[str, TemplateLimits] = {}
    countries: tuple[str, ...] = ("+86",)

    def __init__(self, max_numbers: int, *bad: str) -> None:
        self.max_numbers = max_numbers
        self.bad = set(bad)
        self.calls: list[Sequence[str]] = []

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> ProviderReply:
        """Return the reply."""
        del message, reference
        self.calls.append(numbers)
        if self.bad & set(numbers):
            return ProviderReply(Refused(self.name, "bad", ""), "recipient", for_one_number=True)
        return ProviderReply(Sent(self.name, "1"))


class Broken(Strict):
    """A provider that always returns the same reply."""

    name = "first"

    def __init__(self, answer: ProviderReply) -> None:
        super().__init__(1_000)
        self.reply = answer

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> ProviderReply:
        """Return the reply."""
        del message, reference
        self.calls.append(numbers)
        return self.reply


class SwitchedOff(Strict):
    """A provider that is switched off while it is called."""

    switch_off: Callable[[], None]

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> ProviderReply:
        """Return the reply."""
        self.switch_off()
        await asyncio.sleep(0)
        return await super().send(message, numbers, reference)


def make_recipients(count: int) -> list[Recipient]:
    """Make recipients."""
    return [Recipient(n=n, to=str(n), address=f"+86138{n:08d}") for n in range(count)]


def route(*providers: Strict) -> SmsRouter:
    """Make a router over providers."""
    return SmsRouter(providers, lambda: 0.0)


@pytest.mark.parametrize("most", [1_000, 200])
@pytest.mark.parametrize("at", [0, 499, 637, 999])
async def test_one_bad_number_among_a_thousand_costs_21_calls_at_most(most: int, at: int) -> None:
    people = make_recipients(1_000)
    provider = Strict(most, people[at].address)
    results = await route(provider).send(WORDS, people, JOB)
    assert [n for n, result in results.items() if isinstance(result, Refused)] == [at]
    assert len(provider.calls) <= 21
    taken = [number for call in provider.calls if not provider.bad & set(call) for number in call]
    assert len(taken) == len(set(taken)) == 999


async def test_a_number_that_failed_alone_is_sent_by_the_next_provider_alone() -> None:
    people = make_recipients(3)
    blocked = ProviderReply(Blocked("first", "first", "x", "", 60.0), "account")
    first = Broken(ProviderReply(Sent("first", "1"), by_number={people[1].address: blocked}))
    second = Strict(10)
    results = await route(first, second).send(WORDS, people, JOB)
    assert second.calls == [[people[1].address]]
    assert [result.provider for result in results.values()] == ["first", "strict", "first"]


async def test_a_provider_that_is_disabled_during_a_list_gets_no_more_calls() -> None:
    provider = SwitchedOff(1)
    router = route(provider)
    provider.switch_off = lambda: router.provider_pool.apply({"strict": Switch(enabled=False)})
    results = await router.send(WORDS, make_recipients(100), JOB)
    assert len(provider.calls) <= MAX_CONCURRENT_CALLS
    assert {result.code for result in results.values() if isinstance(result, Blocked)} == {"switched_off"}
    assert router.find_outage() is not None, "what follows waits until it is switched on"


async def test_an_error_about_the_recipient_is_not_sent_by_another_provider() -> None:
    """Another provider would circumvent the limit."""
    second = Strict(10)
    results = await route(Broken(ProviderReply(Again("first", "limit", ""), "recipient")), second).send(
        WORDS, make_recipients(1), JOB
    )
    assert second.calls == []
    assert isinstance(results[0], Again)


async def test_a_rate_limit_of_an_account_makes_all_its_messages_wait_without_an_attempt() -> None:
    provider = Broken(ProviderReply(Again("first", "RE:0013", "too much", 30.0), "account", is_rate_limit=True))
    router = route(provider)
    for _ in range(2):
        results = await router.send(WORDS, make_recipients(2), JOB)
        assert [(result.after_s, result.is_paced) for result in results.values() if isinstance(result, Again)] == [
            (30.0, True),
            (30.0, True),
        ]
    assert len(provider.calls) == 1
    assert router.find_outage() is None, "it answers"


async def test_messages_of_an_account_over_its_rate_limit_go_by_the_next_provider_at_once() -> None:
    first = Broken(ProviderReply(Again("first", "RE:0013", "too much", 30.0), "account", is_rate_limit=True))
    second = Strict(10)
    router = route(first, second)
    for _ in range(2):
        results = await router.send(WORDS, make_recipients(2), JOB)
        assert [result.provider for result in results.values() if isinstance(result, Sent)] == ["strict", "strict"]
    assert (len(first.calls), len(second.calls)) == (1, 2)


async def test_there_is_an_outage_only_if_every_enabled_provider_is_down() -> None:
    down = ProviderReply(Blocked("first", "first", "isv.AMOUNT_NOT_ENOUGH", "no money", 60.0), "account")
    first, second = Broken(down), Broken(down)
    second.name = "second"
    over_both = route(first, second)
    second.reply = ProviderReply(Sent("second", "1"))
    await over_both.send(WORDS, make_recipients(2), JOB)
    assert over_both.find_outage() is None

    over_both.provider_pool.apply({"second": Switch(enabled=False)})
    outage = over_both.find_outage()
    assert outage is not None
    assert (outage.scope, outage.code) == ("first", "isv.AMOUNT_NOT_ENOUGH")


async def test_a_country_that_only_a_disabled_provider_accepts_waits_for_it() -> None:
    """A country that no provider accepts is refused."""
    abroad = [Recipient(n=0, to="", address="+13865551234")]
    first, second = Strict(10), Strict(10)
    second.name, second.countries = "second", ("+",)
    over_both = route(first, second)
    over_both.provider_pool.apply({"second": Switch(enabled=False)})
    waiting = (await over_both.send(WORDS, abroad, JOB))[0]
    assert isinstance(waiting, Blocked)
    refused = (await route(first).send(WORDS, abroad, JOB))[0]
    assert (refused.provider, isinstance(refused, Refused)) == ("sms", True)
    assert first.calls == second.calls == []


class Named(Strict):
    """A provider that names the bad numbers of a call."""

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> ProviderReply:
        """Return the reply."""
        answer = await super().send(message, numbers, reference)
        if isinstance(answer.result, Sent):
            return answer
        bad = ",".join(number.removeprefix("+86") for number in numbers if number in self.bad)
        return ProviderReply(Refused(self.name, "bad", f"{bad}invalid mobile number"), "recipient", for_one_number=True)


@pytest.mark.parametrize("most", [1_000, 200, 99, 10, 2])
async def test_a_list_of_bad_numbers_costs_a_call_for_each_batch_and_few_more(most: int) -> None:
    people = make_recipients(1_000)
    provider = Strict(most, *(person.address for person in people))
    results = await route(provider).send(WORDS, people, JOB)
    assert len(provider.calls) <= math.ceil(1_000 / most) + MAX_REFUSED_CALLS + MAX_CONCURRENT_CALLS
    assert {type(result) for result in results.values()} == {Refused}
    assert len(results) == 1_000


@pytest.mark.parametrize("most", [1_000, 99, 10])
@pytest.mark.parametrize("good_ones", [range(0, 1_000, 2), range(500), range(0, 1_000, 3), range(5, 1_000, 20)])
async def test_good_numbers_among_bad_ones_are_sent_or_retried(most: int, good_ones: range) -> None:
    """No good number is refused; if a third of the list is good, all of them are sent at once."""
    people = make_recipients(1_000)
    good = {people[n].address for n in good_ones}
    provider = Strict(most, *(person.address for person in people if person.address not in good))
    results = await route(provider).send(WORDS, people, JOB)
    sent = [n for n in good_ones if isinstance(results[n], Sent)]
    assert {type(results[n]) for n in good_ones} <= {Sent, Again}
    assert len(sent) == len(good_ones) if len(good_ones) > 300 else sent
    refused = [call for call in provider.calls if provider.bad & set(call)]
    assert len(refused) <= math.ceil(
        1_000 / most
    ) + MAX_REFUSED_CALLS + MAX_CONCURRENT_CALLS + REFUSED_CALLS_EACH * len(sent)


@pytest.mark.parametrize("most", [1_000, 99])
@pytest.mark.parametrize("bad_ones", [range(20), range(0, 1_000, 50), range(980, 1_000), range(0, 1_000, 10)])
async def test_a_few_bad_numbers_fail_alone_and_no_good_one_is_sent_twice(most: int, bad_ones: range) -> None:
    people = make_recipients(1_000)
    provider = Strict(most, *(people[n].address for n in bad_ones))
    results = await route(provider).send(WORDS, people, JOB)
    assert [n for n in sorted(results) if isinstance(results[n], Refused)] == list(bad_ones)
    accepted = [number for call in provider.calls if not provider.bad & set(call) for number in call]
    assert len(accepted) == len(set(accepted)) == 1_000 - len(bad_ones)


@pytest.mark.parametrize("count", [1, 500, 999])
async def test_bad_numbers_that_the_provider_names_cost_one_call_more(count: int) -> None:
    people = make_recipients(1_000)
    provider = Named(1_000, *(people[n].address for n in range(count)))
    results = await route(provider).send(WORDS, people, JOB)
    assert len(provider.calls) == 2
    assert [n for n in sorted(results) if isinstance(results[n], Refused)] == list(range(count))


async def test_a_refusal_of_the_content_counts_for_all_numbers_after_few_calls() -> None:
    """Such as an unlisted code of a described provider."""
    provider = Broken(ProviderReply(Refused("first", "http_200", "no"), "content", for_one_number=True))
    results = await route(provider).send(WORDS, make_recipients(1_000), JOB)
    assert len(provider.calls) <= 1 + MAX_REFUSED_CALLS
    assert {(type(result), result.provider) for result in results.values()} == {(Refused, "first")}
