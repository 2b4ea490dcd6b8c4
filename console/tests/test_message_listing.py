"""Pages of a list whose API knows only what comes next, and what a refresh of one finds."""

from typing import Any, cast

import pytest

from imsg_console.features.messages.live import compare
from imsg_console.message.pace import FIRST_S, MAX_S, Pace
from imsg_console.texts import Texts
from imsg_console.widgets.paging import Listing, Loaded, Position, describe_total, read_page
from imsg_web.schemas import MAX_TOTAL


class Messages:
    """As many messages as one likes behind an API of cursors; counts its calls."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.calls = 0

    async def load(self, position: Position) -> Loaded:
        """Return messages, the next cursor, and where it is asked for the total."""
        self.calls += 1
        start = int(cast("str | None", position["cursor"]) or 0)
        end = min(start + cast("int", position["limit"]), self.count)
        rows = [message(self.count - n) for n in range(start, end)]
        total = min(self.count, MAX_TOTAL + 1) if position.get("total") else None
        return Loaded(rows, str(end) if end < self.count else None, total)


def list_messages(messages: Messages) -> Listing:
    """List them in pages of 50."""
    return Listing(messages.load, size=50, stride=10)


def message(number: int, status: str = "sent", at: str = "2026-11-25T00:00:00Z") -> dict[str, Any]:
    """Make the message that was sent as the so manieth."""
    return {"id": f"{number:032x}-0", "status": status, "updated_at": at}


def first(number: int, count: int) -> str:
    """Return the id of the first message on a page of 50."""
    return f"{count - (number - 1) * 50:032x}-0"


async def test_pages_follow_one_another_and_lead_back() -> None:
    listing = list_messages(Messages(120))
    for number in (1, 2, 3, 2, 1):
        page = await listing.load(number)
        assert (page.number, page.rows[0]["id"]) == (number, first(number, 120))
        assert (page.next is None) is (number == 3)


async def test_page_1000_is_walked_to_in_strides_and_the_one_before_it_is_near() -> None:
    messages, walked = Messages(60_000), list[int]()
    listing = list_messages(messages)
    page = await listing.load(1000, walked.append)
    assert page.rows[0]["id"] == first(1000, 60_000)
    assert messages.calls <= 101
    assert walked == sorted(walked)
    calls = messages.calls
    assert (await listing.load(999)).rows[0]["id"] == first(999, 60_000)
    assert messages.calls <= calls + 2


async def test_a_shared_link_opens_at_its_page_at_once() -> None:
    messages = Messages(5_000)
    listing = list_messages(messages)
    listing.remember(40, str(39 * 50))
    assert (await listing.load(40)).rows[0]["id"] == first(40, 5_000)
    assert messages.calls == 1
    assert (await listing.load(39)).rows[0]["id"] == first(39, 5_000)


@pytest.mark.parametrize(("count", "last"), [(0, 1), (50, 1), (51, 2), (1_234, 25)])
async def test_beyond_the_end_the_last_page_is_shown(count: int, last: int) -> None:
    page = await list_messages(Messages(count)).load(900)
    assert (page.number, page.next) == (last, None)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (20, "共 20 条"),
        (1_234, "共 1,234 条"),
        (10_000, "共 10,000 条"),
        (10_001, "共 10,000 条以上"),
        (60_000, "共 10,000 条以上"),
    ],
)
async def test_a_list_shows_how_many_rows_it_has_up_to_a_bound(count: int, text: str) -> None:
    listing = Listing(Messages(count).load, size=50, stride=10, counts=True)
    for number in (1, 3, 300):
        page = await listing.load(number)
        if page.next:
            assert describe_total(Texts("zh"), page) == text
    assert describe_total(Texts("zh"), await listing.load(1)) == text


async def test_a_list_that_is_not_counted_shows_what_is_known() -> None:
    listing = list_messages(Messages(120))
    shown = [describe_total(Texts("zh"), await listing.load(number)) for number in (1, 2, 3)]
    assert shown == ["已列出 50 条，后面还有", "已列出 100 条，后面还有", "共 120 条"]


async def test_a_refresh_counts_nothing_unless_it_is_asked_to() -> None:
    listing = Listing(Messages(120).load, size=50, stride=10, counts=True)
    page = await listing.load(2)
    assert (await listing.reload(page, counts=False)).total is None
    assert (await listing.reload(page)).total == 120


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("", 1), ("-3", 1), ("0", 1), ("٣", 1), ("9" * 30, 1)])
def test_a_page_number_is_read_from_anything(text: str, number: int) -> None:
    assert read_page(text) == number


def test_changes_are_found_in_place_and_news_are_counted_not_shown() -> None:
    shown = [message(5, "queued"), message(4), message(3)]
    fresh = [message(7), message(6), message(5, "sent", "2026-11-25T00:00:01Z"), message(4)]
    news = compare(shown, fresh, ended=False)
    assert [message["status"] for message in news.messages] == ["sent", "sent", "sent"]
    assert (news.arrived, news.gone, news.changed) == (2, frozenset(), True)


def test_rows_outside_the_filter_are_distinguished_from_rows_pushed_down() -> None:
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
    assert waits[-1] == MAX_S
    assert pace.after(changed=True, waiting=False) == FIRST_S
