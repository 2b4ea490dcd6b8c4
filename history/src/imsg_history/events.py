"""What a delivery from history's queue says, read into facts; or why it can't be read."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from imsg_broker.port import Delivery
from imsg_contract.topology import CHANGE, DEAD, INBOUND, OUTCOME, RECEIPT, is_job_key
from imsg_contract.wire import Change, Inbound, Job, Outcomes, Receipt
from imsg_history.ids import LAST_N

UNREADABLE = "unreadable"
DELIVERY_LIMIT = "delivery_limit"
NOT_RECORDED = "not_recorded"
"""Reasons of ours for a dead letter; the others are the words of whoever dead-lettered it."""

DEATH_HEADER = "x-death"
"""What RabbitMQ adds where it moved a message itself: a job over its delivery limit."""

MAX_REASON = 64
MAX_DETAIL = 2_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new request: its Job, and the bytes of it as they were published."""

    job: Job
    body: bytes


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that could not be read, or that broke whoever took it; with its Job where it is one."""

    id: str
    reason: str
    detail: str | None
    queue: str
    body: bytes
    job: Job | None = None


Event = Accepted | Outcomes | Receipt | Inbound | Change | Dead

M = TypeVar("M", bound=BaseModel)


def read(delivery: Delivery) -> Event:
    """Read a delivery by its key and headers. What can't be read is a Dead that says why."""
    key, body = delivery.key, delivery.body
    if key == DEAD or DEATH_HEADER in delivery.headers:
        return _read_dead(delivery)
    if not is_job_key(key) and key not in (OUTCOME, RECEIPT, INBOUND, CHANGE):
        return dead(delivery, UNREADABLE, f"no kind of message has the key {key}")
    try:
        return _read(key, body)
    except ValueError as error:
        return dead(delivery, UNREADABLE, _why(error))
    except RecursionError:
        return dead(delivery, UNREADABLE, "it is nested too deeply")


def _read(key: str, body: bytes) -> Event:
    if key == OUTCOME:
        return _number(_parse(Outcomes, body))
    if key == RECEIPT:
        return _parse(Receipt, body)
    if key == INBOUND:
        return _parse(Inbound, body)
    if key == CHANGE:
        return _parse(Change, body)
    return Accepted(_check(_parse(Job, body)), body)


def dead(delivery: Delivery, reason: str, detail: str | None, job: Job | None = None) -> Dead:
    """Make a dead letter of a delivery; the same delivery again makes the same one."""
    queue = delivery.headers.get("queue") or delivery.headers.get("x-first-death-queue") or delivery.queue
    name = hashlib.sha256(b"\0".join((queue.encode(), delivery.key.encode(), delivery.body))).hexdigest()[:32]
    return Dead(name, reason[:MAX_REASON], detail and detail[:MAX_DETAIL], queue, delivery.body, job)


def _read_dead(delivery: Delivery) -> Dead:
    said = delivery.headers.get("reason") or (DELIVERY_LIMIT if DEATH_HEADER in delivery.headers else "unknown")
    word, colon, rest = said.partition(": ")
    reason, detail = (word, rest) if colon and word.replace("_", "").isalnum() else (said, None)
    if reason == DELIVERY_LIMIT:
        detail = "It was delivered again and again and never settled."
    try:
        return dead(delivery, reason, detail, _check(_parse(Job, delivery.body)))
    except (ValueError, RecursionError):
        return dead(delivery, reason, detail)


def _parse(model: type[M], body: bytes) -> M:
    """Parse JSON strictly; where a lone surrogate in an escape is all that is wrong, U+FFFD takes its place."""
    try:
        return model.model_validate_json(body)
    except ValidationError:
        if b"\\ud" not in body.lower():
            raise
    return model.model_validate(_whole(json.loads(body)))


def _whole(value: Any) -> Any:  # noqa: ANN401  any JSON
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _check(job: Job) -> Job:
    if not job.recipients:
        raise ValueError("recipients is empty")
    if any(not 0 <= recipient.n <= LAST_N for recipient in job.recipients):
        raise ValueError(f"a recipient's n is not from 0 to {LAST_N}")
    return job


def _number(batch: Outcomes) -> Outcomes:
    for outcome in batch.outcomes:
        if not (0 <= outcome.n <= LAST_N and 0 <= outcome.attempt <= LAST_N):
            raise ValueError(f"n or attempt is not from 0 to {LAST_N}")
    return batch


def _why(error: ValueError) -> str:
    """Say what is wrong without a word of the body, which may hold what logs and lists must not."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in problems[:5])


def utc(at: datetime) -> datetime:
    """Put a time into UTC; one without a zone is taken to be in it."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def compact(value: object) -> str:
    """Write JSON without spaces, in UTF-8's own characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
