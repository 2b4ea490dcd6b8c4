"""A mail server that limits its rate, in the words of the large mail providers: mail waits, slows down and goes."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from imsg_broker.port import Broker
from imsg_contract.topology import Topology
from imsg_smtp.channel import MailChannel
from imsg_smtp.main import Smtp, open_channel
from imsg_testing.brokers import open_ready
from imsg_testing.jobs import make_job
from imsg_testing.smtp_server import EXTENSIONS, ScriptedReply, SmtpServer, smtp_server
from imsg_testing.worker_harness import HistoryListener, accept, worker_of
from imsg_web import service_client

SPEED = 40.0
"""How many seconds of the mail channel pass in one of the test's."""

FIRST_THROTTLED = 5
"""However slow the machine is, this many mails in a row are throttled once: it may never reach the server's rate."""

QQ = (
    "550 Connection frequency limited",
    "550 Domain frequency limited. https://service.mail.qq.com/detail/122/1",
    "550 Sender frequency limited",
    "550 Ip frequency limited [192.0.2.1]",
    "550 Mailbox unavailable or access denied",
)
NETEASE = (
    "421 HL:ICC 163 mx1,PCgvCgC3,1 http://mail.163.com/help/help_spam_16.htm",
    "421 HL:IFC 163 mx1",
    "450 MI:DMC 163 mx1",
    "450 RP:DRC 163 mx1",
    "451 MI:SFQ 163 mx1",
    "451 RP:QRC 163 mx1",
    "451 DT:SPM 163 mx1",
    "550 MI:STC 163 mx1",
    "550 RP:TRC 163 mx1",
    "554 MI:STC 163 mx1",
    "554 HL:ITC 163 mx1",
)
GMAIL = (
    "421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP address.",
    "421 4.7.0 Try again later, closing connection.",
    "452 4.2.1 The user you are trying to contact is receiving mail too quickly.",
    "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages.",
    "550 5.4.5 Daily user sending limit exceeded.",
)
YAHOO = (
    "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
    "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.",
    "421 4.16.55 [TS01] Messages from 192.0.2.1 temporarily deferred due to excessive user complaints",
)
OUTLOOK = (
    "451 4.7.500 Server busy. Please try again later from [192.0.2.1].",
    "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
    "421 RP-001 Unfortunately, some messages from 192.0.2.1 weren't sent: the rate limit is exceeded.",
)
ANSWERS = QQ + NETEASE + GMAIL + YAHOO + OUTLOOK

pytestmark = pytest.mark.usefixtures("worker_looks")


@pytest.fixture
async def broker(valkey_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """Open one broker with one step, since a throttled mail asks for the longest."""
    async with open_ready(valkey_url, replace(topology, steps_s=(1,))) as broker:
        yield broker


def fast_clock() -> float:
    """Return the channel's time."""
    return time.monotonic() * SPEED


async def fast_sleep(seconds: float) -> None:
    """Sleep as long as that takes by the channel's time."""
    await asyncio.sleep(seconds / SPEED)


@asynccontextmanager
async def channel_to(server: SmtpServer) -> AsyncIterator[MailChannel]:
    """Open the mail channel, whose time is fast."""
    smtp = Smtp(host=server.host, port=server.port, sender="天存 <noreply@example.com>", connections=8)
    async with (
        service_client.connect("http://history", (SecretStr("key"),), {}) as history,
        open_channel(smtp, history, clock=fast_clock, sleep=fast_sleep) as channel,
    ):
        yield channel


class OnceThrottling(SmtpServer):
    """Gives each of some answers once: (command, recipient) → answer."""

    def __init__(self, answers: Mapping[tuple[str, str], str]) -> None:
        super().__init__({}, EXTENSIONS, {}, None)
        self.answers = dict(answers)

    def next_reply_for(self, command: str, recipients: Iterable[str]) -> ScriptedReply:
        """Throttle a mail once."""
        usual = super().next_reply_for(command, recipients)
        return next((own for one in recipients if (own := self.answers.pop((command, one), None))), usual)


class Throttling(SmtpServer):
    """Accepts some mails, throttles a few whenever they come, and from then on those beyond its rate."""

    def __init__(self, mails: int, within_s: float, answer: str) -> None:
        super().__init__({}, EXTENSIONS, {}, None)
        self.throttled = 0
        self._within_s = within_s
        self._answer = answer
        self._accepted_at = deque([-math.inf] * mails, mails)

    def next_reply_for(self, command: str, recipients: Iterable[str]) -> ScriptedReply:
        """Throttle a mail where too many came before it."""
        usual, now = super().next_reply_for(command, recipients), fast_clock()
        if command != "RCPT":
            return usual
        is_first_time = self._accepted_at[0] > -math.inf and self.throttled < FIRST_THROTTLED
        if is_first_time or now - self._accepted_at[0] < self._within_s:
            self.throttled += 1
            return self._answer
        self._accepted_at.append(now)
        return usual


async def test_a_mail_that_is_throttled_once_waits_and_goes(
    broker: Broker, redis_url: str, history: HistoryListener
) -> None:
    answers = {
        (stage, f"x@{stage.lower()}{n}.example"): answer
        for stage in ("RCPT", "DATA", "DOT")
        for n, answer in enumerate(ANSWERS)
    }
    addresses = [address for _, address in answers]
    new = make_job(*addresses)
    async with OnceThrottling(answers).running() as server, channel_to(server) as channel:
        async with worker_of(channel, broker, redis_url):
            await accept(broker, new)
            await history.wait_settled(new.request, len(addresses))
        assert server.answers == {}
    assert history.dead == []
    assert {addresses[n]: said for n, said in history.statuses(new.request).items() if said[-1] != "sent"} == {}
    assert sorted(mail.recipients[0] for mail in server.mails) == sorted(addresses)


@pytest.mark.parametrize("stage", ["GREETING", "MAIL"])
@pytest.mark.parametrize(
    "answers", [QQ, NETEASE, GMAIL, YAHOO, OUTLOOK], ids=["qq", "netease", "gmail", "yahoo", "outlook"]
)
async def test_a_server_that_throttles_before_it_knows_a_recipient_gets_all_later(
    broker: Broker, redis_url: str, history: HistoryListener, stage: str, answers: Sequence[str]
) -> None:
    new = make_job(*(f"user{n}@example.com" for n in range(5)))
    async with (
        smtp_server({stage: answers}) as server,
        channel_to(server) as channel,
        worker_of(channel, broker, redis_url),
    ):
        await accept(broker, new)
        await history.wait_settled(new.request, 5)
    assert history.dead == []
    assert {said[-1] for said in history.statuses(new.request).values()} == {"sent"}
    assert len(server.mails) == 5


@pytest.mark.parametrize("answer", [QQ[0], NETEASE[4], GMAIL[0], YAHOO[0], OUTLOOK[0], OUTLOOK[2]])
async def test_a_list_goes_as_fast_as_a_throttling_server_takes_it(
    broker: Broker, redis_url: str, history: HistoryListener, answer: str
) -> None:
    new = make_job(*(f"user{n}@example.com" for n in range(60)))
    async with Throttling(20, 10.0, answer).running() as server, channel_to(server) as channel:
        with capture_logs() as logged:
            async with worker_of(channel, broker, redis_url):
                await accept(broker, new)
                await history.wait_settled(new.request, 60)
    assert history.dead == []
    assert {said[-1] for said in history.statuses(new.request).values()} == {"sent"}
    assert len(server.mails) == 60
    assert [line["per_minute"] for line in logged if line["event"] == "domain_slowed"]
    assert server.throttled < 20
