"""Matching receipts with their messages, whichever of job, outcome and receipt arrives first."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Status
from imsg_database.arrays import are_one_of, is_one_of
from imsg_database.engines import is_postgres
from imsg_history import day_facts
from imsg_history.batch_redaction import MASK
from imsg_history.database import Database
from imsg_history.merge import RANK, MergedBatch
from imsg_history.records import AttemptRow, MessageRow
from imsg_history.row_writer import RowWriter, slices
from imsg_history.tables import attempts, messages, receipts
from imsg_people.tombstones import Digests

SLICE = 500
"""Keys in one query: under PostgreSQL's 65,535 and SQLite's 32,766 parameters a statement."""

Key = tuple[str, str]
"""(provider, provider_id)"""

Lag = tuple[str, str, float]
"""(request, provider, seconds from the attempt that sent to its receipt)"""


@dataclass(frozen=True, slots=True)
class ReceiptMatcher:
    """Finds messages for the receipts that wait.

    It runs in its own transaction, after a batch is committed. Where two histories write a receipt and its outcome at
    the same time, the one that commits last sees both.
    """

    database: Database
    writer: RowWriter
    digests: Digests
    wake: Callable[[], None]
    """Called when events may have been inserted."""

    async def match(self, batch: MergedBatch) -> Sequence[Lag]:
        """Match receipts after a batch was committed; return the lag of each receipt that found its message."""
        keys = {(row.provider, row.provider_id) for row in batch.receipts.values()}
        keys |= {(row.provider, row.provider_id) for row in batch.attempts.values() if row.provider and row.provider_id}
        requests = sorted(batch.requests)
        if not keys and not requests:
            return ()
        if not await self.database.read(_has_waiting):
            return ()
        lags = await self.database.write(lambda connection: self._match(connection, keys, requests))
        if lags:
            self.wake()
        return lags

    async def _match(self, connection: AsyncConnection, keys: set[Key], requests: Sequence[str]) -> Sequence[Lag]:
        keys = keys | await _find_keys(connection, requests)
        raised: dict[tuple[str, int], MessageRow] = {}
        lines: dict[tuple[Any, ...], AttemptRow] = {}
        joined: set[tuple[Any, ...]] = set()
        lags: list[Lag] = []
        for part in slices(sorted(keys), SLICE):
            waiting = (await connection.execute(select(receipts).where(_is_one_of(connection, receipts, part)))).all()
            if not waiting:
                continue
            known = await _find_messages(connection, {(row.provider, row.provider_id) for row in waiting})
            if any(row.address.startswith(MASK) for row in waiting):
                known |= {
                    (provider, provider_id, MASK + digest): found_messages
                    for (provider, provider_id, address), found_messages in known.items()
                    for digest in self.digests.all_of(address)
                }
            for receipt in waiting:
                for request, n, sent_at in known[receipt.provider, receipt.provider_id, receipt.address]:
                    row = _make_message_row(receipt, request, n)
                    raised.setdefault((request, n), row).merge(row)
                    lines[request, n, receipt.at, receipt.mark] = _make_attempt_row(receipt, request, n)
                    lags.append((request, receipt.provider, max((receipt.kept_at - sent_at).total_seconds(), 0.0)))
                    joined.add((receipt.provider, receipt.provider_id, receipt.address, receipt.at, receipt.mark))
        changes = await self.writer.raise_status(connection, [raised[key] for key in sorted(raised)])
        await self.writer.insert_new(connection, attempts, [lines[key] for key in sorted(lines)])
        for part in slices(sorted(joined), SLICE):
            is_joined = are_one_of(receipts.primary_key.columns.values(), part, is_postgres=is_postgres(connection))
            await connection.execute(delete(receipts).where(is_joined))
        await day_facts.record(connection, changes.counted)
        return lags


async def _has_waiting(connection: AsyncConnection) -> bool:
    return (await connection.execute(select(receipts.c.provider).limit(1))).first() is not None


async def _find_keys(connection: AsyncConnection, requests: Sequence[str]) -> set[Key]:
    """Find the providers' ids of requests whose outcomes arrived before their job."""
    keys = set()
    for part in slices(requests, SLICE):
        is_of_them = is_one_of(attempts.c.request, part, is_postgres=is_postgres(connection))
        query = select(attempts.c.provider, attempts.c.provider_id).where(
            is_of_them, attempts.c.provider_id.is_not(None), attempts.c.provider.is_not(None)
        )
        keys |= {(row.provider, row.provider_id) for row in await connection.execute(query.distinct())}
    return keys


async def _find_messages(connection: AsyncConnection, keys: set[Key]) -> defaultdict[tuple[str, str, str], set[Any]]:
    """Find the messages sent under these ids, and when, by (provider, provider_id, address).

    One id of an SMS provider may name 1,000 numbers, so addresses are compared here: a join would compare 1,000
    receipts with 1,000 messages each.
    """
    messages_of: defaultdict[tuple[str, str, str], set[Any]] = defaultdict(set)
    sending = (
        attempts.c.provider,
        attempts.c.provider_id,
        messages.c.address,
        messages.c.request,
        messages.c.n,
    )
    for part in slices(sorted(keys), SLICE):
        query = (
            select(*sending, func.min(attempts.c.at).label("sent_at"))
            .join(messages, (messages.c.request == attempts.c.request) & (messages.c.n == attempts.c.n))
            .where(_is_one_of(connection, attempts, part), messages.c.address.is_not(None))
            .group_by(*sending)
        )
        for row in await connection.execute(query):
            messages_of[row.provider, row.provider_id, row.address].add((row.request, row.n, row.sent_at))
    return messages_of


def _is_one_of(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> ColumnElement[bool]:
    # By the provider's id first: the index begins with it.
    ids = sorted({key[1] for key in keys})
    is_one = is_one_of(table.c.provider_id, ids, is_postgres=is_postgres(connection))
    columns = (table.c.provider, table.c.provider_id)
    return is_one & are_one_of(columns, keys, is_postgres=is_postgres(connection))


def _make_message_row(receipt: Row[Any], request: str, n: int) -> MessageRow:
    status = Status(receipt.status)
    return MessageRow(
        request,
        n,
        None,
        None,
        None,
        None,
        status.value,
        RANK[status],
        0,
        receipt.at,
        receipt.mark,
        0,
        receipt.provider,
        receipt.provider_id,
        receipt.code,
        receipt.detail,
        billed_segments=receipt.billed_segments,
        billed=receipt.billed,
        currency=receipt.currency,
    )


def _make_attempt_row(receipt: Row[Any], request: str, n: int) -> AttemptRow:
    return AttemptRow(
        request,
        n,
        receipt.at,
        receipt.mark,
        None,
        receipt.status,
        receipt.provider,
        receipt.provider_id,
        receipt.code,
        receipt.detail,
    )
