"""The floor of recording: the upserts that history makes, by the bare driver, from rows made before.

The same statements into the same tables with the same indexes, a batch a transaction: no broker, no JSON, no folding.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import psycopg

from imsg_bench.deployment import CONTENT
from imsg_bench.filling import new_id

BATCH = 512
"""Deliveries a transaction, as history takes them."""

REQUESTS: Mapping[str, str] = {
    "request": "uuid", "username": "text", "method": "text", "lane": "text", "subject": "text", "content": "text",
    "attachments": "text", "accepted_at": "timestamptz", "expires_at": "timestamptz", "moves": "int",
    "category": "text", "day": "text",
}  # fmt: skip
JOBS: Mapping[str, str] = {"request": "uuid", "body": "bytea", "repeats": "smallint"}
MESSAGES: Mapping[str, str] = {
    "request": "uuid", "n": "int", "username": "text", "method": "text", "written": "text", "address": "text",
    "status": "text", "rank": "smallint", "attempt": "int", "at": "timestamptz", "mark": "bigint", "attempts": "int",
    "provider": "text", "provider_id": "text", "code": "text", "detail": "text",
}  # fmt: skip
ATTEMPTS: Mapping[str, str] = {
    "request": "uuid", "n": "int", "at": "timestamptz", "mark": "bigint", "attempt": "int", "status": "text",
    "provider": "text", "provider_id": "text", "code": "text", "detail": "text",
}  # fmt: skip

WINS = "(excluded.rank, excluded.attempt, excluded.at, excluded.mark) > (m.rank, m.attempt, m.at, m.mark)"
KEPT = ("username", "method", "written", "address")
TAKEN = ("status", "rank", "attempt", "at", "mark", "provider", "provider_id", "code", "detail")
RAISE_STATUS = (
    "ON CONFLICT (request, n) DO UPDATE SET "
    + ", ".join(f"{name} = coalesce(m.{name}, excluded.{name})" for name in KEPT)
    + ", "
    + ", ".join(f"{name} = CASE WHEN {WINS} THEN excluded.{name} ELSE m.{name} END" for name in TAKEN)
    + f", attempts = greatest(m.attempts, excluded.attempts) WHERE {WINS} OR excluded.attempts > m.attempts"
)


def insert(table: str, columns: Mapping[str, str], conflict: str = "ON CONFLICT DO NOTHING") -> str:
    """Write one statement for however many rows: an array a column."""
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in columns.items())
    return f"INSERT INTO {table} AS m ({', '.join(columns)}) SELECT * FROM unnest({arrays}) {conflict}"  # noqa: S608


STATEMENTS = (
    ("requests", REQUESTS, insert("requests", REQUESTS)),
    ("jobs", JOBS, insert("jobs", JOBS)),
    ("messages", MESSAGES, insert("messages", MESSAGES, RAISE_STATUS)),
    ("attempts", ATTEMPTS, insert("attempts", ATTEMPTS)),
)

Batch = dict[str, dict[str, list[Any]]]
"""Table → column → values."""


def batches(messages: int, body: bytes) -> list[Batch]:
    """Make the rows of so many accepted messages and of their outcomes, in batches as history would have them."""
    names = sorted(new_id() for _ in range(messages))
    return [*_make_accepted(names, body), *_make_settled(names)]


def _make_accepted(names: Sequence[str], body: bytes) -> Iterator[Batch]:
    now = datetime.now(UTC)
    for batch_names in _slice(names, BATCH):
        requests, jobs, messages = [], [], []
        for name in batch_names:
            subject = CONTENT["subject"]
            later = now + timedelta(hours=24)
            kept = (now, later, 0, "notice", f"{now:%Y-%m-%d}")
            requests.append((name, "admin", "smtp", "normal", subject, str(CONTENT), "[]", *kept))
            jobs.append((name, body, 0))
            to = f"{name}@example.com"
            reply = (None, None, None, None)
            messages.append((name, 0, "admin", "smtp", to, to, "queued", 0, 0, now, 0, 0, *reply))
        yield {
            "requests": _columns(REQUESTS, requests),
            "jobs": _columns(JOBS, jobs),
            "messages": _columns(MESSAGES, messages),
        }


def _make_settled(names: Sequence[str]) -> Iterator[Batch]:
    now = datetime.now(UTC)
    for batch_names in _slice(names, BATCH):
        attempts, messages = [], []
        for name in batch_names:
            reply = ("smtp", f"<{name}-0@example.com>", None, "250 2.0.0 Ok")
            attempts.append((name, 0, now, 4_711, 1, "sent", *reply))
            messages.append((name, 0, None, None, None, None, "sent", 30, 1, now, 4_711, 1, *reply))
        yield {"messages": _columns(MESSAGES, messages), "attempts": _columns(ATTEMPTS, attempts)}


def _slice(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))


def _columns(columns: Mapping[str, str], rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))


def write_batches(url: str, made: Sequence[Batch]) -> float:
    """Write batches, a transaction each; return how many seconds that took."""
    with psycopg.connect(url) as connection:
        begun = monotonic()
        for batch in made:
            for table, _, statement in STATEMENTS:
                if table in batch:
                    connection.execute(statement, batch[table])
            connection.commit()
        return monotonic() - begun
