"""Planning retries: the recipients of a chunk that come again, in as few copies of the job as possible. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from imsg_contract.wire import Job, Recipient
from imsg_delivery.claims.records import Busy, Delayed, Record
from imsg_delivery.claims.store import BREAKS, start_field
from imsg_delivery.decide import CLAIM_EXPIRED, MAX_EXTENSION_S, AttemptTerms


@dataclass(frozen=True, slots=True)
class _CopyKind:
    """The properties of a copy of the job: recipients with equal ones share a copy."""

    step_s: int
    is_next: bool
    """The attempt has ended and the next follows; otherwise the recipient's record is read again later."""
    uses_attempt: bool
    broken: int
    """How often in a row they broke a worker."""
    queries_status: bool
    """The provider is asked for the result of this attempt."""
    taken_by: str | None
    """Which provider that is, where it is known."""
    isolated: int | None
    """The number of a recipient that gets its own copy, since it may crash workers; else None."""


class RetryPlan:
    """The copies of one delivery, until they are delayed."""

    def __init__(self, job: Job) -> None:
        # A copy with a part of them keeps the name of the chunk.
        self._job = job if job.chunk is not None else job.model_copy(update={"chunk": job.recipients[0].n})
        self._recipients: dict[_CopyKind, list[Recipient]] = defaultdict(list)

    def __bool__(self) -> bool:
        """Whether anything comes again."""
        return bool(self._recipients)

    def add_next(
        self,
        recipient: Recipient,
        step_s: int,
        *,
        uses_attempt: bool,
        queries_status: bool = False,
        taken_by: str | None = None,
        broken: int = 0,
        is_isolated: bool = False,
    ) -> None:
        """Plan a recipient's next attempt, or the next query of its status.

        A block uses up no attempt, and extends the job's life instead.
        """
        kind = _CopyKind(
            step_s,
            is_next=True,
            uses_attempt=uses_attempt,
            broken=broken,
            queries_status=queries_status,
            taken_by=taken_by if queries_status else None,
            isolated=recipient.n if is_isolated else None,
        )
        self._recipients[kind].append(recipient)

    def add_same(self, recipient: Recipient, step_s: int, *, broken: int) -> None:
        """Repeat a recipient unchanged, to query its status later."""
        kind = _CopyKind(
            step_s, is_next=False, uses_attempt=False, broken=broken, queries_status=False, taken_by=None, isolated=None
        )
        self._recipients[kind].append(recipient)

    def jobs(self) -> list[tuple[Job, int]]:
        """Make the copies, each with the seconds it waits."""
        return [(copy, kind.step_s) for kind, copy in self._copies()]

    def starts(self) -> Mapping[str, int]:
        """Return the copies that hold recipients which broke a worker → how many, by the claims' fields."""
        return {start_field(copy): kind.broken for kind, copy in self._copies() if kind.broken}

    def _copies(self) -> Iterator[tuple[_CopyKind, Job]]:
        for kind, recipients in self._recipients.items():
            yield kind, self._copy(kind, tuple(sorted(recipients, key=lambda recipient: recipient.n)))

    def _copy(self, kind: _CopyKind, recipients: tuple[Recipient, ...]) -> Job:
        job = self._job
        if not kind.is_next:
            return job.model_copy(update={"recipients": recipients})
        token = job.fencing_token + 1
        if kind.queries_status:
            query = {"status_query": job.status_query + 1, "taken_by": kind.taken_by or job.taken_by}
            return job.model_copy(update={"recipients": recipients, "fencing_token": token, **query})
        job = job.model_copy(update={"status_query": 0, "taken_by": None})
        if kind.uses_attempt:
            return job.model_copy(update={"recipients": recipients, "fencing_token": token, "attempt": job.attempt + 1})
        waited_s = min(kind.step_s, MAX_EXTENSION_S - job.extended_s)
        return job.model_copy(
            update={
                "recipients": recipients,
                "fencing_token": token,
                "expires_at": job.expires_at + timedelta(seconds=waited_s),
                "extended_s": job.extended_s + waited_s,
            }
        )


def plan_retries(
    terms: AttemptTerms,
    records: Mapping[int, Record],
    broken: int,
    *,
    broke: Collection[int] = (),
    again: Collection[int] = (),
) -> RetryPlan:
    """Plan the copies of a delivery that broke a worker `broken` times in a row before.

    A delayed recipient gets its next attempt; one over which the channel `broke` counts as suspected. Recipients that
    another worker has claimed, and those in `again`, are repeated unchanged by the shortest step, since a claim may end
    long before its lease.
    """
    plan = RetryPlan(terms.job)
    for recipient in terms.job.recipients:
        record = records.get(recipient.n)
        if isinstance(record, Busy) or recipient.n in again:
            plan.add_same(recipient, terms.steps_s[0], broken=broken)
        elif isinstance(record, Delayed) and not record.handed:
            was_in_flight = record.outcome.code == CLAIM_EXPIRED
            suspected = broken + 1 if recipient.n in broke else max(broken, 1) if was_in_flight else 0
            plan.add_next(
                recipient,
                record.step_s,
                uses_attempt=record.uses_attempt,
                queries_status=record.queries_status,
                taken_by=record.outcome.provider,
                broken=suspected,
                # Its last attempt is in a copy of its own, so that others in flight do not fail with it.
                is_isolated=was_in_flight and suspected >= BREAKS - 1,
            )
    return plan
