"""What a batch holds of people who were erased after it was accepted: taken out of it before it is written.

Who was erased is asked in the writing transaction. PostgreSQL's lock of that read makes an erasure wait for those who
read before it (`erase`), so that a row is either found by it or withheld here.
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
from imsg_history import redact
from imsg_history.ids import time_of
from imsg_history.merge import DEAD_RANK, Merge
from imsg_history.records import JobRow, MessageRow
from imsg_history.tables import attachments, attempts, messages, tombstones
from imsg_people.tombstones import Digests

MASK = "hmac:"
"""Before the digest that stands in a waiting receipt for an address that was erased."""

SLICE = 1_000


@dataclass(frozen=True, slots=True)
class Redacted:
    """The erased ones among a batch's people."""

    until: Mapping[str, datetime]
    """Identity → what was accepted until then is erased."""
    digests: Mapping[str, tuple[str, ...]]

    def build_is_gone(self, accepted_at: datetime) -> redact.Gone:
        """Tell who was erased of those to whom something was accepted at a time."""

        def is_gone(address: str) -> bool:
            until = self.until.get(identity(address))
            return until is not None and accepted_at <= until

        return is_gone


class Redaction:
    """Finds who of a batch was erased."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests

    async def find(self, connection: AsyncConnection, fold: Merge) -> Redacted | None:
        """Look up a batch's people; None where nobody was ever erased."""
        if not self._digests:
            return None
        if await connection.scalar(select(tombstones.c.id).limit(1)) is None:
            return None
        digests = await self._digests.of_many(_people(fold))
        of = {digest: identity(address) for address, all_of in digests.items() for digest in all_of}
        until: dict[str, datetime] = {}
        wanted = sorted(of)
        for first in range(0, len(wanted), SLICE):
            for digest, at in await find(connection, wanted[first : first + SLICE]):
                until[of[digest]] = max(at, until.get(of[digest], at))
        return Redacted(until, digests)


async def find(connection: AsyncConnection, digests: Sequence[str]) -> list[tuple[str, datetime]]:
    """Look up digests: those that were erased, and until when what was accepted is erased."""
    query = select(tombstones.c.digest, func.max(tombstones.c.at).label("at"))
    is_one = is_one_of(tombstones.c.digest, digests, is_postgres=is_postgres(connection))
    found = await connection.execute(query.where(is_one).group_by(tombstones.c.digest))
    return [(row.digest, row.at) for row in found]


def from_dead(fold: Merge, withheld: Redacted) -> None:
    """Take people out of dead letters: out of their jobs, and all of what can't be read and names them."""
    for name, row in list(fold.dead.items()):
        job = fold.dead_jobs.get(name)
        gone = withheld.build_is_gone(job.accepted_at if job else row.at)
        body, detail = dead_letter(row.body, row.detail, gone, is_job=job is not None)
        if (body, detail) != (row.body, row.detail):
            fold.dead[name] = replace(row, body=body, detail=detail)


def dead_letter(body: bytes, detail: str | None, gone: redact.Gone, *, is_job: bool) -> tuple[bytes, str | None]:
    """Return what is left of a dead letter's body and detail."""
    if is_job:
        body = redact.letter(body, gone)
    elif redact.holds(redact.read_text(body), gone):
        body = b""
    return body, None if detail is not None and redact.holds(detail, gone) else detail


def from_replies(fold: Merge, withheld: Redacted) -> None:
    """Leave out what people wrote who were erased since, and what others wrote of them."""
    for name, reply in list(fold.replies.items()):
        gone = withheld.build_is_gone(reply.at)
        if gone(reply.address):
            del fold.replies[name]
        elif reply.text is not None and redact.holds(reply.text, gone):
            fold.replies[name] = replace(reply, text=None)


async def from_rest(connection: AsyncConnection, fold: Merge, withheld: Redacted) -> None:
    """Take people out of messages, requests, jobs and receipts."""
    whole: Counter[str] = Counter()
    erased: defaultdict[str, list[str]] = defaultdict(list)
    for (name, _), row in fold.messages.items():
        if row.address is None or name not in fold.requests:
            continue
        whole[name] += 1
        if withheld.build_is_gone(fold.requests[name].accepted_at)(row.address):
            erased[name].append(row.address)
            _empty(row, withheld.until[identity(row.address)])
    for name, people in erased.items():
        request = fold.requests[name]
        gone = withheld.build_is_gone(request.accepted_at)
        # A part that died says nothing of the other parts.
        is_whole = len(people) == whole[name] and (name in fold.jobs or request.lane != Lane.BULK)
        if is_whole:
            await connection.execute(delete(attachments).where(attachments.c.request == name))
        is_named = redact.names((request.content, request.subject, request.attachments, request.reference), people)
        if is_whole or is_named:
            fold.requests[name] = replace(request, **redact.NOBODYS)
        job = fold.jobs.pop(name, None)
        if job is not None and not is_named and (body := redact.job(job.body, gone)) is not None:
            fold.jobs[name] = JobRow(name, body)
    for key, receipt in list(fold.receipts.items()):
        if identity(receipt.address) in withheld.until:
            del fold.receipts[key]
            masked = replace(receipt, address=MASK + withheld.digests[receipt.address][0])
            fold.receipts[masked.provider, masked.provider_id, masked.address, masked.at, masked.mark] = masked
    _empty_details(fold, withheld)


def _empty_details(fold: Merge, withheld: Redacted) -> None:
    """Leave out what a provider said that names somebody who was erased, be it of another's message."""

    def names(request: str, detail: str | None) -> bool:
        known = fold.requests.get(request)
        accepted_at = time_of(request) if known is None else known.accepted_at
        return detail is not None and redact.holds(detail, withheld.build_is_gone(accepted_at))

    for (request, _), message in fold.messages.items():
        if names(request, message.detail):
            message.detail = None
    for key, line in fold.attempts.items():
        if names(line.request, line.detail):
            fold.attempts[key] = replace(line, detail=None)
    for waiting, receipt in fold.receipts.items():
        if receipt.detail is not None and redact.holds(receipt.detail, withheld.build_is_gone(receipt.at)):
            fold.receipts[waiting] = replace(receipt, detail=None)


async def from_time_lines(connection: AsyncConnection, fold: Merge) -> None:
    """Leave no attempt of a message whose recipient was erased, whenever that was."""
    emptied = {key[0] for key, row in fold.messages.items() if row.erased_at is not None}
    touched = sorted({key[0] for key in fold.attempts} | emptied)
    for first in range(0, len(touched), SLICE):
        of_erased = exists().where(
            messages.c.request == attempts.c.request, messages.c.n == attempts.c.n, messages.c.erased_at.is_not(None)
        )
        some = touched[first : first + SLICE]
        is_touched = is_one_of(attempts.c.request, some, is_postgres=is_postgres(connection))
        await connection.execute(delete(attempts).where(is_touched, of_erased))


def _empty(row: MessageRow, erased_at: datetime) -> None:
    row.written = row.address = row.provider_id = row.detail = None
    row.code, row.erased_at, row.at = redact.ERASED, erased_at, redact.month(row.at)
    if row.rank < DEAD_RANK:  # under all that a channel itself says
        row.status, row.rank = Status.FAILED.value, DEAD_RANK


def _people(fold: Merge) -> Iterator[str]:
    for row in fold.messages.values():
        if row.address is not None:
            yield row.address
    for receipt in fold.receipts.values():
        yield receipt.address
    for reply in fold.replies.values():
        yield reply.address
        yield from find_mentions(reply.text or "")
    for name, letter in fold.dead.items():
        if (job := fold.dead_jobs.get(name)) is not None:
            for recipient in job.recipients:
                yield recipient.address
        yield from find_mentions(f"{redact.read_text(letter.body)} {letter.detail}")
    for rows in (fold.messages, fold.attempts, fold.receipts):
        yield from find_mentions("\n".join(row.detail for row in rows.values() if row.detail))
