"""Redaction of a batch: the data of people erased meanwhile is removed before the batch is written.

The writing transaction looks up the tombstones. On PostgreSQL a new tombstone waits for the transactions that looked
before it (`tombstones`), so that either the eraser finds a row, or the row is redacted here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.addresses import identity
from imsg_contract.mentions import find_mentions
from imsg_contract.topology import Lane
from imsg_contract.wire import Status
from imsg_database.arrays import is_one_of
from imsg_database.engines import is_postgres
from imsg_history import redaction
from imsg_history.ids import time_of
from imsg_history.merge import DEAD_RANK, MergedBatch
from imsg_history.records import JobRow, MessageRow
from imsg_history.tables import attachments, attempts, messages, tombstones
from imsg_people.tombstones import Digests

MASK = "hmac:"
"""The beginning of the address of a waiting receipt whose person was erased; the digest follows."""

SLICE = 1_000

LANES_OF_LISTS = (Lane.BULK, Lane.TEST)


@dataclass(frozen=True, slots=True)
class ErasedPeople:
    """The erased people of a batch."""

    until: Mapping[str, datetime]
    """Identity → the tombstone's time: what was accepted until then is erased."""
    digests: Mapping[str, tuple[str, ...]]

    def build_is_gone(self, accepted_at: datetime) -> redaction.Gone:
        """Return a function that returns whether an address was erased from requests accepted at `accepted_at`."""

        def is_gone(address: str) -> bool:
            until = self.until.get(identity(address))
            return until is not None and accepted_at <= until

        return is_gone


class ErasedPeopleFinder:
    """Finds the erased people of a batch."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests

    async def find(self, connection: AsyncConnection, batch: MergedBatch) -> ErasedPeople | None:
        """Return the erased people of a batch; None where there are no tombstones."""
        if not self._digests:
            return None
        if await connection.scalar(select(tombstones.c.id).limit(1)) is None:
            return None
        digests = await self._digests.of_many(_list_people(batch))
        of = {digest: identity(address) for address, all_of in digests.items() for digest in all_of}
        until: dict[str, datetime] = {}
        wanted = sorted(of)
        for first in range(0, len(wanted), SLICE):
            for digest, at in await find_erased(connection, wanted[first : first + SLICE]):
                until[of[digest]] = max(at, until.get(of[digest], at))
        return ErasedPeople(until, digests)


async def find_erased(connection: AsyncConnection, digests: Sequence[str]) -> list[tuple[str, datetime]]:
    """Return the digests that have tombstones, each with the time of its newest one."""
    query = select(tombstones.c.digest, func.max(tombstones.c.at).label("at"))
    is_one = is_one_of(tombstones.c.digest, digests, is_postgres=is_postgres(connection))
    rows = await connection.execute(query.where(is_one).group_by(tombstones.c.digest))
    return [(row.digest, row.at) for row in rows]


def redact_dead_letters(batch: MergedBatch, erased: ErasedPeople) -> None:
    """Remove people from the jobs of dead letters, and the whole body where it is no job and mentions them."""
    for name, row in list(batch.dead.items()):
        job = batch.dead_jobs.get(name)
        gone = erased.build_is_gone(job.accepted_at if job else row.at)
        body, detail = redact_dead_letter(row.body, row.detail, gone, is_job=job is not None)
        if (body, detail) != (row.body, row.detail):
            batch.dead[name] = replace(row, body=body, detail=detail)


def redact_dead_letter(
    body: bytes, detail: str | None, gone: redaction.Gone, *, is_job: bool
) -> tuple[bytes, str | None]:
    """Return a dead letter's body and detail without erased people."""
    if is_job:
        body = redaction.redact_dead_job(body, gone)
    elif redaction.mentions_erased(redaction.read_text(body), gone):
        body = b""
    return body, None if detail is not None and redaction.mentions_erased(detail, gone) else detail


def redact_replies(batch: MergedBatch, erased: ErasedPeople) -> None:
    """Remove the replies of erased people, and the text of replies that mention them."""
    for name, reply in list(batch.replies.items()):
        gone = erased.build_is_gone(reply.at)
        if gone(reply.address):
            del batch.replies[name]
        elif reply.text is not None and redaction.mentions_erased(reply.text, gone):
            batch.replies[name] = replace(reply, text=None)


async def redact_messages(connection: AsyncConnection, batch: MergedBatch, erased: ErasedPeople) -> None:
    """Remove people from messages, requests, jobs and receipts."""
    counts: Counter[str] = Counter()
    addresses: defaultdict[str, list[str]] = defaultdict(list)
    for (name, _), row in batch.messages.items():
        if row.address is None or name not in batch.requests:
            continue
        counts[name] += 1
        if erased.build_is_gone(batch.requests[name].accepted_at)(row.address):
            addresses[name].append(row.address)
            _empty_message(row, erased.until[identity(row.address)])
    for name, people in addresses.items():
        request = batch.requests[name]
        gone = erased.build_is_gone(request.accepted_at)
        # A dead-lettered chunk says nothing of the other chunks.
        is_empty = len(people) == counts[name] and (name in batch.jobs or request.lane not in LANES_OF_LISTS)
        if is_empty:
            await connection.execute(delete(attachments).where(attachments.c.request == name))
        is_named = redaction.mentions(
            (request.content, request.subject, request.attachments, request.reference), people
        )
        if is_empty or is_named:
            batch.requests[name] = replace(request, **redaction.EMPTY_REQUEST)
        job = batch.jobs.pop(name, None)
        if job is not None and not is_named and (body := redaction.redact_job(job.body, gone)) is not None:
            batch.jobs[name] = JobRow(name, body)
    for key, receipt in list(batch.receipts.items()):
        if identity(receipt.address) in erased.until:
            del batch.receipts[key]
            masked = replace(receipt, address=MASK + erased.digests[receipt.address][0])
            batch.receipts[masked.provider, masked.provider_id, masked.address, masked.at, masked.mark] = masked
    _empty_texts(batch, erased)


def _empty_texts(batch: MergedBatch, erased: ErasedPeople) -> None:
    """Remove texts that mention an erased person, also from the messages of others."""

    def names(request: str, text: str | None) -> bool:
        known = batch.requests.get(request)
        accepted_at = time_of(request) if known is None else known.accepted_at
        return text is not None and redaction.mentions_erased(text, erased.build_is_gone(accepted_at))

    for (request, _), message in batch.messages.items():
        if names(request, message.detail):
            message.detail = None
        if names(request, message.reference):
            message.reference = None
        if names(request, message.params):
            message.params = None
    for key, line in batch.attempts.items():
        if names(line.request, line.detail):
            batch.attempts[key] = replace(line, detail=None)
    for waiting, receipt in batch.receipts.items():
        if receipt.detail is not None and redaction.mentions_erased(receipt.detail, erased.build_is_gone(receipt.at)):
            batch.receipts[waiting] = replace(receipt, detail=None)


async def delete_erased_attempts(connection: AsyncConnection, batch: MergedBatch) -> None:
    """Delete the attempts of messages whose recipient was erased."""
    emptied = {key[0] for key, row in batch.messages.items() if row.erased_at is not None}
    touched = sorted({key[0] for key in batch.attempts} | emptied)
    for first in range(0, len(touched), SLICE):
        of_erased = exists().where(
            messages.c.request == attempts.c.request, messages.c.n == attempts.c.n, messages.c.erased_at.is_not(None)
        )
        part = touched[first : first + SLICE]
        is_touched = is_one_of(attempts.c.request, part, is_postgres=is_postgres(connection))
        await connection.execute(delete(attempts).where(is_touched, of_erased))


def _empty_message(row: MessageRow, erased_at: datetime) -> None:
    row.written = row.address = row.provider_id = row.detail = row.params = row.reference = None
    row.code, row.erased_at, row.at = redaction.ERASED, erased_at, redaction.truncate_to_month(row.at)
    if row.rank < DEAD_RANK:  # below every result that a channel reports
        row.status, row.rank = Status.FAILED.value, DEAD_RANK


def _list_people(batch: MergedBatch) -> Iterator[str]:
    for row in batch.messages.values():
        if row.address is not None:
            yield row.address
    for receipt in batch.receipts.values():
        yield receipt.address
    for reply in batch.replies.values():
        yield reply.address
        yield from find_mentions(reply.text or "")
    for name, letter in batch.dead.items():
        if (job := batch.dead_jobs.get(name)) is not None:
            for recipient in job.recipients:
                yield recipient.address
        yield from find_mentions(f"{redaction.read_text(letter.body)} {letter.detail}")
    for rows in (batch.messages, batch.attempts, batch.receipts):
        yield from find_mentions("\n".join(row.detail for row in rows.values() if row.detail))
    own = (text for row in batch.messages.values() for text in (row.reference, row.params) if text)
    yield from find_mentions("\n".join(own))
