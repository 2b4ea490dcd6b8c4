"""A cancel: the messages to cancel, and the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row

from imsg_contract.wire import Job, Recipient

KEPT_AFTER_EXPIRY = timedelta(days=7)
"""How long a cancel outlives the job's expiry: a life may be extended by a day, and claims live two days longer."""


class Totals(NamedTuple):
    """How many messages were cancelled, were in a provider's hands, and had settled before."""

    cancelled: int
    too_late: int
    settled: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancel of one message of a request, or (`n` is ALL_MESSAGES) of all."""

    request: str
    n: int
    user_id: str
    reference: str | None
    held_by: str | None
    at: datetime
    keep_until: datetime
    is_published: bool
    """Senders may have the job, and have to know of the cancel."""
    total: int
    """How many messages it asks for, those that have settled included."""
    totals: Totals | None
    """None while the result is not known."""
    job: Job | None
    """What is to be cancelled, without people and content; None once the outcomes are published."""

    @classmethod
    def of(cls, job: Job, n: int, at: datetime, *, total: int, totals: Totals | None) -> "Cancel":
        """Make the cancel of a job's recipients; `totals` is known where no sender can have the job."""
        at = at.replace(microsecond=at.microsecond // 1_000 * 1_000)
        keep_until = max(job.expires_at, at) + KEPT_AFTER_EXPIRY
        hidden = {
            "recipients": tuple(Recipient(n=recipient.n, to="", address="") for recipient in job.recipients),
            "content": None,
            "content_at": None,
            "attachments": (),
        }
        kept = job.model_copy(update=hidden)
        is_published = totals is None
        of_job = (job.request, n, job.user_id, job.reference, job.held_by)
        return cls(*of_job, at, keep_until, is_published, total, totals, kept)

    @classmethod
    def read(cls, row: Row[Any]) -> "Cancel":
        """Read a row."""
        return cls(
            row.request,
            row.n,
            row.user_id,
            row.reference,
            row.held_by,
            _read_ms(row.at_ms),
            _read_ms(row.keep_until_ms),
            bool(row.is_published),
            row.total,
            None if row.cancelled is None else Totals(row.cancelled, row.too_late, row.settled),
            None if row.body is None else Job.model_validate_json(row.body),
        )

    def write(self) -> Mapping[str, Any]:
        """Return the row."""
        totals = {name: None if self.totals is None else getattr(self.totals, name) for name in Totals._fields}
        return {
            "request": self.request,
            "n": self.n,
            "user_id": self.user_id,
            "reference": self.reference,
            "held_by": self.held_by,
            "at_ms": round(self.at.timestamp() * 1_000),
            "keep_until_ms": round(self.keep_until.timestamp() * 1_000),
            "is_published": int(self.is_published),
            "total": self.total,
            **totals,
            "body": None if self.job is None else self.job.encode(),
        }


def _read_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
