"""The rows of quotas, as auth keeps them and as the cache encodes them for the scripts."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Unit = Literal["requests", "recipients", "segments"]
Per = Literal["minute", "hour", "day", "month"]

UNITS: Mapping[str, Unit] = {"q": "requests", "p": "recipients", "s": "segments"}
"""The first letter of a count's field → what it counts."""
_PERIODS: Mapping[str, Per] = {"m": "minute", "h": "hour", "d": "day", "M": "month"}
_UNIT_LETTERS = {unit: letter for letter, unit in UNITS.items()}
_PERIOD_LETTERS = {per: letter for letter, per in _PERIODS.items()}

PERIODS = tuple(_PERIODS)
"""The letters of the periods, in the order in which the scripts take and return them."""


class QuotaRow(NamedTuple):
    """One quota: at most `limit` of what it counts in each period, of one method or of all."""

    id: str
    counts: Unit
    per: Per
    limit: int | None
    """None: counted and not limited."""
    method: str | None = None

    @property
    def key(self) -> tuple[Unit, Per, str | None]:
        """What is counted: two rows of one list never count the same."""
        return self.counts, self.per, self.method

    @property
    def field(self) -> str:
        """The beginning of the field that holds the count, up to the period."""
        return f"{_UNIT_LETTERS[self.counts]}{self.method or ''} "

    @property
    def letter(self) -> str:
        """The letter of the period."""
        return _PERIOD_LETTERS[self.per]


PER_HOUR = QuotaRow("per_hour", "requests", "hour", None)
PER_DAY = QuotaRow("per_day", "requests", "day", None)
RECIPIENTS_PER_DAY = QuotaRow("recipients_per_day", "recipients", "day", None)
ALWAYS_COUNTED = (PER_HOUR, PER_DAY, RECIPIENTS_PER_DAY)
"""What is counted of each user even where nothing limits it, so that a limit set at noon holds for the whole day."""


MAX_TESTS = 1_000
TESTS_PER_DAY = QuotaRow("tests_per_day", "recipients", "day", MAX_TESTS)
"""The one quota that the messages of a user's test keys are charged to."""


def name_row(counts: Unit, per: Per, method: str | None) -> str:
    """Return the id of a row that was given none: `per_hour`, `recipients_per_day`, `sms_segments_per_month`."""
    return "_".join(part for part in (method, "" if counts == "requests" else counts, "per", per) if part)


def encode_rows(rows: Iterable[QuotaRow]) -> str:
    """Encode rows, a line each, as the scripts read them."""
    return "".join(
        f"{_UNIT_LETTERS[row.counts]}{row.letter}{row.method or ''} {'' if row.limit is None else row.limit} {row.id}\n"
        for row in rows
    )


def encode_user_rows(rows: Iterable[QuotaRow]) -> str:
    """Encode a user's rows, and what is counted without a limit."""
    own = tuple(rows)
    limited = {row.key for row in own}
    return encode_rows((*own, *(row for row in ALWAYS_COUNTED if row.key not in limited)))


@lru_cache(maxsize=1_024)
def decode_rows(encoded: bytes) -> tuple[QuotaRow, ...]:
    """Decode rows; gateways read the same few at each request."""
    rows = []
    for line in encoded.decode().splitlines():
        what, limit, name = line.split(" ")[:3]  # a later version may add columns
        unit, per, method = UNITS[what[0]], _PERIODS[what[1]], what[2:] or None
        rows.append(QuotaRow(name, unit, per, int(limit) if limit else None, method))
    return tuple(rows)
