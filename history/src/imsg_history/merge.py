"""Facts merged into rows: the same rows in any order of the facts, however often each arrives.

A message's status is that of its fact with the highest (rank, attempt, at, mark); every other column is a set or a
maximum. So merging is commutative and idempotent: here within a batch, and in `row_writer` between batches.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from imsg_contract.countries import find_country
from imsg_contract.prices import MICROS, read_amount
from imsg_contract.results import Hop
from imsg_contract.templates import LIQUID, is_template
from imsg_contract.wire import RANKS, Change, Inbound, Job, Outcome, Outcomes, Progress, Receipt, Recipient, Status
from imsg_history.facts import AcceptedJob, DeadLetter, Fact, compact, utc
from imsg_history.ids import find_day, time_of
from imsg_history.records import (
    MAX_ADDRESS,
    MAX_CODE,
    MAX_DETAIL,
    MAX_NAME,
    MAX_PROVIDER_ID,
    MAX_REFERENCE,
    MAX_TEXT,
    AttemptRow,
    AuditRow,
    DeadRow,
    JobRow,
    MessageRow,
    ReceiptRow,
    ReplyRow,
    RequestRow,
    clean,
    clean_optional,
    fingerprint,
)

RANK = {status: rank * 10 for status, rank in RANKS.items()}
"""The ranks of the wire, with room between them. A new status needs a rank in `wire.RANKS` alone."""

DEAD_RANK = 25
"""`failed` by a dead letter: above `retrying`, below every result that a channel reports."""

NO_ATTEMPT = 0
"""The attempt of an outcome that settled a message without any attempt."""

UNTRIED_RANK = 26
"""`expired` without any attempt: below every result of a provider, in case the message is sent all the same."""

DEAD_LETTER = "dead_letter"
"""The code of a message whose job was dead-lettered."""

MAX_SEGMENTS = 1_000
MAX_MICROS = 1_000_000 * MICROS
"""The most segments and the highest cost that are recorded of a message; larger ones are taken for mistakes."""

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)

ORDER_SPAN = timedelta(milliseconds=1)
"""The dead letters of a batch get times a microsecond apart, so that a list keeps their order.

Their times lie within this span before the batch: an erasure that begins now covers what has arrived by now.
"""


@dataclass(slots=True)
class MergedBatch:
    """The rows of a batch of facts, each by its key."""

    now: datetime
    oldest: str
    """The lowest request id that retention keeps; facts of older requests are counted as late and dropped."""
    requests: dict[str, RequestRow] = field(default_factory=dict)
    jobs: dict[str, JobRow] = field(default_factory=dict)
    messages: dict[tuple[str, int], MessageRow] = field(default_factory=dict)
    attempts: dict[tuple[str, int, datetime, int], AttemptRow] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str, datetime, int], ReceiptRow] = field(default_factory=dict)
    replies: dict[str, ReplyRow] = field(default_factory=dict)
    dead: dict[str, DeadRow] = field(default_factory=dict)
    dead_jobs: dict[str, Job] = field(default_factory=dict)
    audit: dict[str, AuditRow] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    late: int = 0
    zone: tzinfo = UTC
    """The time zone of the days under which requests are counted."""

    def add(self, fact: Fact) -> None:
        """Add a fact. Raises ValueError or OverflowError where no row can hold it."""
        match fact:
            case AcceptedJob():
                self._add_accepted(fact)
            case Outcomes():
                for outcome in fact.outcomes:
                    self._add_outcome(outcome)
            case Receipt():
                self._add_receipt(fact)
            case Inbound():
                self._add_reply(fact)
            case Change():
                self._add_change(fact)
            case Progress():
                known = self.progress.get(fact.request)
                if known is None or known.rank < fact.rank:
                    self.progress[fact.request] = fact
            case DeadLetter():
                self._add_dead_letter(fact)

    def find_oldest(self) -> datetime | None:
        """Return the time of the oldest job or attempt; None without any. Receipts may be late, and do not count."""
        accepted = (request.accepted_at for request in self.requests.values())
        tried = (attempt.at for attempt in self.attempts.values() if attempt.attempt)
        return min((*accepted, *tried), default=None)

    def list_requests(self) -> Sequence[str]:
        """Return the requests that the batch changes."""
        of_messages = (request for request, _ in self.messages)
        return list(dict.fromkeys((*self.requests, *of_messages, *self.progress)))

    def list_with_legs(self) -> Sequence[str]:
        """Return the requests with a fallback that the batch changes."""
        first_legs = (row.request for row in self.requests.values() if row.leg == 1)
        return sorted({*first_legs, *self.progress})

    def settle_dead_letters(self, since: dict[str, datetime]) -> None:
        """Settle the recipients of dead-lettered jobs, each at the time when its dead letter was first kept."""
        for name, job in self.dead_jobs.items():
            at = _time_of_batch(since[name])
            mark, detail = fingerprint(name), self.dead[name].reason
            for row in _message_rows(job, Status.FAILED, DEAD_RANK, at, mark):
                row.code, row.detail = DEAD_LETTER, detail
                self._add_message(row)
                self._add_attempt(
                    AttemptRow(row.request, row.n, at, mark, None, row.status, code=DEAD_LETTER, detail=detail)
                )

    def _add_accepted(self, accepted: AcceptedJob) -> None:
        job = accepted.job
        if self._is_late(job.request):
            return
        row, known = _request_row(job, self.zone), self.requests.get(job.request)
        before = self.jobs.get(job.request)
        body = job.model_copy(update={"fallback": ()}).encode() if job.fallback else accepted.body
        if known is not None and before is not None and row.is_further_leg:
            row, body = (
                max(known, row, key=lambda record: record.released_at or record.accepted_at),
                join_people(before.body, body),
            )
        legs = row.legs or (known.legs if known is not None else None)  # scheduler hands over the first leg alone
        if known is None or before is None or row.version >= known.version:
            self.jobs[job.request] = JobRow(job.request, body)
        else:
            row = known
        self.requests[job.request] = row if row.legs == legs else replace(row, legs=legs)
        status, mark = Status.QUEUED, 0
        if job.is_scheduled:
            status, mark = (Status.SCHEDULED, 0) if job.held_until is None else (Status.HELD, job.moves)
        for message in _message_rows(job, status, RANK[status], utc(job.queued_at), mark):
            self._add_message(message)

    def _add_outcome(self, outcome: Outcome) -> None:
        if self._is_late(outcome.request):
            return
        at, attempt, status = utc(outcome.at), outcome.attempt, outcome.status.value
        provider = clean_optional(outcome.provider, MAX_NAME)
        provider_id = clean_optional(outcome.provider_id, MAX_PROVIDER_ID)
        code, detail = clean_optional(outcome.code, MAX_CODE), clean_optional(outcome.detail, MAX_DETAIL)
        report = (provider, provider_id, code, detail)
        is_untried = attempt == NO_ATTEMPT and outcome.status is Status.EXPIRED
        mark = fingerprint(attempt, status, *(() if is_untried else report))  # whichever service expires it
        request, n, rank = outcome.request, outcome.n, UNTRIED_RANK if is_untried else RANK[outcome.status]
        attempts = attempt if outcome.was_called else max(0, attempt - 1)
        self._add_attempt(AttemptRow(request, n, at, mark, attempt, status, *report))
        for hop in outcome.hops:
            self._add_hop(request, n, attempt, at, hop)
        row = MessageRow(request, n, None, None, None, None, status, rank, attempt, at, mark, attempts, *report)
        row.billed_segments = _read_segments(outcome.segments)
        row.simulated = 1 if outcome.simulated else None
        self._add_message(row)

    def _add_hop(self, request: str, n: int, attempt: int, ended_at: datetime, hop: Hop) -> None:
        """Add a provider that the attempt tried before: a line of the timeline, without effect on the status."""
        at = ended_at - max(timedelta(seconds=hop.before_s), timedelta(microseconds=1))
        provider, code, detail = clean(hop.provider, MAX_NAME), clean(hop.code, MAX_CODE), clean(hop.detail, MAX_DETAIL)
        status = Status.RETRYING.value
        mark = fingerprint(attempt, status, provider, None, code, detail)
        self._add_attempt(AttemptRow(request, n, at, mark, attempt, status, provider, None, code, detail))

    def _add_receipt(self, receipt: Receipt) -> None:
        provider, provider_id = clean(receipt.provider, MAX_NAME), clean(receipt.provider_id, MAX_PROVIDER_ID)
        address, at, status = clean(receipt.address, MAX_ADDRESS), utc(receipt.at), receipt.status.value
        code, detail = clean_optional(receipt.code, MAX_CODE), clean_optional(receipt.detail, MAX_DETAIL)
        bill = (receipt.segments, receipt.price, receipt.currency)
        mark = fingerprint(provider_id, status, code, detail, *(bill if any(bill) else ()))
        row = ReceiptRow(provider, provider_id, address, at, mark, status, code, detail, self.now, *_read_bill(receipt))
        if receipt.complaint_of is not None and receipt.n is not None:
            self._add_complaint(receipt.complaint_of, receipt.n, row)
        elif receipt.request is not None and receipt.n is not None:
            self._add_named_receipt(receipt.request, receipt.n, row)
        else:
            self.receipts[provider, provider_id, address, at, mark] = row

    def _add_named_receipt(self, request: str, n: int, row: ReceiptRow) -> None:
        """Set the status of the message that a receipt names, also before its job or outcome arrives.

        The receipt does not know the provider of the message: `message_providers` finds it by the attempts.
        """
        if self._is_late(request):
            return
        report = (row.provider, row.provider_id, row.code, row.detail)
        rank = RANK[Status(row.status)]
        self._add_attempt(AttemptRow(request, n, row.at, row.mark, None, row.status, *report))
        self._add_message(
            MessageRow(
                request, n, None, None, None, None, row.status, rank, 0, row.at, row.mark, 0, None, None, *report[2:]
            )
        )

    def _add_complaint(self, request: str, n: int, row: ReceiptRow) -> None:
        """Add a complaint: a line of the timeline, without effect on the status."""
        if not self._is_late(request):
            report = (row.provider, row.provider_id, row.code, row.detail)
            self._add_attempt(AttemptRow(request, n, row.at, row.mark, None, row.status, *report))

    def _add_reply(self, reply: Inbound) -> None:
        provider, address = clean(reply.provider, MAX_NAME), clean(reply.address, MAX_ADDRESS)
        name = hashlib.sha256(repr((reply.method, provider, reply.id, address)).encode()).hexdigest()[:32]
        self.replies[name] = ReplyRow(
            name,
            min(utc(reply.at), self.now),
            clean(reply.method, MAX_NAME),
            provider,
            address,
            clean_optional(reply.to, MAX_ADDRESS),
            clean_optional(reply.signature, MAX_NAME),
            clean(reply.text, MAX_TEXT),
            int(reply.opt_out),
            self.now,
        )

    def _add_change(self, change: Change) -> None:
        row = AuditRow.make(change)
        self.audit[row.id] = row

    def _add_dead_letter(self, letter: DeadLetter) -> None:
        job, known = letter.job, self.dead.get(letter.id)
        self.dead[letter.id] = DeadRow(
            letter.id,
            job.request if job else None,
            clean(job.method, MAX_NAME) if job else None,
            clean(letter.queue),
            clean(letter.reason),
            clean_optional(letter.detail, MAX_DETAIL),
            letter.body,
            known.at if known is not None else _time_in_batch(self.now, len(self.dead)),
        )
        if job is None or self._is_late(job.request):
            return
        self.requests.setdefault(job.request, _request_row(job, self.zone))
        self.dead_jobs[letter.id] = job

    def _add_message(self, row: MessageRow) -> None:
        known = self.messages.setdefault((row.request, row.n), row)
        if known is not row:
            known.merge(row)

    def _add_attempt(self, row: AttemptRow) -> None:
        self.attempts[row.request, row.n, row.at, row.mark] = row

    def _is_late(self, request: str) -> bool:
        if request >= self.oldest:
            return False
        self.late += 1
        return True


def _time_in_batch(now: datetime, nth: int) -> datetime:
    """Return the time of the nth dead letter of a batch; lists are sorted by it."""
    return now - ORDER_SPAN + min(nth, 999) * timedelta(microseconds=1)


def _time_of_batch(at: datetime) -> datetime:
    """Return the time of a dead letter's batch: what it settles must not depend on its order."""
    at += ORDER_SPAN
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)


def _request_row(job: Job, zone: tzinfo) -> RequestRow:
    content = job.content if isinstance(job.content, dict) else {}
    source = content[LIQUID][content["language"]] if is_template(content) else content
    subject, template = source.get("subject"), content.get("template")
    return RequestRow(
        job.request,
        clean(job.username, MAX_NAME),
        clean(job.method, MAX_NAME),
        clean_optional(job.account, MAX_NAME),
        job.lane.value,
        clean(subject) if isinstance(subject, str) else None,
        None if job.content is None else clean(compact(job.content)),
        compact(job.content_at.model_dump()) if job.content_at else None,
        clean(compact([attachment.model_dump() for attachment in job.attachments])),
        job.segments,
        clean_optional(job.resend_of, MAX_NAME),
        utc(job.accepted_at),
        utc(job.expires_at) - timedelta(seconds=job.extended_s),
        job.category.value,
        find_day(time_of(job.request), zone),
        clean(template, MAX_CODE) if isinstance(template, str) else None,
        clean_optional(job.reference, MAX_REFERENCE),
        job.user_id,
        clean_optional(job.key, MAX_NAME),
        clean_optional(job.department, MAX_NAME),
        None if job.due_at is None else utc(job.due_at),
        job.moves,
        None if job.released_at is None else utc(job.released_at),
        None if job.held_until is None else utc(job.held_until),
        clean_optional(job.held_by, MAX_NAME),
        job.leg,
        job.leg_of,
        _list_legs(job),
    )


def join_people(before: bytes, later: bytes) -> bytes:
    """Return the job of a further leg with the people of both jobs; the rest is that of the one that expires later.

    Each keeps the expiry of the job that began the leg for them, since history may publish theirs again (`stuck`).
    """
    jobs = sorted((json.loads(before), json.loads(later)), key=lambda job: datetime.fromisoformat(job["expires_at"]))
    people = {
        recipient["n"]: {"expires_at": job["expires_at"]} | recipient for job in jobs for recipient in job["recipients"]
    }
    return compact(jobs[1] | {"recipients": [people[n] for n in sorted(people)]}).encode()


def _list_legs(job: Job) -> str | None:
    """Return the id and method of each leg as JSON; None for a further leg, and without a fallback."""
    if not job.fallback:
        return None
    return compact([(leg_job.request, leg_job.method) for leg_job in (job, *(leg.job for leg in job.fallback))])


def _message_rows(job: Job, status: Status, rank: int, at: datetime, mark: int) -> Iterator[MessageRow]:
    username, method = clean(job.username, MAX_NAME), clean(job.method, MAX_NAME)
    for recipient in job.recipients:
        written, address = clean(recipient.to, MAX_ADDRESS), clean(recipient.address, MAX_ADDRESS)
        yield MessageRow(
            job.request,
            recipient.n,
            username,
            method,
            written,
            address,
            status.value,
            rank,
            0,
            at,
            mark,
            0,
            user_id=job.user_id,
            events=job.events if job.user_id else 0,
            country=find_country(address),
            params=_write_params(recipient),
            reference=clean_optional(recipient.reference, MAX_REFERENCE),
        )


def _write_params(recipient: Recipient) -> str | None:
    """Return the recipient's params and language as JSON; None without both."""
    if recipient.params is None and recipient.language is None:
        return None
    return clean(compact({"params": recipient.params, "language": recipient.language}))


def _read_segments(segments: int | None) -> int | None:
    return segments if segments is not None and 0 < segments <= MAX_SEGMENTS else None


def _read_bill(receipt: Receipt) -> tuple[int | None, int | None, str | None]:
    """Return what a provider charges: segments, millionths of a currency's unit, and the currency.

    A number that its column can't hold becomes None.
    """
    segments = _read_segments(receipt.segments)
    if receipt.price is None or receipt.currency is None or not _CURRENCY.fullmatch(receipt.currency):
        return segments, None, None
    try:
        micros = read_amount(Decimal(receipt.price))
    except (ArithmeticError, ValueError):
        return segments, None, None
    return (segments, micros, receipt.currency) if 0 <= micros <= MAX_MICROS else (segments, None, None)
