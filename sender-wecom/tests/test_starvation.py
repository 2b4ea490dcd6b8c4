"""After any answer to one message, the other messages of a robot are sent within a minute."""

import asyncio
import secrets
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from imsg_contract.results import Result
from imsg_contract.wire import Recipient
from imsg_limits.pace import Pace, Rate
from imsg_testing.http_stub import Asked, BreakOff, HttpStub, Step, reply
from imsg_testing.jobs import make_job
from imsg_testing.starvation import POISON, begin, draw_arrivals, find_starved, play
from imsg_wecom.channel import WeComChannel
from imsg_wecom.codes import CODES
from imsg_wecom.settings import Robot, WeCom
from imsg_wecom.webhook import open_client

NOW = datetime(2026, 11, 1, tzinfo=UTC)
REQUEST = "0193643f5a7c7d3e8f1a2b3c4d5e6f70"
"""Of every message, which so keeps its name over its attempts; `n` tells them apart."""
ANSWERS: dict[str, Step] = {str(code): reply({"errcode": code, "errmsg": "no"}) for code in (*CODES, 99_999)}
ANSWERS |= {"hangs up": BreakOff(b""), "gibberish": reply({"code": "hm"})}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_is_answered_about_one_message_others_go_within_a_minute(answer: str) -> None:
    seed = secrets.randbits(32)
    random, clock = begin(seed)
    arrivals = draw_arrivals(random, 12)
    stub = HttpStub(lambda asked: ANSWERS[answer] if is_poison(asked) else reply({"errcode": 0, "errmsg": "ok"}))
    async with stub.running(), open_client() as client:
        robots = {"ops": Robot(key=SecretStr("k"), endpoint=stub.url)}
        pace = Pace(Rate(1_000, 1.0, 1_000), asyncio.get_running_loop().time)
        channel = WeComChannel(WeCom(robots=robots), client, pace, clock)

        async def send(name: str) -> Result:
            recipient = Recipient(n=list(arrivals).index(name), to="ops", address="ops")
            job = make_job(at=NOW, request=REQUEST, method="wecom", content=name, recipients=(recipient,))
            return (await channel.deliver(job, {"text": {"content": name}}, [recipient]))[recipient.n]

        settled = await play(clock, arrivals, send, random, 3_600.0)
    assert find_starved(settled, arrivals) == {}, f"seed {seed}"


def is_poison(asked: Asked) -> bool:
    """Return whether a call has the message that fails."""
    return POISON.encode() in asked.body
