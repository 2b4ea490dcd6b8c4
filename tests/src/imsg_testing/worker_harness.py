"""A worker with a scripted channel, a provider that counts messages, and a listener in history's place."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import CANCELS, CANCELS_COMPLETE, DEAD, OUTCOME, Lane, Topology, job_key
from imsg_contract.wire import Job, Outcome, Outcomes, Recipient
from imsg_delivery.channel import Channel, Terms
from imsg_delivery.consumer import Durations, Worker
from imsg_people.suppressions import SuppressionMirror
from imsg_runtime.heartbeat import UNWATCHED, Heartbeat
from imsg_runtime.logs import configure
from imsg_runtime.redis import connect as connect_redis
from imsg_runtime.watchdog import watch
from imsg_testing.brokers import open_ready
from imsg_testing.jobs import make_job
from imsg_testing.tcp_server import serve_tcp
from imsg_testing.waiting import eventually

TERMS = Terms(
    chunk_size=50, call_size=1, concurrency={Lane.PRIORITY: 8, Lane.NORMAL: 7, Lane.BULK: 4}, uncertain="repeat"
)

ERASURE_KEYS = (SecretStr("tombs of the trial"),)

PROCESSOR_S, STOPPED_S = 1.5, 3.0
"""When the watchdog ends a worker that spins or stands still."""

SHORT = Durations(lease_s=1.0, finish_s=5.0)
"""For workers that a test kills: what they claimed is free again soon."""

LONG = Durations(lease_s=15.0, finish_s=60.0)
"""For all others: no claim ends, and no call is broken off, where the machine stands still for seconds."""

Answer = Mapping[str, Any]
"""What the provider answers: `{"result": "sent" | "again" | … , …}` with the result's own fields."""

SENT: Answer = {"result": "sent"}
SENT_UNSEEN: Answer = {"result": "unknown", "taken": True}
"""Taken, and the sender never learns it."""


def job(count: int = 1, *, first: int = 0, life_s: float = 3_600, **fields: Any) -> Job:  # noqa: ANN401  any of Job's
    """Return a job with `count` recipients, whose addresses are their numbers."""
    now = datetime.now(UTC)
    recipients = tuple(Recipient(n=n, to=address(n), address=address(n)) for n in range(first, first + count))
    given = {"recipients": recipients, "lane": Lane.NORMAL if count == 1 else Lane.BULK}
    return make_job(at=now, **{"expires_at": now + timedelta(seconds=life_s), **given, **fields})


def address(n: int) -> str:
    """Return the address of recipient n."""
    return f"{n}@example.com"


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """One message that the provider received."""

    request: str
    n: int
    attempt: int


class ScriptedProvider:
    """Receives messages over TCP, one JSON object a line, and gives the answers a test sets, by default success."""

    def __init__(self) -> None:
        self.taken: list[TakenMessage] = []
        self.asked: Counter[int] = Counter()
        """n → the number of its calls."""
        self.lives: dict[int, list[datetime]] = defaultdict(list)
        """n → when its life was to end, at each call."""
        self.latency_s = 0.0
        self.under_way = 0
        self.most_under_way = 0
        self.open = asyncio.Event()
        """While cleared, no call is answered, but those for the recipients in `let_through`."""
        self.open.set()
        self.let_through: set[int] = set()
        self._answers: dict[int, list[Answer]] = {}
        self._always: dict[int, Answer] = {}
        self.port = 0

    def answer(self, n: int, *answers: Answer) -> None:
        """Set the answers to the next calls for recipient n; then it succeeds."""
        self._answers[n] = list(answers)

    def always(self, n: int, answer: Answer) -> None:
        """Set the answer to every call for recipient n."""
        self._always[n] = answer

    def count(self, request: str) -> Counter[int]:
        """Count the messages to each n of a request."""
        return Counter(taken.n for taken in self.taken if taken.request == request)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen on a free port of the loopback."""
        async with serve_tcp(self._serve) as self.port:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            body = json.loads(line)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                answer = await self._answer(body)
            finally:
                self.under_way -= 1
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def _answer(self, asked: Mapping[str, Any]) -> Answer:
        n = int(asked["n"])
        self.asked[n] += 1
        answers = self._answers.get(n)
        answer = self._always.get(n) or (answers.pop(0) if answers else SENT)
        if answer["result"] == "sent" or answer.get("taken"):
            self.taken.append(TakenMessage(asked["request"], n, asked["attempt"]))
        self.lives[n].append(datetime.fromisoformat(asked["expires_at"]))
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if n not in self.let_through:
            await self.open.wait()
        return answer


class TrialChannel:
    """Calls the provider for each recipient. An answer may make it raise, or kill its process."""

    method = "smtp"

    def __init__(self, port: int, terms: Terms = TERMS) -> None:
        self.terms = terms
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def prepare(self, job: Job) -> str | Again | Blocked | Refused:
        """Fail in the way that the subject names."""
        subject = job.content["subject"] if isinstance(job.content, dict) else ""
        if subject == "raise":
            raise RuntimeError("told to raise")
        if subject == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if subject == "spin":
            re.fullmatch("(a+)+b", "a" * 60)
        if subject == "no body":
            return Again("history", "away", "history is away")
        return "prepared"

    async def deliver(self, job: Job, prepared: str, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Call the provider for each recipient."""
        assert prepared == "prepared"
        return {recipient.n: await self._ask(job, recipient) for recipient in recipients}

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()

    async def _ask(self, job: Job, recipient: Recipient) -> Result:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        try:
            question = {
                "request": job.request,
                "n": recipient.n,
                "attempt": job.attempt,
                "expires_at": job.expires_at.isoformat(),
            }
            writer.write(json.dumps(question).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return _result(answer, f"{job.request}-{recipient.n}")


def _result(answer: Mapping[str, Any], provider_id: str) -> Result:
    detail = str(answer.get("detail", "as told"))
    after_s = float(answer.get("after_s", 0.0))
    match answer["result"]:
        case "sent":
            return Sent("trial", provider_id, detail)
        case "again":
            return Again("trial", "451", detail, after_s)
        case "refused":
            return Refused("trial", "550", detail)
        case "blocked":
            return Blocked("trial", "account", "535", detail, after_s)
        case "unknown":
            return Unknown("trial", "timeout", detail)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("told to raise")


class HistoryListener:
    """Consumes the messages for history."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, int], list[Outcome]] = defaultdict(list)
        self.dead: list[tuple[str, bytes]] = []
        self.jobs: list[Job] = []

    def statuses(self, request: str) -> dict[int, list[str]]:
        """Return n → its published statuses, in order."""
        return {
            n: [outcome.status.value for outcome in heard]
            for (name, n), heard in self.outcomes.items()
            if name == request
        }

    def last(self, request: str, n: int = 0) -> Outcome:
        """Return the last published outcome of a message."""
        return self.outcomes[request, n][-1]

    async def wait_settled(self, request: str, count: int = 1, within_s: float = 60.0) -> None:
        """Wait until so many messages of a request have ended."""

        async def all_of_them() -> bool:
            ends = [heard[-1] for heard in self.statuses(request).values()]
            return len([status for status in ends if status not in ("queued", "retrying")]) >= count

        await eventually(all_of_them, within_s)

    @asynccontextmanager
    async def listening(self, broker: Broker) -> AsyncIterator[None]:
        """Consume history's queue."""
        async with broker.consume(broker.topology.history, 100) as deliveries:

            async def listen() -> None:
                async for delivery in deliveries:
                    self._record(delivery.key, delivery.headers, delivery.body)
                    await broker.ack(delivery)

            task = asyncio.create_task(listen())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _record(self, key: str, headers: Mapping[str, str], body: bytes) -> None:
        if key == OUTCOME:
            for outcome in Outcomes.model_validate_json(body).outcomes:
                self.outcomes[outcome.request, outcome.n].append(outcome)
        elif key == DEAD:
            self.dead.append((headers["reason"], body))
        else:
            self.jobs.append(Job.model_validate_json(body))


async def accept(broker: Broker, new: Job) -> None:
    """Publish a job as the gateway does: where it may be kept or not, the same bytes again."""

    async def is_kept() -> bool:
        try:
            await broker.publish(new.encode(), broker.topology.new(job_key(new.method, new.lane)))
        except (PublishRefused, PublishUnknown):
            return False
        return True

    await eventually(is_kept)


@asynccontextmanager
async def worker_at(
    broker: Broker,
    redis_url: str,
    port: int,
    terms: Terms = TERMS,
    durations: Durations = LONG,
    *,
    heartbeat: Heartbeat = UNWATCHED,
    looks_up_suppressions: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[asyncio.Event]:
    """Run a worker of the trial's channel in this process; set what it yields to stop it."""
    channel = TrialChannel(port, terms)
    running = worker_of(
        channel,
        broker,
        redis_url,
        durations,
        heartbeat=heartbeat,
        looks_up_suppressions=looks_up_suppressions,
        clock=clock,
    )
    async with running as stopping:
        try:
            yield stopping
        finally:
            stopping.set()
    await channel.close()


@asynccontextmanager
async def worker_of(
    channel: Channel[Any],
    broker: Broker,
    redis_url: str,
    durations: Durations = LONG,
    *,
    heartbeat: Heartbeat = UNWATCHED,
    looks_up_suppressions: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[asyncio.Event]:
    """Run a channel's worker in this process; set what it yields to stop it."""
    stopping = asyncio.Event()
    async with connect_redis(redis_url) as redis:
        await redis.call("HSET", CANCELS, CANCELS_COMPLETE, 1)  # as scheduler does
        worker = Worker(
            channel,
            broker,
            redis,
            metrics=CollectorRegistry(),
            stopping=stopping,
            durations=durations,
            heartbeat=heartbeat,
            erasure_keys=ERASURE_KEYS,
            suppressions=SuppressionMirror(redis, channel.method) if looks_up_suppressions else None,
            clock=clock,
        )
        running = asyncio.create_task(worker.run())
        try:
            yield stopping
        finally:
            stopping.set()
            await running


async def _main(broker_url: str, redis_url: str, port: str, prefix: str, terms: str) -> None:
    body = json.loads(terms)
    topology = Topology(prefix=prefix, methods=("smtp",), steps_s=(1, 2, 4), query_steps_s=())
    given = Terms(**{**body, "concurrency": {Lane(lane): share for lane, share in body["concurrency"].items()}})
    stopping, heartbeat = asyncio.Event(), Heartbeat.from_environment(os.environ)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with (
        heartbeat.run(),
        open_ready(broker_url, topology) as broker,
        worker_at(broker, redis_url, int(port), given, SHORT, heartbeat=heartbeat) as stop,
    ):
        await stopping.wait()
        stop.set()


if __name__ == "__main__":
    watch(processor_s=PROCESSOR_S, stopped_s=STOPPED_S)
    configure("INFO", "text")
    asyncio.run(_main(*sys.argv[1:]))
