"""Sending again: what is meant by a filter, and asking for each until it is answered."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from imsg_console.client import ApiError
from imsg_console.messages.filters import Filters
from imsg_console.messages.resend import Tally, meant, send_again

AWAY = ApiError("unreachable")
LIMIT = ApiError("per_hour_used_up", "本小时的5次已用完。", 10013)
NOTHING = ApiError("nothing_to_resend", "没有可以重发的消息。", 10016)
UNKNOWN = ApiError("outcome_unknown", "不能确定。", 10012)


class Gateway:
    """Answers POST /api/v2/resend with what is written down, then with success; remembers the keys."""

    def __init__(self, *answers: ApiError | None) -> None:
        self._answers = list(answers)
        self.keys: list[str] = []

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Answer."""
        assert path == "/api/v2/resend"
        self.keys.append(headers["idempotency_key"])
        if self._answers and (refusal := self._answers.pop(0)) is not None:
            raise refusal
        return {"id": f"new-{body['id']}", "count": 2}


class History:
    """Lists failed messages of two requests, two pages."""

    async def pages(self, path: str, field: str, **params: object) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield them."""
        assert (path, field) == ("/api/v2/messages", "messages")
        yield [{"id": f"b-{n}-{params['status']}"} for n in range(2)]
        yield [{"id": "a-0"}]


async def test_what_is_away_is_asked_again_under_the_same_key() -> None:
    gateway = Gateway(AWAY, UNKNOWN, None)
    tally = await send_again(gateway, ["a", "b"], "key", waits_s=(0, 0, 0))
    assert gateway.keys == ["key-0", "key-0", "key-0", "key-1"]
    assert (tally.done, tally.messages, tally.requests) == (2, 4, ["new-a", "new-b"])


async def test_what_stays_away_ends_the_work() -> None:
    with pytest.raises(ApiError, match="unreachable"):
        await send_again(Gateway(*[AWAY] * 9), ["a", "b"], "key", waits_s=(0, 0))


async def test_a_limit_that_is_used_up_ends_the_work_at_once() -> None:
    gateway, seen = Gateway(None, LIMIT), list[int]()

    def count(tally: Tally) -> None:
        seen.append(tally.done)

    with pytest.raises(ApiError, match="per_hour_used_up"):
        await send_again(gateway, ["a", "b", "c"], "key", progress=count, waits_s=(0,))
    assert (gateway.keys, seen) == (["key-0", "key-1"], [1])


async def test_a_refusal_of_one_is_told_and_the_others_go_on() -> None:
    tally = await send_again(Gateway(NOTHING), ["a", "b"], "key")
    assert (tally.done, tally.failures, tally.refused) == (2, 1, [("a", NOTHING.detail)])
    assert tally.requests == ["new-b"]


async def test_a_filter_means_whole_requests_each_once() -> None:
    assert await meant(History(), Filters(), {}) == ["b", "a"]


async def test_a_filter_that_cuts_through_requests_means_messages() -> None:
    found = await meant(History(), Filters(to="x@example.com", status="failed"), {})
    assert found == ["b-0-failed", "b-1-failed", "a-0"]
