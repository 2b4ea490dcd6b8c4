"""The acceptance of a draft: charges it once, stores its long content, publishes its Job and waits for the confirm."""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic_core import to_json

from imsg_broker.port import MAX_BODY_BYTES, Broker, PublishRefused, PublishUnknown
from imsg_contract.countries import find_country
from imsg_contract.errors import Refusal
from imsg_contract.magic_recipients import find_refusal
from imsg_contract.send_times import write_time
from imsg_contract.templates import is_template
from imsg_contract.topology import SCHEDULE, job_key
from imsg_contract.wire import Category, ChargeRecord, EventKind, Reference
from imsg_gateway import limits
from imsg_gateway.costs import CostEstimator
from imsg_gateway.countries import read_countries
from imsg_gateway.credentials import Credential, Owner
from imsg_gateway.draft import Draft, LegDraft
from imsg_gateway.idempotency import Reservation
from imsg_gateway.jobs import add_legs, encode, kind_of, lane_of, stamp
from imsg_gateway.next_due import NextDue
from imsg_gateway.providers import Providers
from imsg_gateway.validation_errors import recipients_wrong
from imsg_limits.backpressure import Backpressure
from imsg_limits.caps import CapCheck, CapRow, Caps
from imsg_limits.quota import MAX_TESTS, TESTS_PER_DAY, Capped, Charged, Cost, Exhausted, Kind, Quota, Window
from imsg_limits.windows import Hold, PublishedWindows
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import QUIET_S, RecurringProblem, bind, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

log = logger(__name__)

INLINE_CONTENT_BYTES = 64 * 1024
"""Longer content travels by reference (docs/architecture.md)."""

LEGS_KEPT_FOR = timedelta(days=40)
"""How long the content of a leg is kept: a leg may begin days after the request, which may be 30 days ahead."""

REPEAT_FOR_S = 5.0
"""How long a publish with an unknown outcome is repeated before the client gets `outcome_unknown` (promise 1)."""

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
RETRY_AFTER_S = 2


class Accepted(NamedTuple):
    """The answer to a request that is on durable storage."""

    answer: Mapping[str, Any]
    """`id`, `count`, `cost` and, for SMS, `segments`."""
    headers: Mapping[str, str]


class Acceptor:
    """Accepts drafts."""

    def __init__(
        self,
        broker: Broker,
        history: Peer,
        quota: Quota,
        backpressure: Backpressure,
        providers: Providers,
        *,
        caps: Caps,
        costs: CostEstimator,
        windows: PublishedWindows,
        next_due: NextDue,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        repeat_for_s: float = REPEAT_FOR_S,
    ) -> None:
        self._broker = broker
        self._history = history
        self._quota = quota
        self._caps = caps
        self._backpressure = backpressure
        self._providers = providers
        self._costs = costs
        self._windows = windows
        self._next_due = next_due
        self._now = now
        self._repeat_for_s = repeat_for_s
        self._problem = RecurringProblem(log, "not_accepted", quiet_s=QUIET_S)
        self._refund_problem = RecurringProblem(log, "quota_not_refunded", quiet_s=QUIET_S)

    async def accept(
        self, draft: Draft, credential: Credential, request: str, owner: Owner, reservation: Reservation | None
    ) -> Accepted:
        """Charge, store and publish a draft under an id, as a request of `owner`.

        Raises DefaultCategoryChanged; Refusal: what the charge refuses, may_not_send_by, no_provider, overloaded;
        broker_blocked and not_accepted (nothing is kept, and the charge is refunded); outcome_unknown (with `id`).
        """
        method, kind = draft.method.name, kind_of(draft)
        self._providers.check(method)
        now = self._now()
        hold = self._windows.current.find_hold(method, draft.category, draft.due_at or now)
        is_held = hold is not None and draft.due_at is None  # otherwise the scheduler decides when it is due
        is_scheduled = is_held or draft.due_at is not None
        if not is_scheduled:
            self._backpressure.check(method, lane_of(kind, is_test=draft.is_test))
        begins_at = draft.due_at or (now if hold is None else hold.until)
        expires_at = begins_at + (draft.lifetime or draft.method.lifetime)
        stored, content_at = _split_off(draft)
        write = partial(
            encode,
            draft,
            request,
            owner,
            key=credential.key,
            content_at=content_at,
            accepted_at=now,
            expires_at=expires_at,
            hold=hold if is_held else None,
        )
        # A list may be too long, so its body is written before the charge, which decides the lane of a single message.
        body = write(lane=lane_of(None, is_test=draft.is_test)) if kind is None else b""
        if len(body) > MAX_BODY_BYTES:
            raise recipients_wrong("列表太长，请分批发送", "the list is too long; send in several requests")
        answer = _make_answer(draft, request, hold) | {"cost": await self._costs.estimate(draft)}
        charged = await self._charge(draft, kind, credential, owner, now)
        lane = lane_of(kind, is_crowded=charged.is_crowded, is_test=draft.is_test)
        job_user = charged if owner.username == credential.username else owner
        events = job_user.events | (EventKind.LEG if draft.legs else 0)
        body = stamp(body or write(lane=lane), events, charged.charge, job_user.department)
        charges = [charged]
        encode_leg = partial(
            _encode_leg,
            owner=owner,
            key=credential.key,
            accepted_at=now,
            expires_at=expires_at,
            events=events,
            department=job_user.department,
        )
        try:
            body, further = await self._add_legs(body, request, draft, credential, encode_leg)
            charges += further
            await self._store(request, stored, expires_at)
            if reservation is not None:
                await reservation.store_job(body, answer)
            key = SCHEDULE if is_scheduled or draft.legs else job_key(method, lane)
            await self.publish(key, body, request)
        except (ServiceUnavailable, RedisUnavailable, RedisRefused) as error:
            await self._refund(*charges)
            raise Refusal("not_accepted", retry_after_s=RETRY_AFTER_S) from error
        except Refusal as refusal:
            if refusal.reason != "outcome_unknown":
                await self._refund(*charges)
            raise
        if key == SCHEDULE:
            await self._next_due.record(method, begins_at)
        return Accepted(answer, limits.headers(charged.windows))

    async def _charge(
        self, draft: Draft, kind: Kind | None, credential: Credential, owner: Owner, now: datetime
    ) -> Charged:
        """Charge a draft, and check the caps. Raises Refusal: may_not_send_by, and what the charge refuses."""
        cost = await _make_cost(draft, kind, is_test=draft.is_test, default_category=draft.default_category)
        if draft.is_test:
            _refuse_magic(draft, cost, credential.zone, now)
        charged = await credential.charge(cost._replace(cap=await self._find_cap(draft, cost, owner)))
        if (sender := draft.sender) is not None and not charged.may_send_by(sender):
            await self._refund(charged)
            raise Refusal("may_not_send_by", sender=sender)
        return charged

    async def _add_legs(
        self, body: bytes, request: str, draft: Draft, credential: Credential, encode_leg: Callable[..., bytes]
    ) -> tuple[bytes, list[Charged]]:
        """Charge, store and write the further legs; where one does not fit, those before it are refunded.

        Raises what the charge and the store raise.
        """
        charges: list[Charged] = []
        if not draft.legs:
            return body, charges
        jobs: list[tuple[LegDraft, bytes]] = []
        try:
            for leg in draft.legs:
                cost = await _make_cost(leg.draft, "leg", is_test=draft.is_test)
                charges.append(await credential.charge(cost))
                stored, content_at = _split_off(leg.draft)
                await self._store(leg.request, stored, self._now() + LEGS_KEPT_FOR)
                jobs.append((leg, encode_leg(leg, charge=charges[-1].charge, content_at=content_at)))
            with_legs = add_legs(body, request, draft, jobs)
            if len(with_legs) > MAX_BODY_BYTES:
                raise recipients_wrong("列表太长，请分批发送", "the list is too long; send in several requests")
        except (Refusal, ServiceUnavailable, RedisUnavailable, RedisRefused):
            await self._refund(*charges)
            raise
        return with_legs, charges

    async def _find_cap(self, draft: Draft, cost: Cost, owner: Owner) -> CapCheck | None:
        """Return the caps of a single message's address; a list's are counted by the sender alone, a test's never."""
        if cost.kind is None or draft.is_test:
            return None
        return await self._caps.prepare(cost.method, draft.category, owner.user_id, draft.recipients[0].address)

    async def publish(self, key: str, body: bytes, request: str, *, is_repeat: bool = False) -> None:
        """Publish a Job under a routing key; repeat it for a while where the outcome is unknown.

        Raises Refusal not_accepted, broker_blocked, outcome_unknown.

        A refusal proves that nothing was kept only if no earlier publish may have been. `is_repeat`: one of an earlier
        request may have been.
        """
        bind(request=request)
        route = self._broker.topology.new(key)
        loop = asyncio.get_running_loop()
        may_be_kept = is_repeat
        end: float | None = None
        failures = 0
        while True:
            try:
                if end is None:
                    await self._broker.publish(body, route)
                else:
                    async with asyncio.timeout_at(end):
                        await self._broker.publish(body, route)
            except PublishRefused as refused:
                if not may_be_kept:
                    self._problem.report(refused)
                    reason = "broker_blocked" if self._broker.blocked else "not_accepted"
                    raise Refusal(reason, retry_after_s=RETRY_AFTER_S) from refused
                if is_repeat and end is None:
                    break
            except (PublishUnknown, TimeoutError):
                may_be_kept = True
            else:
                self._problem.clear()
                return
            if self._broker.blocked:  # an alarm lasts longer than a client waits
                break
            end = end or loop.time() + self._repeat_for_s
            failures += 1
            draw = random.random()  # noqa: S311  jitter
            pause_s = back_off_s(failures, draw, first_s=FIRST_PAUSE_S, longest_s=MAX_PAUSE_S)
            if loop.time() + pause_s >= end:
                break
            await asyncio.sleep(pause_s)
        log.warning("outcome_unknown")
        raise Refusal("outcome_unknown", extra={"id": request}, retry_after_s=RETRY_AFTER_S)

    async def _store(self, request: str, stored: Mapping[str, bytes], expires_at: datetime) -> None:
        """Store bytes in history before a Job refers to them. Raises ServiceUnavailable."""
        for digest, data in stored.items():
            answer = await self._history.call(
                "PUT",
                f"/internal/attachments/{request}/{digest}",
                content=data,
                params={"expires_at": expires_at.isoformat()},
                headers={"content-type": "application/octet-stream"},
            )
            if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
                raise ServiceFailed(f"history answered {answer.status_code} to an attachment")

    async def _refund(self, *charges: Charged) -> None:
        try:
            for charged in charges:
                await self._quota.refund(charged.charge)
        except (RedisUnavailable, RedisRefused) as error:
            # A request that was not accepted stays charged until its window ends.
            self._refund_problem.report(error)


async def _make_cost(
    draft: Draft, kind: Kind | None, *, is_test: bool, default_category: Category | None = None
) -> Cost:
    return Cost(
        len(draft.recipients),
        kind,
        _count_segments(draft),
        draft.method.name,
        is_test=is_test,
        countries=await _find_countries(draft),
        default_category=default_category,
    )


def _encode_leg(
    leg: LegDraft,
    *,
    owner: Owner,
    events: int,
    charge: ChargeRecord,
    department: str,
    **of_job: Any,  # noqa: ANN401  what `encode` takes
) -> bytes:
    lane = lane_of(kind_of(leg.draft), is_test=leg.draft.is_test)
    return stamp(encode(leg.draft, leg.request, owner, lane=lane, **of_job), events, charge, department)


def _make_answer(draft: Draft, request: str, hold: Hold | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": request, "count": len(draft.recipients)}
    if draft.total_segments is not None:
        answer["segments"] = draft.total_segments
    if draft.due_at is not None:
        answer["due_at"] = write_time(draft.due_at)
    if draft.legs:
        legs = [(request, draft), *((leg.request, leg.draft) for leg in draft.legs)]
        answer["legs"] = [{"id": name, "method": of_leg.method.name} for name, of_leg in legs]
    if hold is not None:
        answer |= {"held_until": write_time(hold.until), "held_by": hold.by}
    if draft.without_address is not None:
        answer["without_address"] = draft.without_address
    return answer


def _refuse_magic(draft: Draft, cost: Cost, zone: tzinfo, now: datetime) -> None:
    """Refuse a test to a magic recipient that provokes a refusal. Raises Refusal."""
    for recipient in draft.recipients:
        match find_refusal(draft.method.name, recipient.address):
            case "quota_used_up":
                opens_at = int(now.timestamp()) + RETRY_AFTER_S
                window = Window(TESTS_PER_DAY, "user", MAX_TESTS, MAX_TESTS, opens_at, RETRY_AFTER_S)
                raise limits.refuse_exhausted(Exhausted((window,), window), cost.recipients, cost.segments, zone)
            case "recipient_cap" if cost.kind is not None:  # of a list the sender settles it
                raise limits.refuse_capped(Capped(CapRow("test", draft.method.name, None, "user", "minute", 1), 60.0))
            case "country_not_allowed":
                raise Refusal("country_not_allowed", country=find_country(recipient.address))


async def _find_countries(draft: Draft) -> Collection[str]:
    """Find the countries of a draft's phone numbers; `?` is none that is known."""
    if draft.method.segments is None:
        return ()
    return {country or "?" for country in await read_countries(draft.recipients)}


def _count_segments(draft: Draft) -> int:
    """Return the segments of all recipients. An SMS by a template with unknown text counts as one."""
    if draft.method.segments is None:
        return 0
    return draft.total_segments or len(draft.recipients)


def _split_off(draft: Draft) -> tuple[Mapping[str, bytes], Reference | None]:
    """Return what is stored before the Job, sha256 → bytes, and the reference to its content if that is long."""
    stored = {file.sha256: file.data for file in draft.files}
    if is_template(draft.content):  # it has a bound of its own
        return stored, None
    if not _may_be_long(draft.content) or len(encoded := to_json(draft.content)) <= INLINE_CONTENT_BYTES:
        return stored, None
    content_at = Reference(sha256=sha256(encoded).hexdigest(), size=len(encoded))
    stored[content_at.sha256] = encoded
    return stored, content_at


def _may_be_long(content: str | dict[str, Any]) -> bool:
    """Return whether the content may be long, without encoding it: JSON writes a character in six bytes at most."""
    texts = [content] if isinstance(content, str) else list(map(str, content.values()))
    return sum(map(len, texts)) * 6 > INLINE_CONTENT_BYTES - 1024
