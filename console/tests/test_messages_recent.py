"""Lists that were sent are found however many messages came after them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_console.client import ApiError
from imsg_console.features.messages.recent import CALLS, LISTS, LOOKED_AT, Recent

EPOCH = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass
class History:
    """What GET /api/v2/messages and /requests/ID answer, of requests by their sizes, the oldest first."""

    sizes: list[int]
    calls: int = 0
    times: Mapping[int, int] = field(default_factory=dict)
    """Requests that came in another millisecond than their own number."""

    def at(self, number: int) -> str:
        """Return when a request came."""
        ms = self.times.get(number, number)
        return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Answer."""
        self.calls += 1
        if path.startswith("/api/v2/requests/"):
            return {"counts": {"sent": self.sizes[int(path.rpartition("/")[2], 16)]}}
        until, limit = str(params["until"] or "9"), int(str(params["limit"]))
        start = int(str(params["cursor"] or 0))
        shown: list[dict[str, Any]] = []
        for number in reversed(range(len(self.sizes))):
            if self.at(number) < until:
                room = start + limit + 1 - len(shown)
                count = min(self.sizes[number], room)
                shown += [{"id": f"{number:032x}-{n}", "created_at": self.at(number)} for n in range(count)]
        end = start + limit
        return {"messages": shown[start:end], "next": str(end) if len(shown) > end else None}


async def read_all(history: History) -> list[tuple[int, int]]:
    recent, lists = Recent(history, "zhang"), []
    while not recent.is_at_end:
        lists += await recent.more()
    return [(int(one.request, 16), one.count) for one in lists]


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [1],
        [2],
        [300, 1, 10_000],
        [5] + [1] * 2_000,
        [1] * 150 + [100] + [1] * 150,
        [LOOKED_AT] * 3,
        [LOOKED_AT - 1, 1, LOOKED_AT + 1, 1, LOOKED_AT - 1, 2],
        list(range(1, 60)),
    ],
)
async def test_every_list_is_found_once_with_its_count(sizes: list[int]) -> None:
    expected = [(number, size) for number, size in enumerate(sizes) if size > 1][::-1]
    assert await read_all(History(sizes)) == expected


async def test_lists_of_one_millisecond_are_all_found() -> None:
    history = History([150, 150, 150, 3], times={0: 7, 1: 7, 2: 7, 3: 9})
    assert [number for number, _ in await read_all(history)] == [3, 2, 1, 0]


async def test_ten_lists_of_ten_thousand_take_few_calls() -> None:
    history = History([10_000] * 10)
    recent = Recent(history, "zhang")
    assert [one.count for one in await recent.more()] == [10_000] * LISTS
    assert history.calls <= 2 * LISTS


async def test_thousands_of_single_messages_are_looked_through_a_part_at_a_time() -> None:
    history = History([2] + [1] * 2 * CALLS * LOOKED_AT)
    recent = Recent(history, "zhang")
    assert (await recent.more(), recent.is_at_end, history.calls) == ([], False, CALLS)


async def test_a_list_that_cannot_be_counted_says_that_there_are_more() -> None:
    class Uncounted(History):
        async def get(self, path: str, **params: object) -> dict[str, Any]:
            if path.startswith("/api/v2/requests/"):
                raise ApiError("unreachable")
            return await super().get(path, **params)

    (one,) = await Recent(Uncounted([300, 1]), "zhang").more()
    assert (one.count, one.is_more) == (LOOKED_AT, True)
