"""The API while history hangs, or Redis refuses the services: an error within seconds, and no channel called open."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from imsg_runtime.redis import connect
from imsg_testing.services import Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 30.0
"""How long a client waits, also where the machine stands still: the relay gives up after 5 s (`CALL_TIMEOUT_S`)."""


def read(deployment: Services, path: str, token: str) -> int:
    """Get a path; return the error code of the answer. Raises httpx.ReadTimeout where none comes."""
    answer = httpx.get(f"{deployment.urls[0]}{path}", params={"token": token}, timeout=PATIENCE_S)
    return int(answer.json()["errorCode"])


def test_queries_give_up_after_seconds_while_history_hangs(deployment: Services) -> None:
    token = deployment.token()
    paths = ("/api/query", "/api/v2/messages", "/api/v2/requests", "/api/v2/stats", "/api/v2/dead", "/api/v2/channels")
    for path in paths:
        wait(lambda asked=path: read(deployment, asked, token) == 0, within_s=60)  # type: ignore[misc]
    deployment.history.process.pause()
    try:
        answers = {path: read(deployment, path, token) for path in paths}
    finally:
        deployment.history.process.signal(signal.SIGCONT)
    asked = [path for path in paths if path != "/api/v2/channels"]
    assert {path: answers[path] for path in asked} == dict.fromkeys(asked, 10012)
    wait(lambda: read(deployment, "/api/v2/messages", token) == 0, within_s=60)


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
        url = f"{deployment.urls[0]}/api/v2/channels"
        answer = httpx.get(url, params={"token": token}, timeout=PATIENCE_S).json()
        return {channel["state"] for channel in answer.get("channels", ()) if channel["method"] == "smtp"}

    wait(lambda: states() == {"open"}, within_s=60)
    with refuse_log_ins(deployment.valkey.url):
        wait(lambda: states() in (set(), {"blocked"}), within_s=60)
        answers = [states() for _ in range(20)]
        assert all(answer in (set(), {"blocked"}) for answer in answers), answers
    wait(lambda: states() == {"open"}, within_s=60)
