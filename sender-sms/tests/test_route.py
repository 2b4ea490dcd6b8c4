"""Which calls a route makes: few for one bad number, none twice for a good one, none to who can't send it."""

from collections.abc import Mapping, Sequence

import pytest

from imsg_contract.wire import Again, Blocked, Recipient, Refused, Sent, TemplateLimits
from imsg_sms.providers import Answer
from imsg_sms.route import Carrier, Route
from imsg_sms.templates import Message

WORDS = Message("code", {"code": "4370"}, "码4370")


class Strict:
    """A provider that refuses a call whole where one of its numbers is bad."""

    name = "strict"
    is_mixing = True
    takes_text = True
    limits: Mapping[str, TemplateLimits] = {}

    def __init__(self, most: int, *bad: str) -> None:
        self.most = most
        self.bad = set(bad)
        self.calls: list[Sequence[str]] = []

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> Answer:
        """Answer."""
        del message, reference
        self.calls.append(numbers)
        if self.bad & set(numbers):
            return Answer(Refused(self.name, "bad", ""), "recipient", of_one=True)
        return Answer(Sent(self.name, "1"))


class Broken(Strict):
    """A provider that has a trouble of its own."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(1_000)
        self.answer = answer

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> Answer:
        """Answer."""
        del message, reference
        self.calls.append(numbers)
        return self.answer


def everybody(count: int) -> list[Recipient]:
    """Name recipients."""
    return [Recipient(n=n, to=str(n), address=f"+86138{n:08d}") for n in range(count)]


def route(*providers: Strict) -> Route:
    """Make a route over providers that are trusted."""
    return Route([Carrier.of(provider, lambda: 0.0) for provider in providers])


@pytest.mark.parametrize("most", [1_000, 200])
@pytest.mark.parametrize("at", [0, 499, 637, 999])
async def test_one_bad_number_among_a_thousand_costs_21_calls_at_most(most: int, at: int) -> None:
    people = everybody(1_000)
    provider = Strict(most, people[at].address)
    results = await route(provider).send(WORDS, people, "r/0")
    assert [n for n, result in results.items() if isinstance(result, Refused)] == [at]
    assert len(provider.calls) <= 21
    taken = [number for call in provider.calls if not provider.bad & set(call) for number in call]
    assert len(taken) == len(set(taken)) == 999


async def test_who_was_answered_alone_is_tried_elsewhere_alone() -> None:
    """The others have it already."""
    people = everybody(3)
    blocked = Answer(Blocked("first", "first", "x", "", 60.0), "account")
    first = Broken(Answer(Sent("first", "1"), each={people[1].address: blocked}))
    second = Strict(10)
    results = await route(first, second).send(WORDS, people, "r/0")
    assert second.calls == [[people[1].address]]
    assert [result.provider for result in results.values()] == ["first", "strict", "first"]


async def test_a_trouble_of_the_recipient_is_not_tried_elsewhere() -> None:
    """Another provider would only send once more to who had too many."""
    second = Strict(10)
    results = await route(Broken(Answer(Again("first", "limit", ""), "recipient")), second).send(
        WORDS, everybody(1), "r/0"
    )
    assert second.calls == []
    assert isinstance(results[0], Again)
