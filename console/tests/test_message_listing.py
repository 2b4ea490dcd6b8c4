"""Pages of a listing whose API knows only what comes next, and what a fresh look at one finds."""

from typing import Any

import pytest

from imsg_console.features.messages.listing import Listing, read_page
from imsg_console.features.messages.live import compare
from imsg_console.message.pace import FIRST_S, LONGEST_S, Pace


class Shelf:
    """As many messages as one likes behind an API of cursors; counts how often it was asked."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Answer as GET /api/v2/messages does."""
        assert path == "/api/v2/messages"
        self.asked += 1
        start, limit = int(str(params["cursor"] or 0)), int(str(params["limit"]))
        end = min(start + limit, self.count)
        rows = [message(self.count - n) for n in range(start, end)]
        return {"messages": rows, "next": str(end) if end < self.count else None}


def message(number: int, status: str = "sent", at: str = "2026-11-25T00:00:00Z") -> dict[str, Any]:
    """Make the message that was sent as the so manieth."""
    return {"id": f"{number:032x}-0", "status": status, "updated_at": at}


def first(number: int, count: int) -> str:
    """Name the message that heads a page of 50."""
    return f"{count - (number - 1) * 50:032x}-0"


async def test_pages_follow_one_another_and_lead_back() -> None:
    listing = Listing(Shelf(120), {})
    for number in (1, 2, 3, 2, 1):
        part = await listing.load(number)
        assert (part.number, part.messages[0]["id"]) == (number, first(number, 120))
        assert (part.next is None) is (number == 3)


async def test_page_1000_is_walked_to_in_strides_and_the_one_before_it_is_near() -> None:
    shelf, walked = Shelf(60_000), list[int]()
    listing = Listing(shelf, {})
    part = await listing.load(1000, walked.append)
    assert part.messages[0]["id"] == first(1000, 60_000)
    assert shelf.asked <= 101
    assert walked == sorted(walked)
    asked = shelf.asked
    assert (await listing.load(999)).messages[0]["id"] == first(999, 60_000)
    assert shelf.asked <= asked + 2


async def test_a_shared_link_opens_at_its_page_at_once() -> None:
    shelf = Shelf(5_000)
    listing = Listing(shelf, {})
    listing.knows(40, str(39 * 50))
    assert (await listing.load(40)).messages[0]["id"] == first(40, 5_000)
    assert shelf.asked == 1
    assert (await listing.load(39)).messages[0]["id"] == first(39, 5_000)


@pytest.mark.parametrize(("count", "last"), [(0, 1), (50, 1), (51, 2), (1_234, 25)])
async def test_beyond_the_end_the_last_page_is_shown(count: int, last: int) -> None:
    part = await Listing(Shelf(count), {}).load(900)
    assert (part.number, part.next) == (last, None)


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("", 1), ("-3", 1), ("0", 1), ("٣", 1), ("9" * 30, 1)])
def test_a_page_number_is_read_from_anything(text: str, number: int) -> None:
    assert read_page(text) == number


def test_changes_are_found_in_place_and_news_are_counted_not_shown() -> None:
    shown = [message(5, "queued"), message(4), message(3)]
    fresh = [message(7), message(6), message(5, "sent", "2026-11-25T00:00:01Z"), message(4)]
    news = compare(shown, fresh, ended=False)
    assert [one["status"] for one in news.messages] == ["sent", "sent", "sent"]
    assert (news.arrived, news.gone, news.changed) == (2, frozenset(), True)


def test_what_fits_the_filter_no_more_is_told_from_what_was_pushed_down() -> None:
    shown = [message(5), message(4), message(3)]
    assert compare(shown, [message(6), message(4)], ended=False).gone == {message(5)["id"]}
    assert compare(shown, [message(4)], ended=True).gone == {message(5)["id"], message(3)["id"]}


def test_nothing_new_is_no_change() -> None:
    shown = [message(5), message(4)]
    assert not compare(shown, list(shown), ended=True).changed


def test_looks_grow_rare_while_nothing_happens_and_frequent_once_something_does() -> None:
    pace = Pace()
    waits = [pace.after(changed=False, waiting=False) for _ in range(20)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S
    assert pace.after(changed=True, waiting=False) == FIRST_S
