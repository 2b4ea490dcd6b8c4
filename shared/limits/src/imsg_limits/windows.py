"""Windows: the hours in which messages may be sent. What comes at another time is held until one opens.

Of several windows for a message any that is open lets it go. What no window is for goes at any time, and so do codes.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

import chinese_calendar
from pydantic import BaseModel, ConfigDict, Field

from imsg_contract.topology import WINDOWS
from imsg_contract.wire import Category
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

READ_S = 1.0
"""How often the windows are read: a change is in force after that."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Holidays = Literal["cn", "none"]
DayKind = Literal["holiday", "workday"]

MAX_DAYS = 60
"""How far ahead an opening is looked for. What meets none is held so long, and checked again."""

WARN_AHEAD = timedelta(days=30)
"""How long before a year begins its holidays are missed."""


class Window(BaseModel):
    """Hours of some days, by the clock of a zone; where `until` is not after `since` they end on the next day."""

    model_config = ConfigDict(frozen=True)

    id: str
    methods: tuple[str, ...]
    categories: tuple[Category, ...]
    zone: str
    days: tuple[Day, ...]
    since: Annotated[time, Field(alias="from")]
    until: Annotated[time, Field(alias="to")]
    holidays: Holidays


class Hold(NamedTuple):
    """Why a message waits: the window that opens first, and when."""

    until: datetime
    by: str

    @property
    def until_ms(self) -> int:
        """When, in Unix milliseconds."""
        return round(self.until.timestamp() * 1_000)


class Calendar(BaseModel):
    """The windows, and which days are corrected, whatever the package `chinesecalendar` has of them."""

    model_config = ConfigDict(frozen=True)

    windows: tuple[Window, ...] = ()
    holidays: Mapping[date, DayKind] = {}

    def find_hold(self, method: str, category: Category, at: datetime) -> Hold | None:
        """Return until when a message is held that would be sent at `at`; None where it may go."""
        if category is Category.CODE:
            return None
        holds = []
        for window in self.windows:
            if method not in window.methods or category not in window.categories:
                continue
            opens_at = self._find_opening(window, at)
            if opens_at <= at:
                return None
            holds.append(Hold(opens_at, window.id))
        return min(holds, default=None)

    def find_unknown_years(self, today: date) -> list[int]:
        """Return the years, of now and of 30 days ahead, whose holidays a window needs and nothing knows."""
        if all(window.holidays == "none" for window in self.windows):
            return []
        corrected = {day.year for day in self.holidays}
        years = {today.year, (today + WARN_AHEAD).year}
        return sorted(year for year in years if year not in corrected and _find_kind(date(year, 1, 1)) == "unknown")

    def _find_opening(self, window: Window, at: datetime) -> datetime:
        """Return when a window is open from `at` on: at once, or when it opens next."""
        today = at.astimezone(ZoneInfo(window.zone)).date()
        for ahead in range(-1, MAX_DAYS):
            day = today + timedelta(days=ahead)
            if not self._is_open_day(window, day):
                continue
            begin, end = _find_hours(window, day)
            if (opens_at := max(begin, at)) < end:  # it may not: hours that the clock skips
                return opens_at
        return at + timedelta(days=MAX_DAYS)

    def _is_open_day(self, window: Window, day: date) -> bool:
        kind = self.holidays.get(day) or _find_kind(day) if window.holidays == "cn" else "unknown"
        return kind == "workday" or (kind != "holiday" and DAYS[day.weekday()] in window.days)


def _find_hours(window: Window, day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(window.zone)
    last = day if window.since < window.until else day + timedelta(days=1)
    begin, end = datetime.combine(day, window.since, zone), datetime.combine(last, window.until, zone)
    return begin.astimezone(UTC), end.astimezone(UTC)


def _find_kind(day: date) -> DayKind | Literal["usual", "unknown"]:
    """Return what a day is in mainland China: `workday` is a make-up working day; `usual` goes by its weekday."""
    try:
        is_holiday, name = chinese_calendar.get_holiday_detail(day)
    except NotImplementedError:  # the State Council announces a year in the autumn before it
        return "unknown"
    if name is None:
        return "usual"
    return "holiday" if is_holiday else "workday"


class PublishedWindows:
    """The calendar as auth publishes it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._text: bytes | None = None
        self.current = Calendar()
        """What was read last; without any window before the first time."""

    @property
    def is_known(self) -> bool:
        """Whether they were ever read."""
        return self._text is not None

    async def fetch(self) -> Calendar:
        """Read the calendar; what was read last where Redis has none, since it was flushed.

        Raises RedisUnavailable, RedisRefused.
        """
        text = await self._redis.call("GET", WINDOWS)
        if text is not None and text != self._text:
            self.current, self._text = Calendar.model_validate_json(text), text
            if unknown := self.current.find_unknown_years(datetime.now(UTC).date()):
                log.warning("holidays_unknown", years=unknown)
        return self.current

    async def watch(self) -> None:
        """Read the calendar every second, until cancelled."""
        problem = RecurringProblem(log, "windows_unavailable")
        while True:
            with problem.catch(RedisUnavailable, RedisRefused):
                await self.fetch()
            await asyncio.sleep(READ_S)
