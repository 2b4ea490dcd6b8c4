"""Sending again: what is meant by a filter, and asking for each until it is answered."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from imsg_console.client import ApiError
from imsg_console.message.filters import Filters
from imsg_console.message.resend import Progress, find_failed, send_again
from imsg_console.message.resend_plan import Plan, find_bodies, segments

AWAY = ApiError("unreachable")
LIMIT = ApiError("per_hour_used_up", "本小时的5次已用完。", 10013)
NOTHING = ApiError("nothing_to_resend", "没有可以重发的消息。", 10016)
UNKNOWN = ApiError("outcome_unknown", "不能确定。", 10012)


def write_asked(*ids: str) -> list[dict[str, Any]]:
    """Write what is asked for."""
    return [{"id": message_id} for message_id in ids]


def message(identity: str, status: str = "failed", code: str = "554 5.3.0", **more: object) -> dict[str, Any]:
    """Write a message as the API lists it."""
    told: dict[str, Any] = {
        "id": identity,
        "method": "smtp",
        "status": status,
        "error": {"code": code},
        "resent_as": [],
    }
    return told | more


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
    progress = await send_again(gateway, write_asked("a", "b"), "key", waits_s=(0, 0, 0))
    assert gateway.keys == ["key-0", "key-0", "key-0", "key-1"]
    assert (progress.done, progress.messages, progress.requests) == (2, 4, ["new-a", "new-b"])


async def test_what_stays_away_ends_the_work() -> None:
    with pytest.raises(ApiError, match="unreachable"):
        await send_again(Gateway(*[AWAY] * 9), write_asked("a", "b"), "key", waits_s=(0, 0))


async def test_a_limit_that_is_used_up_ends_the_work_at_once() -> None:
    gateway, seen = Gateway(None, LIMIT), list[int]()

    def count(progress: Progress) -> None:
        seen.append(progress.done)

    with pytest.raises(ApiError, match="per_hour_used_up"):
        await send_again(gateway, write_asked("a", "b", "c"), "key", on_progress=count, waits_s=(0,))
    assert (gateway.keys, seen) == (["key-0", "key-1"], [1])


async def test_a_refusal_of_one_is_reported_and_the_others_go_on() -> None:
    progress = await send_again(Gateway(NOTHING), write_asked("a", "b"), "key")
    assert (progress.done, progress.failures, progress.refused) == (2, 1, [("a", NOTHING.detail)])
    assert progress.requests == ["new-b"]


async def test_a_filter_means_what_failed_or_what_it_names() -> None:
    assert [message["id"] for message in await find_failed(History(), Filters(), {})] == [
        "b-0-expired,failed",
        "b-1-expired,failed",
        "a-0",
    ]
    found = await find_failed(History(), Filters(status="uncertain,sent"), {})
    assert found[0]["id"] == "b-0-uncertain"


def test_what_was_resent_and_what_can_only_fail_again_is_left_out() -> None:
    plan = Plan.of(
        [
            message("a-0"),
            message("a-1", code="550 5.1.1"),
            message("a-2", resent_as=["b-0"]),
            message("a-3", "uncertain", "timeout"),
            message("a-4", "expired", "expired"),
            message("a-5", "sent"),
            message("a-0"),
        ]
    )
    assert [message["id"] for message in plan.failed] == ["a-0", "a-4"]
    assert [message["id"] for message in plan.hopeless] == ["a-1"]
    assert [message["id"] for message in plan.resent] == ["a-2"]
    assert [message["id"] for message in plan.uncertain] == ["a-3"]
    assert plan.others == 1


class Requests:
    """Knows how many messages of each request have failed, expired or are uncertain."""

    def __init__(self, **counts: Mapping[str, int]) -> None:
        self._counts = counts

    async def get(self, path: str, **_: object) -> dict[str, Any]:
        """Return the counts of a request."""
        return {"counts": self._counts[path.removeprefix("/api/v2/requests/")]}


async def test_a_request_is_resent_whole_where_all_that_failed_is_chosen() -> None:
    plan = Plan.of([message("a-0"), message("a-2", "expired"), message("a-3", resent_as=["b-0"]), message("b-0")])
    requests = Requests(a={"failed": 2, "expired": 1, "sent": 4, "uncertain": 7})
    assert await find_bodies(requests, plan, uncertain=False) == [
        {"id": "a", "uncertain": False},
        {"id": "b-0", "uncertain": False},
    ]


@pytest.mark.parametrize("left_out", [message("a-3", code="550 5.1.1"), None], ids=["hopeless", "not chosen"])
async def test_each_message_is_resent_by_itself_where_some_are_left_out(left_out: dict[str, Any] | None) -> None:
    plan = Plan.of([message("a-0"), message("a-2"), *([left_out] if left_out else [])])
    assert await find_bodies(Requests(a={"failed": 3}), plan, uncertain=False) == [
        {"id": "a-0", "uncertain": False},
        {"id": "a-2", "uncertain": False},
    ]


async def test_uncertain_messages_count_where_they_are_chosen() -> None:
    plan = Plan.of([message("a-0"), message("a-1", "uncertain", "timeout")])
    requests = Requests(a={"failed": 1, "uncertain": 1})
    assert await find_bodies(requests, plan, uncertain=True) == [{"id": "a", "uncertain": True}]
    assert await find_bodies(requests, plan, uncertain=False) == [{"id": "a-0", "uncertain": False}]


def test_segments_are_summed() -> None:
    assert segments([message("a-0", segments=2), message("a-1", segments=3), message("a-2")]) == 5
