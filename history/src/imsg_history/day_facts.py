"""Day facts: sums of messages by day, user, method and more, kept when the messages are gone.

They change in the transaction that changes the messages, and always equal the rows: each message is counted once, by
its status, its provider and the times that it took. Whoever changes one of these records the change here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

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

SLICE = 1_000
"""Requests of one read, and facts of one write."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How day facts count a message."""

    status: str
    provider: str | None
    sent_in: int | None
    delivered_in: int | None

    @classmethod
    def read(cls, text: str) -> "Counted":
        """Read what `row_writer` keeps as `previous`."""
        status, sent_in, delivered_in, provider = text.split("|", 3)
        return cls(status, provider or None, _read_bucket(sent_in), _read_bucket(delivered_in))

    def names(self) -> Iterator[str]:
        """Return the counts that the message belongs to."""
        yield "messages"
        yield from STATUS_COUNTS.get(self.status, ())
        if self.sent_in is not None:
            yield LATENCY_COUNTS["sent"][self.sent_in]
        if self.delivered_in is not None:
            yield LATENCY_COUNTS["delivered"][self.delivered_in]


@dataclass(frozen=True, slots=True)
class Change:
    """What a message of a request was counted as (None: not at all), and is from now on."""

    request: str
    before: Counted | None
    after: Counted

    @classmethod
    def read(cls, row: Mapping[Any, Any]) -> "Change":
        """Read a row that the upsert of messages returned."""
        before = None if row["previous"] is None else Counted.read(row["previous"])
        return cls(row["request"], before, Counted(row["status"], row["provider"], row["sent_in"], row["delivered_in"]))


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
            fact = facts[_make_key(request, counted.provider)]
            fact["segments"] += sign * count * (request["segments"] or 0)
            for name in counted.names():
                fact[name] += sign * count
    rows = [(*key, *(fact[name] for name in COUNTS)) for key, fact in sorted(facts.items()) if any(fact.values())]
    columns, on_postgres = DIMENSIONS + COUNTS, is_postgres(connection)
    for first in range(0, len(rows), SLICE):
        part = as_parameters(columns, rows[first : first + SLICE], is_postgres=on_postgres)
        await connection.execute(_build_addition(is_postgres=on_postgres), part)


async def _read_requests(connection: AsyncConnection, names: list[str]) -> dict[str, Mapping[Any, Any]]:
    columns = ("request", "day", "user_id", "username", "key", "method", "template", "category", "segments")
    found: dict[str, Mapping[Any, Any]] = {}
    for first in range(0, len(names), SLICE):
        is_one = is_one_of(requests.c.request, names[first : first + SLICE], is_postgres=is_postgres(connection))
        is_live = requests.c.lane != Lane.TEST.value
        rows = await connection.execute(select(*(requests.c[name] for name in columns)).where(is_one, is_live))
        found |= {row["request"]: row for row in rows.mappings()}
    return found


def _make_key(request: Mapping[Any, Any], provider: str | None) -> tuple[str, ...]:
    known = {**request, "provider": provider}
    return tuple(known.get(name) or "" for name in DIMENSIONS)


def _build_addition(*, is_postgres: bool) -> Insert:
    added = insert_rows(day_facts, DIMENSIONS + COUNTS, is_postgres=is_postgres)
    sums = {name: day_facts.c[name] + added.excluded[name] for name in COUNTS}
    return added.on_conflict_do_update(index_elements=list(DIMENSIONS), set_=sums)


def _read_bucket(text: str) -> int | None:
    return int(text) if text else None
