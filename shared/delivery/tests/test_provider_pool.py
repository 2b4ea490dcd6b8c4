"""Routes and providers: the order in which they are tried, and what the timeline records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.wire import Category
from imsg_delivery.provider_pool import MAX_DOUBTFUL, PooledProvider, ProviderPool
from imsg_delivery.provider_stats import SLOT_S, ProviderStats, hide_personal
from imsg_delivery.routes import Facts, Order, Route, Switch

ALIYUN, TENCENT, TWILIO = Route("aliyun"), Route("tencent", weight=0), Route("twilio", weight=0, prefixes=("+1", "+44"))
AGAIN = Again("aliyun", "busy", "later", 30.0, "provider")
BLOCKED = Blocked("aliyun", "aliyun", "no_money", "pay", 60.0, "account")


class Clock:
    """A clock that is set by hand."""

    now = 10_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Told:
    """Answers each provider's calls with prepared results."""

    def __init__(self, **answers: Result) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, provider: PooledProvider, ns: Sequence[int]) -> Mapping[int, Result]:
        """Answer."""
        self.asked.append(provider.name)
        return dict.fromkeys(ns, self.answers[provider.name])


def facts(name: str = "m", address: str = "+8613800138000", category: Category = Category.NOTICE) -> Facts:
    """Describe a message."""
    return Facts(name, address=address, template="code", category=category)


def names(order: Order, message: Facts) -> list[str]:
    """Return the names of a message's routes."""
    return [route.name for route in order.rank(message)]


def pool(*routes: Route) -> ProviderPool:
    """Make a channel's providers."""
    return ProviderPool("sms", routes, Clock())


def test_without_weights_the_list_is_the_order() -> None:
    order = Order((ALIYUN, TENCENT, Route("http", weight=0)))
    assert names(order, facts()) == ["aliyun", "tencent", "http"]
    assert order.fixed is not None


def test_conditions_choose_and_what_is_for_some_alone_comes_first() -> None:
    codes = Route("codes", categories=frozenset({Category.CODE}))
    order = Order((ALIYUN, TENCENT, TWILIO, codes))
    assert names(order, facts()) == ["aliyun", "tencent"]
    assert names(order, facts(address="+447700900123")) == ["twilio", "aliyun", "tencent"]
    assert names(order, facts(category=Category.CODE)) == ["codes", "aliyun", "tencent"]
    assert order.share("twilio") is None
    assert (order.share("aliyun"), order.share("tencent")) == (1.0, 0.0)


def test_messages_follow_the_weights_and_each_keeps_to_its_own() -> None:
    order = Order((Route("a", 3), Route("b", 1), Route("c", 0)))
    first = Counter(names(order, facts(str(n)))[0] for n in range(2_000))
    assert 0.70 < first["a"] / 2_000 < 0.80
    assert first["c"] == 0
    assert names(order, facts("7")) == names(order, facts("7"))
    assert all(names(order, facts(str(n)))[-1] == "c" for n in range(50))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.text(max_size=8))
def test_every_route_that_is_on_has_its_place_in_every_order(weights: list[int], message: str) -> None:
    order = Order(tuple(Route(str(n), weight) for n, weight in enumerate(weights)))
    assert sorted(names(order, facts(message))) == sorted(str(n) for n in range(len(weights)))
    assert sum(order.share(str(n)) or 0.0 for n in range(len(weights))) == pytest.approx(1.0)


async def test_a_switch_takes_a_provider_out_and_weighs_another_until_it_is_taken_back() -> None:
    all_ = pool(ALIYUN, TENCENT)
    all_.apply({"aliyun": Switch(enabled=False), "tencent": Switch(weight=2)})
    assert [provider.name for provider in all_.rank(facts())] == ["tencent"]
    assert (all_.share("aliyun"), all_.share("tencent")) == (0.0, 1.0)
    all_.apply({})
    assert [provider.name for provider in all_.rank(facts())] == ["aliyun", "tencent"]


async def test_where_all_are_switched_off_messages_wait_and_show_how_to_go_on() -> None:
    all_ = pool(ALIYUN)
    all_.apply({"aliyun": Switch(enabled=False)})
    assert not all_.rank(facts())
    refused = all_.refuse("x", "do so")
    assert refused.code == "switched_off"
    assert "imsg providers enable" in refused.detail


@pytest.mark.parametrize("first", [AGAIN, BLOCKED])
async def test_a_no_for_now_is_a_hop_and_the_next_is_asked(first: Again | Blocked) -> None:
    all_, told = pool(ALIYUN, TENCENT), Told(aliyun=first, tencent=Sent("tencent", "1"))
    results = await all_.send_batch(all_.rank(facts()), {0: "m-0"}, told)
    assert isinstance(results[0], Sent)
    assert [(hop.provider, hop.code) for hop in results[0].hops] == [("aliyun", first.code)]


@pytest.mark.parametrize(
    "first",
    [
        Sent("aliyun", "1"),
        Refused("aliyun", "bad", ""),
        Unknown("aliyun", "no_answer", ""),
        Again("aliyun", "limit", "", 60.0, "recipient"),
    ],
)
async def test_after_any_other_result_no_other_provider_is_called(first: Result) -> None:
    all_, told = pool(ALIYUN, TENCENT), Told(aliyun=first)
    assert await all_.send_batch(all_.rank(facts()), {0: "m-0"}, told) == {0: first}


async def test_of_refusals_alone_the_retryable_one_is_returned_with_the_shortest_wait() -> None:
    all_, told = pool(ALIYUN, TENCENT), Told(aliyun=BLOCKED, tencent=Again("tencent", "busy", "later", 90.0))
    (result,) = (await all_.send_batch(all_.rank(facts()), {0: "m-0"}, told)).values()
    assert isinstance(result, Again)
    assert result.after_s == 60.0
    assert [hop.provider for hop in result.hops] == ["aliyun"]
    assert "aliyun: no_money pay" in result.detail


async def test_what_one_may_have_is_never_given_to_another_at_later_attempts() -> None:
    all_ = pool(ALIYUN, TENCENT)
    told = Told(aliyun=Unknown("aliyun", "no_answer", ""), tencent=Sent("tencent"))
    await all_.send_batch(all_.rank(facts()), {0: "m-0"}, told)
    told.answers["aliyun"] = AGAIN
    results = await all_.send_batch(all_.rank(facts()), {0: "m-0", 1: "m-1"}, told)
    assert isinstance(results[0], Again)
    assert isinstance(results[1], Sent)
    all_.apply({"aliyun": Switch(enabled=False)})
    (waits,) = (await all_.send_batch(all_.rank(facts()), {0: "m-0"}, told)).values()
    assert isinstance(waits, Blocked)
    assert waits.code == "held"
    all_.forget("m-0")
    assert isinstance((await all_.send_batch(all_.rank(facts()), {0: "m-0"}, told))[0], Sent)
    for n in range(MAX_DOUBTFUL + 5):
        all_._remember(str(n), "aliyun", Unknown("aliyun", "no_answer", ""))
    assert len(all_._doubtful) == MAX_DOUBTFUL


def test_an_outage_of_all_enabled_providers_lasts_until_the_first_may_try_again() -> None:
    all_, soon = pool(ALIYUN, TENCENT), replace(BLOCKED, scope="tencent", after_s=5.0)
    assert all_.find_outage({"aliyun": BLOCKED}) is None
    assert all_.find_outage({"aliyun": BLOCKED, "tencent": soon}) == soon
    all_.apply({"tencent": Switch(enabled=False)})
    assert all_.find_outage({"aliyun": BLOCKED}) == BLOCKED


async def test_the_one_that_is_forced_is_asked_alone_though_switched_off() -> None:
    all_ = pool(ALIYUN, TENCENT)
    all_.apply({"tencent": Switch(enabled=False)})
    assert [provider.name for provider in all_.rank(facts(), "tencent")] == ["tencent"]
    assert all_.rank(facts(), "nobody") == []


def test_stats_count_an_hour_and_show_reasons_without_people() -> None:
    clock = Clock()
    stats = ProviderStats(clock)
    for took_s in (0.05, 0.05, 0.05, 4.0):
        stats.record_call(took_s)
    stats.record(Sent("aliyun"))
    stats.record(Refused("aliyun", "550", "no <zhang@example.com> at +8613800138000 here", "recipient"))
    stats.record(Blocked("aliyun", "aliyun template SMS_1", "illegal", "not approved", 60.0, "template"))
    assert stats.counts() == (1, 1)
    assert 4.0 <= (stats.p95_s() or 0.0) <= 5.0
    (block,) = stats.blocks
    assert (block.scope, block.detail, block.since) == ("aliyun template SMS_1", "not approved", clock.now)
    stats.record(Sent("aliyun"))
    assert len(stats.blocks) == 1, "other templates' success says nothing of this one"
    clock.now += 63
    assert stats.blocks == []
    assert stats.last_error is not None
    assert stats.last_error.code == "illegal"
    clock.now += 13 * SLOT_S
    assert stats.counts() == (0, 0)
    assert stats.p95_s() is None
    assert hide_personal("550 no <zhang@example.com> at +8613800138000 here") == "550 no … at … here"
