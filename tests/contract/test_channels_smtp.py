"""The mail channel keeps the worker's contract: a result for whatever the server does, and no exception."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from imsg_channels import METHODS
from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient
from imsg_delivery.channel import Channel
from imsg_smtp.main import Smtp, Timeouts, open_channel
from imsg_testing.jobs import make_job
from imsg_testing.smtp_server import Act, Raw, ScriptedReply, SmtpServer, smtp_server
from imsg_web import service_client

WITHIN_S = 60.0
"""How long a channel may take to answer, whatever its provider does."""

PATIENT = Timeouts(
    connect_s=60, greeting_s=60, command_s=60, data_s=60, block_s=60, dot_s=60, reset_s=60, probe_s=60, quit_s=0.3
)
SHORT_S = 0.3


@dataclass(frozen=True)
class Case:
    """What the provider does, and the results that are right for it."""

    replies: Mapping[str, ScriptedReply | Sequence[ScriptedReply]]
    expected: tuple[type[Result], ...]
    """The first is right for one message; any of them for many at once."""
    timeouts: Timeouts = PATIENT


CASES: Mapping[str, Case] = {
    "accepted": Case({}, (Sent,)),
    "temporary": Case({"RCPT": "450 4.2.0 greylisted"}, (Again,)),
    "temporary after the body": Case({"DOT": "451 4.3.0 later"}, (Again,)),
    "temporary for all": Case({"GREETING": "421 4.3.2 not now"}, (Again, Blocked)),
    "permanent": Case({"RCPT": "550 5.1.1 no such user"}, (Refused,)),
    "permanent after the body": Case({"DOT": "554 5.7.1 looks like spam"}, (Refused,)),
    "permanent for all": Case({"GREETING": "554 5.3.2 no service"}, (Blocked,)),
    "slow to greet": Case({"GREETING": Act.HANG}, (Again, Blocked), replace(PATIENT, greeting_s=SHORT_S)),
    "slow to begin": Case({"MAIL": Act.HANG}, (Again, Blocked), replace(PATIENT, command_s=SHORT_S)),
    "slow to end": Case({"DOT": Act.HANG}, (Unknown, Blocked), replace(PATIENT, dot_s=SHORT_S)),
    "cut off at once": Case({"GREETING": Act.RESET}, (Again, Blocked)),
    "cut off before it has the message": Case({"DATA": Act.DROP}, (Again, Blocked)),
    "cut off once it has the message": Case({"DOT": Act.RESET}, (Unknown, Blocked)),
    "gibberish for a greeting": Case({"GREETING": Raw(b"\x16\x03\x01 hello\r\n")}, (Again, Blocked)),
    "gibberish before it has the message": Case({"RCPT": Raw(b"\x00\xff\r\n")}, (Again, Blocked)),
    "gibberish once it has the message": Case({"DOT": Raw(b"{}\r\n")}, (Unknown, Blocked)),
}


def job(recipients: int = 1) -> Job:
    to = [f"user{n}@example.com" for n in range(recipients)]
    return make_job(*to, request="0192f0c4a7b17d3e8f00112233445566", lane=Lane.NORMAL)


@asynccontextmanager
async def channel_to(server: SmtpServer, timeouts: Timeouts = PATIENT) -> AsyncIterator[Channel[Any]]:
    smtp = Smtp(host=server.host, port=server.port, sender="天存 <noreply@example.com>", connections=4)
    async with (
        service_client.connect("http://history", (SecretStr("key"),), {}) as history,
        open_channel(smtp, history, timeouts=timeouts) as channel,
    ):
        yield channel


async def deliver(channel: Channel[Any], made: Job, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
    async with asyncio.timeout(WITHIN_S):
        prepared = await channel.prepare(made)
        assert not isinstance(prepared, get_args(Result))
        return await channel.deliver(made, prepared, recipients)


@pytest.mark.parametrize("case", CASES)
async def test_whatever_the_provider_does_to_one_message_has_its_result(case: str) -> None:
    async with smtp_server(CASES[case].replies) as server, channel_to(server, CASES[case].timeouts) as channel:
        made = job()
        results = await deliver(channel, made, made.recipients)
        assert set(results) == {0}
        assert isinstance(results[0], CASES[case].expected[0]), results[0]


@pytest.mark.parametrize("case", CASES)
async def test_whatever_the_provider_does_to_many_at_once_each_has_its_result(case: str) -> None:
    async with smtp_server(CASES[case].replies) as server, channel_to(server, CASES[case].timeouts) as channel:
        made = job(20)
        answers = await asyncio.gather(*(deliver(channel, made, [recipient]) for recipient in made.recipients))
        results = {n: result for answer in answers for n, result in answer.items()}
        assert set(results) == set(range(20))
        assert {type(result) for result in results.values()} <= set(CASES[case].expected)


@pytest.mark.parametrize("case", CASES)
async def test_a_provider_that_recovers_is_used_again(case: str) -> None:
    once: dict[str, ScriptedReply | Sequence[ScriptedReply]] = {}
    for command, step in CASES[case].replies.items():
        assert isinstance(step, ScriptedReply)
        once[command] = [step]
    async with smtp_server(once) as server, channel_to(server, CASES[case].timeouts) as channel:
        made = job(2)
        await deliver(channel, made, made.recipients[:1])
        results = await deliver(channel, made, made.recipients[1:])
        while CASES[case].timeouts is not PATIENT and not isinstance(results[1], Sent | Blocked):
            results = await deliver(channel, made, made.recipients[1:])  # the machine stood still during the short wait
        # A server that did not greet in time is left alone for some seconds, so that the next one is asked.
        is_left_alone = case == "slow to greet" or ("for all" in case and "permanent" in case)
        assert isinstance(results[1], Blocked if is_left_alone else Sent), results[1]


@pytest.mark.parametrize("case", CASES)
async def test_a_result_can_be_stored_whatever_the_provider_replies(case: str) -> None:
    async with smtp_server(CASES[case].replies) as server, channel_to(server, CASES[case].timeouts) as channel:
        made = job()
        (result,) = (await deliver(channel, made, made.recipients)).values()
        assert result.provider == "smtp"
        kept = json.dumps(
            [getattr(result, name, None) for name in ("code", "detail", "provider_id", "scope")], ensure_ascii=False
        )
        assert "\\u0000" not in kept
        kept.encode()


async def test_its_terms_give_both_lanes_a_share() -> None:
    async with smtp_server() as server, channel_to(server) as channel:
        assert channel.method in METHODS
        assert set(channel.terms.concurrency) == set(Lane) - {Lane.TEST}
        assert min(channel.terms.concurrency.values()) >= 1
        assert channel.terms.chunk_size >= channel.terms.call_size >= 1
