"""Whatever a provider answers about one number, messages to others go within a minute: each code of each provider."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from imsg_contract.results import Again, Refused, Result, Sent
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Job, Recipient
from imsg_sms.providers import ProviderReply, aliyun, tencent, twilio, volcengine
from imsg_sms.providers.meanings import CodeTable, make_unreadable_reply
from imsg_sms.router import SmsRouter
from imsg_sms.templates import Message
from imsg_testing.jobs import make_job
from imsg_testing.starvation import POISON, Clock, begin, draw_arrivals, find_starved, play

TABLES: Mapping[str, CodeTable] = {module.KIND: module.TABLE for module in (aliyun, tencent, twilio, volcengine)}
WORDS = Message("code", {"code": "4370"}, "码4370")
NOW = datetime(2026, 11, 26, tzinfo=UTC)
REQUEST = "0193643f5a7c7d3e8f1a2b3c4d5e6f70"
"""Of every message, which so keeps its name over its attempts; `n` tells them apart."""
BAD = "+8613800000000"


class RefusesOneNumber:
    """A provider that refuses each call with one number."""

    mixes_countries = True
    takes_text = True
    takes_signature = True
    countries: tuple[str, ...] = ("+86",)
    limits: Mapping[str, TemplateLimits] = {"code": TemplateLimits(signature="【天存】")}

    def __init__(self, name: str, answer: ProviderReply, most: int = 1) -> None:
        self.name = self.kind = name
        self.answer, self.max_numbers = answer, most
        self.calls: list[Sequence[str]] = []

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> ProviderReply:
        """ProviderReply."""
        del message, reference
        self.calls.append(numbers)
        return self.answer if BAD in numbers else ProviderReply(Sent(self.name, "1"))


def job(name: str) -> Job:
    """Make a message's job."""
    return make_job(name, at=NOW, request=REQUEST, method="sms", content="x")


def answers(name: str) -> list[ProviderReply]:
    """Return what a provider may answer: each of its codes, an unknown one, and none."""
    table = TABLES[name]
    codes = (*table.listed, *(f"{kind}NEW" for kind in table.by_prefix))
    return [
        *(table.make_reply(name, code, "no", now=1e9, about="x") for code in codes),
        make_unreadable_reply(name, 429),
    ]


async def find_starved_by(answer: ProviderReply, name: str, seed: int) -> dict[str, object]:
    """Send messages, one of them to the number that is minded; return the others that were not sent in time."""
    random, clock = begin(seed)
    arrivals = draw_arrivals(random)
    route = SmsRouter([RefusesOneNumber(name, answer)], clock)
    people = {arrival: Recipient(n=n, to=arrival, address=f"+86139{n:08d}") for n, arrival in enumerate(arrivals)}
    people[POISON] = people[POISON].model_copy(update={"address": BAD})

    async def send(address: str) -> Result:
        recipient = people[address]
        return (await route.send(WORDS, [recipient], job(address)))[recipient.n]

    return find_starved(await play(clock, arrivals, send, random, 3_600.0), arrivals)


@pytest.mark.parametrize("name", TABLES)
async def test_whatever_is_answered_about_one_number_others_go_within_a_minute(name: str) -> None:
    seed = secrets.randbits(32)
    for answer in answers(name):
        assert await find_starved_by(answer, name, seed) == {}, f"seed {seed}, {answer}"


@pytest.mark.parametrize("name", TABLES)
async def test_one_number_that_spoils_a_call_is_found_and_the_others_go_at_once(name: str) -> None:
    """Except where the provider answered nothing, or limits the rate: then all results are unknown, or all wait."""
    people = [Recipient(n=n, to=str(n), address=f"+86139{n:08d}") for n in range(100)]
    people[37] = people[37].model_copy(update={"address": BAD})
    for answer in answers(name):
        if not answer.is_refused_whole:
            continue
        provider = RefusesOneNumber(name, answer, 1_000)
        results = await SmsRouter([provider], Clock()).send(WORDS, people, job("x"))
        assert [n for n, result in results.items() if not isinstance(result, Sent)] == [37]
        assert len(provider.calls) <= 15


async def test_a_template_refused_for_one_number_again_and_again_fails_for_that_number_alone() -> None:
    clock = Clock()
    answer = aliyun.TABLE.make_reply("aliyun", "isv.SMS_TEMPLATE_ILLEGAL", "not approved", now=1e9, about="code")
    route = SmsRouter([RefusesOneNumber("aliyun", answer)], clock)
    results = []
    for n, number in enumerate(("+8613900000001", BAD, "+8613900000002", BAD)):
        recipient = Recipient(n=n % 2 or n, to=number, address=number)
        results.append((await route.send(WORDS, [recipient], job(number)))[recipient.n])
        clock.now += 61.0
    assert [type(result) for result in results] == [Sent, Again, Sent, Refused]
