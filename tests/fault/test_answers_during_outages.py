"""The API while history hangs, or Redis refuses the services: an error within seconds, and no channel called open."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from imsg_runtime.redis import connect
from imsg_testing.services import Services
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

GIVE_UP_S = 5.0
"""`CALL_TIMEOUT_S` of the relay."""

SLACK_S = 2.0
"""Beside it, on a busy machine."""


def read(deployment: Services, path: str, token: str) -> tuple[int, float]:
    """Get a path; return the error code of the answer, and how long it took."""
    began = time.monotonic()
    answer = deployment.client.get(path, params={"token": token}).json()
    return answer["errorCode"], time.monotonic() - began


def test_queries_give_up_after_seconds_while_history_hangs(deployment: Services) -> None:
    token = deployment.token()
    paths = ("/api/query", "/api/v2/messages", "/api/v2/requests", "/api/v2/stats", "/api/v2/dead", "/api/v2/channels")
    assert {path: read(deployment, path, token)[0] for path in paths} == dict.fromkeys(paths, 0)
    deployment.history.process.pause()
    try:
        answers = {path: read(deployment, path, token) for path in paths}
    finally:
        deployment.history.process.signal(signal.SIGCONT)
    assert {path: took for path, (_, took) in answers.items() if took > GIVE_UP_S + SLACK_S} == {}
    asked = [path for path in paths if path != "/api/v2/channels"]
    assert {path: answers[path][0] for path in asked} == dict.fromkeys(asked, 10012)
    wait(lambda: read(deployment, "/api/v2/messages", token)[0] == 0, within_s=60)


@contextmanager
def refuse_log_ins(url: str) -> Iterator[None]:
    """Set a password of Redis' default user that no service knows, and cut its connections."""

    async def run(*commands: tuple[str, ...]) -> None:
        async with connect(url) as redis:
            for command in commands:
                await redis.call(*command)

    asyncio.run(
        run(
            ("ACL", "SETUSER", "tester", "on", ">secret", "+@all", "~*", "&*"),
            ("ACL", "SETUSER", "default", "resetpass", ">unknown"),
            ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        )
    )
    try:
        yield
    finally:
        own = url.replace("redis://", "redis://tester:secret@")
        asyncio.run(run_as(own))


async def run_as(url: str) -> None:
    """Remove the password of the default user again."""
    async with connect(url) as redis:
        await redis.call("ACL", "SETUSER", "default", "nopass")


def test_no_channel_is_open_while_redis_refuses_every_log_in(deployment: Services) -> None:
    token = deployment.token()

    def states() -> set[str]:
        answer = deployment.client.get("/api/v2/channels", params={"token": token}).json()
        return {channel["state"] for channel in answer.get("channels", ()) if channel["method"] == "smtp"}

    wait(lambda: states() == {"open"}, within_s=60)
    with refuse_log_ins(deployment.valkey.url):
        wait(lambda: states() in (set(), {"blocked"}), within_s=60)
        answers = [states() for _ in range(20)]
        assert all(answer in (set(), {"blocked"}) for answer in answers), answers
    wait(lambda: states() == {"open"}, within_s=60)
