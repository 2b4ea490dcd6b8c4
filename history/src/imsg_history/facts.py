"""Facts that history records: jobs, outcomes, receipts, replies, changes and dead letters, read from deliveries."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from imsg_broker.port import Delivery
from imsg_contract.topology import CHANGE, DEAD, INBOUND, OUTCOME, PROGRESS, RECEIPT, is_job_key
from imsg_contract.wire import Change, Inbound, Job, Outcomes, Progress, Receipt
from imsg_history.ids import LAST_N

UNREADABLE = "unreadable"
DELIVERY_LIMIT = "delivery_limit"
NOT_RECORDED = "not_recorded"
"""Reasons that history itself gives a dead letter; other services give their own."""

DEATH_HEADER = "x-death"
"""The header of a message that RabbitMQ itself dead-lettered: a job over its delivery limit."""

MAX_REASON = 64
MAX_DETAIL = 2_000


@dataclass(frozen=True, slots=True)
class AcceptedJob:
    """An accepted request: its Job, and the Job's bytes as they were published."""

    job: Job
    body: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be read, or that a consumer failed on; with its Job where it is one."""

    id: str
    reason: str
    detail: str | None
    queue: str
    body: bytes
    job: Job | None = None


Fact = AcceptedJob | Outcomes | Progress | Receipt | Inbound | Change | DeadLetter

M = TypeVar("M", bound=BaseModel)


def read_fact(delivery: Delivery) -> Fact:
    """Read a delivery by its key and headers; one that can't be read becomes a dead letter with the reason."""
    key, body = delivery.key, delivery.body
    if key == DEAD or DEATH_HEADER in delivery.headers:
        return _read_dead_letter(delivery)
    if not is_job_key(key) and key not in (OUTCOME, PROGRESS, RECEIPT, INBOUND, CHANGE):
        return make_dead_letter(delivery, UNREADABLE, f"no kind of message has the key {key}")
    try:
        return _parse_fact(key, body)
    except ValueError as error:
        return make_dead_letter(delivery, UNREADABLE, _describe(error))
    except RecursionError:
        return make_dead_letter(delivery, UNREADABLE, "it is nested too deeply")


def _parse_fact(key: str, body: bytes) -> Fact:
    if key == OUTCOME:
        return _check_outcomes(_parse(Outcomes, body))
    if key == PROGRESS:
        return _parse(Progress, body)
    if key == RECEIPT:
        return _parse(Receipt, body)
    if key == INBOUND:
        return _parse(Inbound, body)
    if key == CHANGE:
        return _parse(Change, body)
    return AcceptedJob(_check_job(_parse(Job, body)), body)


def make_dead_letter(delivery: Delivery, reason: str, detail: str | None, job: Job | None = None) -> DeadLetter:
    """Make the dead letter of a delivery; a repeated delivery makes the same one."""
    queue = delivery.headers.get("queue") or delivery.headers.get("x-first-death-queue") or delivery.queue
    name = hashlib.sha256(b"\0".join((queue.encode(), delivery.key.encode(), delivery.body))).hexdigest()[:32]
    return DeadLetter(name, reason[:MAX_REASON], detail and detail[:MAX_DETAIL], queue, delivery.body, job)


def _read_dead_letter(delivery: Delivery) -> DeadLetter:
    text = delivery.headers.get("reason") or (DELIVERY_LIMIT if DEATH_HEADER in delivery.headers else "unknown")
    word, colon, rest = text.partition(": ")
    reason, detail = (word, rest) if colon and word.replace("_", "").isalnum() else (text, None)
    if reason == DELIVERY_LIMIT:
        detail = "It was delivered again and again and never settled."
    try:
        return make_dead_letter(delivery, reason, detail, _check_job(_parse(Job, delivery.body)))
    except (ValueError, RecursionError):
        return make_dead_letter(delivery, reason, detail)


def _parse(model: type[M], body: bytes) -> M:
    """Parse JSON strictly; replace lone surrogates by U+FFFD where nothing else is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError:
        if b"\\ud" not in body.lower():
            raise
    return model.model_validate(_replace_surrogates(json.loads(body)))


def _replace_surrogates(value: Any) -> Any:  # noqa: ANN401  any JSON
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_replace_surrogates(item) for item in value]
        case dict():
            return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
    return value


def _check_job(job: Job) -> Job:
    if not job.recipients:
        raise ValueError("recipients is empty")
    if any(not 0 <= recipient.n <= LAST_N for recipient in job.recipients):
        raise ValueError(f"a recipient's n is not from 0 to {LAST_N}")
    return job


def _check_outcomes(batch: Outcomes) -> Outcomes:
    for outcome in batch.outcomes:
        if not (0 <= outcome.n <= LAST_N and 0 <= outcome.attempt <= LAST_N):
            raise ValueError(f"n or attempt is not from 0 to {LAST_N}")
    return batch


def _describe(error: ValueError) -> str:
    """Describe an error without quoting the body, which may hold what logs and lists must not show."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in problems[:5])


def utc(at: datetime) -> datetime:
    """Convert a time to UTC; a time without a zone is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def compact(value: object) -> str:
    """Write JSON without spaces, in UTF-8's own characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
