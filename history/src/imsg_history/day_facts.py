"""Day facts: sums of messages by day, user, method and more, kept when the messages are gone.

They change in the transaction that changes the messages, and always equal the rows: each message is counted once, by
its status, its provider and the times that it took. Code that changes one of these records the change here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.prices import Cost, PriceList
from imsg_contract.topology import Lane
from imsg_contract.wire import Status
from imsg_database.arrays import as_parameters, insert_rows, is_one_of
from imsg_database.engines import is_postgres
from imsg_database.inserts import Insert
from imsg_history.tables import COUNTS, DIMENSIONS, LATENCY_COUNTS, day_facts, requests

STATUS_COUNTS: Mapping[str, tuple[str, ...]] = {
    Status.SENT.value: ("sent",),
    Status.DELIVERED.value: ("sent", "delivered"),
    Status.FAILED.value: ("failed",),
    Status.EXPIRED.value: ("failed",),
    Status.UNCERTAIN.value: ("uncertain",),
}
"""Which counts a status belongs to; a message that still waits belongs to none."""

CHARGED = frozenset({Status.SENT.value, Status.DELIVERED.value, Status.UNCERTAIN.value})
"""Statuses of a message that a provider has, or may have."""

SLICE = 1_000
"""Requests of one read, and facts of one write."""


@dataclass(frozen=True, slots=True)
class CountedMessage:
    """How day facts count a message."""

    status: str
    sent_in: int | None
    delivered_in: int | None
    country: str | None
    billed_segments: int | None
    billed: int | None
    currency: str | None
    provider: str | None

    @classmethod
    def read(cls, text: str) -> "CountedMessage":
        """Read what `row_writer` keeps as `previous`."""
        status, sent_in, delivered_in, country, segments, billed, currency, provider = text.split("|", 7)
        numbers = map(_read_number, (sent_in, delivered_in, segments, billed))
        (sent, delivered, billed_segments, micros), texts = numbers, (country or None, currency or None)
        return cls(status, sent, delivered, texts[0], billed_segments, micros, texts[1], provider or None)

    @classmethod
    def of(cls, row: Any) -> "CountedMessage":  # noqa: ANN401  a row of any query
        """Return what a row of messages counts as."""
        return cls(*(getattr(row, name) for name in COUNTED))

    def measure(self, segments: int | None) -> Iterator[tuple[str, int]]:
        """Return what the message adds to counts, each by its name; `segments` are those of its request."""
        yield "messages", 1
        yield "segments", segments or 0
        for name in STATUS_COUNTS.get(self.status, ()):
            yield name, 1
        if self.sent_in is not None:
            yield LATENCY_COUNTS["sent"][self.sent_in], 1
        if self.delivered_in is not None:
            yield LATENCY_COUNTS["delivered"][self.delivered_in], 1
        if self.billed is not None:
            yield "billed", self.billed
        elif self.is_charged:
            yield "charged", 1
            yield "charged_segments", self.count_segments(segments)
            yield "estimated", int(self.billed_segments is None)

    @property
    def is_charged(self) -> bool:
        """Whether a provider took the message, or may have: most charge what they took, also where it failed later."""
        return self.sent_in is not None or self.status in CHARGED

    def count_segments(self, segments: int | None) -> int:
        """Return the segments that are charged: as the provider names them, else as they were counted."""
        return self.billed_segments or segments or 1

    def find_cost(self, prices: PriceList, method: str, day: str, segments: int | None) -> Cost | None:
        """Return what the message costs; None where it costs nothing, or no price is known."""
        if self.billed is not None:
            return Cost(self.billed, self.currency or "", estimated=False)
        price = prices.find(method, self.provider or "", self.country, day) if self.is_charged else None
        if price is None:
            return None
        units = self.count_segments(segments) if price.per == "segment" else 1
        return Cost(units * price.micros, price.currency, estimated=self.billed_segments is None)


COUNTED = tuple(CountedMessage.__dataclass_fields__)
"""The columns of messages by which they are counted."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a message of a request was counted as (None: not at all), and is from now on."""

    request: str
    before: CountedMessage | None
    after: CountedMessage

    @classmethod
    def read(cls, row: Mapping[Any, Any]) -> "Change":
        """Read a row that the upsert of messages returned."""
        before = None if row["previous"] is None else CountedMessage.read(row["previous"])
        return cls(row["request"], before, CountedMessage(*(row[name] for name in COUNTED)))


async def record(connection: AsyncConnection, changes: Counter[Change]) -> None:
    """Add changes, each with the number of its messages, to the day facts. The caller commits.

    Rows are locked in the order of their keys, so that several histories wait for one another and never deadlock.
    """
    changes = Counter({change: count for change, count in changes.items() if change.before != change.after})
    if not changes:
        return
    of_request = await _read_requests(connection, sorted({change.request for change in changes}))
    facts: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for change, count in changes.items():
        request = of_request.get(change.request)
        if request is None:  # a test; or maintenance deletes it at this moment, and its facts stay as they are
            continue
        for counted, sign in ((change.before, -1), (change.after, 1)):
            if counted is None:
                continue
            fact = facts[_make_key(request, counted)]
            for name, amount in counted.measure(request["segments"]):
                fact[name] += sign * count * amount
    rows = [(*key, *(fact[name] for name in COUNTS)) for key, fact in sorted(facts.items()) if any(fact.values())]
    columns, on_postgres = DIMENSIONS + COUNTS, is_postgres(connection)
    for first in range(0, len(rows), SLICE):
        part = as_parameters(columns, rows[first : first + SLICE], is_postgres=on_postgres)
        await connection.execute(_build_addition(is_postgres=on_postgres), part)


async def _read_requests(connection: AsyncConnection, names: list[str]) -> dict[str, Mapping[Any, Any]]:
    columns = ("request", *(name for name in DIMENSIONS if name in requests.c), "segments")
    found: dict[str, Mapping[Any, Any]] = {}
    for first in range(0, len(names), SLICE):
        is_one = is_one_of(requests.c.request, names[first : first + SLICE], is_postgres=is_postgres(connection))
        is_live = requests.c.lane != Lane.TEST.value
        rows = await connection.execute(select(*(requests.c[name] for name in columns)).where(is_one, is_live))
        found |= {row["request"]: row for row in rows.mappings()}
    return found


def _make_key(request: Mapping[Any, Any], counted: CountedMessage) -> tuple[str, ...]:
    known = {**request, "provider": counted.provider, "country": counted.country, "currency": counted.currency}
    return tuple(known.get(name) or "" for name in DIMENSIONS)


def _build_addition(*, is_postgres: bool) -> Insert:
    added = insert_rows(day_facts, DIMENSIONS + COUNTS, is_postgres=is_postgres)
    sums = {name: day_facts.c[name] + added.excluded[name] for name in COUNTS}
    return added.on_conflict_do_update(index_elements=list(DIMENSIONS), set_=sums)


def _read_number(text: str) -> int | None:
    return int(text) if text else None
