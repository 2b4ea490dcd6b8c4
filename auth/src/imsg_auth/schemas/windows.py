"""Windows and holidays: the lists that replace others, and how they are shown."""

from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from imsg_auth.schemas.fields import example
from imsg_auth.schemas.quotas import read_method
from imsg_channels import METHODS
from imsg_limits.windows import Day, DayKind, Holidays
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, Success

MAX_WINDOWS = 50
MAX_CORRECTIONS = 400

HOUR = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="By the clock of `zone`, such as 08:00.")
DATE_EXAMPLE = "2027-02-06"


def _read_zone(name: str) -> str:
    """Read the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # ValueError: a path; OSError: a folder of zones
        raise field_error(
            "应为时区的名称，如 Asia/Shanghai", "it must be the name of a time zone, such as Asia/Shanghai"
        ) from None
    return name


def _require_distinct(windows: list["WindowBody"]) -> list["WindowBody"]:
    """Require that no two windows have one id."""
    ids = [window.id for window in windows]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise field_error(f"有两项的 id 都是 {twice}，请改掉一个", f"two have the id {twice}; give one of them another")
    return windows


def _read_dates(days: dict[str, DayKind]) -> dict[str, DayKind]:
    """Read dates."""
    for day in days:
        try:
            is_date = date.fromisoformat(day).isoformat() == day
        except ValueError:
            is_date = False
        if not is_date:
            shown = day[:20].replace("\0", "")
            raise field_error(
                f"{shown} 不是日期，应如 {DATE_EXAMPLE}", f"{shown} is no date; it must be such as {DATE_EXAMPLE}"
            )
    return dict(sorted(days.items()))


Method = Annotated[str, AfterValidator(read_method), Field(json_schema_extra={"enum": list(METHODS)})]
Held = Literal["notice", "marketing"]
"""Categories that may be held: a code never is."""


class WindowBody(RequestModel):
    """One window: hours in which messages of some channels and categories are sent."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Held messages name it as `held_by`.")]
    methods: Annotated[list[Method], Field(min_length=1, max_length=len(METHODS))]
    categories: Annotated[list[Held], Field(min_length=1, max_length=2, description="A code is never held.")]
    zone: Annotated[str, Field(max_length=64), AfterValidator(_read_zone)]
    days: Annotated[list[Day], Field(min_length=1, max_length=7, description="On which a window begins.")]
    since: Annotated[str, HOUR, Field(alias="from")]
    until: Annotated[
        str,
        Field(
            alias="to",
            pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$",
            description="Not after `from`: on the next day; the same: a whole day. `24:00` is kept as `00:00`.",
        ),
        AfterValidator(lambda until: "00:00" if until == "24:00" else until),
    ]
    holidays: Annotated[
        Holidays,
        Field(
            description="`cn`: closed on holidays of mainland China, open on make-up working days whatever the weekday."
        ),
    ] = "none"


class WindowsBody(RequestModel):
    """PUT /api/windows: the whole list."""

    model_config = example(
        {
            "windows": [
                {
                    "id": "office",
                    "methods": ["sms"],
                    "categories": ["notice", "marketing"],
                    "zone": "Asia/Shanghai",
                    "days": ["mon", "tue", "wed", "thu", "fri"],
                    "from": "09:00",
                    "to": "18:00",
                    "holidays": "cn",
                }
            ]
        }
    )

    windows: Annotated[list[WindowBody], Field(max_length=MAX_WINDOWS), AfterValidator(_require_distinct)]


class HolidaysBody(RequestModel):
    """PUT /api/holidays: all corrections of the calendar of mainland China."""

    model_config = example({"holidays": {DATE_EXAMPLE: "holiday", "2027-02-14": "workday"}})

    holidays: Annotated[
        dict[str, DayKind],
        Field(max_length=MAX_CORRECTIONS, description="Date → what it is. They win over the package's calendar."),
        AfterValidator(_read_dates),
    ]


class WindowShape(AnswerPart):
    """One window."""

    id: str
    methods: list[str]
    categories: list[Held]
    zone: str
    days: list[Day]
    since: Annotated[str, Field(alias="from", serialization_alias="from")]
    until: Annotated[str, Field(alias="to", serialization_alias="to")]
    holidays: Holidays


UnknownYears = Annotated[
    list[int], Field(description="Years that begin within 30 days, or have, whose holidays a window needs and lacks.")
]


class WindowsAnswer(Success):
    """The list of windows."""

    windows: list[WindowShape]
    unknown_years: UnknownYears


class HolidaysAnswer(Success):
    """The corrections of the calendar."""

    holidays: dict[str, DayKind]
    unknown_years: UnknownYears
