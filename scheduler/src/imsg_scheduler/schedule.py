"""Changes of the time of scheduled requests, on behalf of their users."""

from datetime import datetime

from imsg_broker.port import Broker
from imsg_contract.errors import Refusal
from imsg_contract.roles import OPERATORS
from imsg_contract.topology import RESCHEDULE
from imsg_contract.wire import Job, Status
from imsg_runtime.logs import logger
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.store import Store, WaitingJob
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

log = logger(__name__)

OK, NOT_FOUND = 200, 404

WAITING = (Status.SCHEDULED, Status.HELD)


class Schedule:
    """Moves scheduled requests. History shows the new time once the broker has confirmed it."""

    def __init__(self, broker: Broker, store: Store, history: Peer, clock: RedisClock) -> None:
        self._broker = broker
        self._store = store
        self._history = history
        self._clock = clock

    async def move(self, request: str, due_at: datetime, caller: Caller) -> Job:
        """Let a request be due at another time; return its job.

        Raises Refusal not_found, already_due, not_scheduled; DatabaseUnavailable, PublishRefused, PublishUnknown,
        ServiceUnavailable, RedisUnavailable, RedisRefused.
        """
        now = await self._clock.read()
        async with self._store.writing() as rows:
            waiting = await rows.lock(request)
            job = None if waiting is None else waiting.job
            if job is not None and caller.role not in OPERATORS and job.user_id != caller.user_id:
                raise Refusal("not_found", what=request)
            if waiting is not None and _may_move(waiting, now):
                moved = _move(waiting.job, due_at)
                await rows.change(moved)
                await self._broker.publish(moved.encode(), self._broker.topology.new(RESCHEDULE))
                log.info("moved", request=request, due_at=due_at.isoformat())
                return moved
        if job is not None:
            raise Refusal("already_due", id=request)
        raise await self._explain(request, caller)

    async def release(self, request: str, operator: Caller) -> Job:
        """Let a scheduled or held request be sent now; return its job. Raises what `move` raises."""
        now_ms = await self._clock.read_ms()
        async with self._store.writing() as rows:
            waiting = await rows.lock(request)
            if waiting is not None and await rows.release(now_ms, request=request):
                return waiting.job
        if waiting is not None:
            raise Refusal("already_due", id=request)
        raise await self._explain(request, operator)

    async def release_held(self, window: str) -> int:
        """Let all that a window holds be sent now; return how many requests.

        Raises DatabaseUnavailable, RedisUnavailable, RedisRefused.
        """
        now_ms = await self._clock.read_ms()
        async with self._store.writing() as rows:
            return await rows.release(now_ms, held_by=window)

    async def _explain(self, request: str, caller: Caller) -> Refusal:
        """Return why a request that does not wait here can't be moved."""
        answer = await self._history.call("GET", f"/api/requests/{request}", caller=caller)
        if answer.status_code == NOT_FOUND:
            return Refusal("not_found", what=request)
        if answer.status_code != OK:
            raise ServiceFailed(f"history answered {answer.status_code} to /api/requests/ID")
        message = answer.json()
        waits_until = message["held_until"] or message["due_at"]
        if waits_until is None:
            return Refusal("not_scheduled", id=request)
        if message["state"] in WAITING and datetime.fromisoformat(waits_until) > await self._clock.read():
            raise ServiceUnavailable("the request was accepted, and is not stored yet")
        return Refusal("already_due", id=request)


def _may_move(waiting: WaitingJob, now: datetime) -> bool:
    job = waiting.job
    return not waiting.is_releasing and job.held_until is None and job.due_at is not None and job.due_at > now


def _move(job: Job, due_at: datetime) -> Job:
    life = job.expires_at - (job.due_at or job.accepted_at)
    return job.model_copy(update={"due_at": due_at, "expires_at": due_at + life, "moves": job.moves + 1})
