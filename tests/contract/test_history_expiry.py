"""The messages of a paused channel expire in time, though no sender consumes them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.results import Blocked
from imsg_contract.topology import STEPS_S, channel_key
from imsg_contract.wire import Outcomes, Status
from imsg_delivery.claims.records import Free
from imsg_delivery.decide import MAX_EXTENSION_S, AttemptTerms, decide, decide_before_call
from imsg_history.database import Database
from imsg_history.expiry import GRACE, PausedExpiry
from imsg_history.ids import rfc3339
from imsg_history.tables import events
from imsg_limits.breakers import Breakers, CallScopes
from imsg_runtime.redis import Redis
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, outcome
from imsg_testing.history_store import find, make_writer, read_statuses, record
from imsg_testing.starvation import TERMS, Clock

LIFE = timedelta(seconds=30)


@pytest.fixture
async def paused(redis: Redis) -> Redis:
    """Pause e-mail, and nothing else."""
    await redis.call("HSET", channel_key("smtp"), "paused", "1")
    return redis


def expiry(database: Database, redis: Redis, after: timedelta) -> PausedExpiry:
    """Return an expiry that runs `after` everything was accepted."""
    return PausedExpiry(database, redis, make_writer(database), ("smtp", "sms"), lambda: NOW + after)


@on_both_databases
async def test_what_waits_in_a_paused_channel_expires_in_time_and_nothing_else(
    database: Database, paused: Redis
) -> None:
    waits = job(at=NOW, to=("a@example.com", "b@example.com"), expires_at=NOW + LIFE)
    lives = job(at=NOW, expires_at=NOW + 3 * LIFE)
    other = job(at=NOW, method="sms", to=("+8613800138000",), expires_at=NOW + LIFE)
    sent = job(at=NOW, expires_at=NOW + LIFE)
    await record(database, waits, lives, other, sent, Outcomes(outcomes=(outcome(sent, Status.SENT),)))
    assert await expiry(database, paused, LIFE).run_once() == 0
    assert await expiry(database, paused, LIFE + 2 * GRACE).run_once() == 2
    assert await expiry(database, paused, LIFE + 2 * GRACE).run_once() == 0
    assert await read_statuses(database, waits) == ["expired", "expired"]
    assert [await read_statuses(database, waiting_job) for waiting_job in (lives, other, sent)] == [
        ["queued"],
        ["queued"],
        ["sent"],
    ]
    (message,) = await find(database, id=f"{waits.request}-0")
    assert (message["attempts"], message["error"]["code"]) == (0, "expired")
    await paused.call("HSET", channel_key("smtp"), "paused", "0")
    assert await expiry(database, paused, 4 * LIFE).run_once() == 0


async def test_what_is_retried_expires_by_its_time_or_a_day_later_where_a_block_may_have_given_it_more(
    database: Database, paused: Redis
) -> None:
    tried, blocked = (job(at=NOW, expires_at=NOW + LIFE) for _ in range(2))
    again = outcome(tried, Status.RETRYING), outcome(blocked, Status.RETRYING), outcome(blocked, Status.RETRYING)
    later = again[-1].model_copy(update={"at": NOW + timedelta(seconds=9)})
    await record(database, tried, blocked, Outcomes(outcomes=(*again[:2], later)))
    assert await expiry(database, paused, LIFE + 2 * GRACE).run_once() == 1
    assert [await read_statuses(database, attempt) for attempt in (tried, blocked)] == [["expired"], ["retrying"]]
    assert await expiry(database, paused, timedelta(hours=25)).run_once() == 1


async def test_a_message_that_was_only_ever_blocked_expires_without_an_attempt(database: Database) -> None:
    about: CallScopes = {"domain": "x.cn to qq"}
    breakers = Breakers("smtp", Clock())
    no = Blocked("smtp", "x.cn to qq", "550", "no", 300.0, "domain")
    blocked, called = (job(at=NOW, expires_at=NOW + LIFE) for _ in range(2))
    await record(database, blocked, called)
    outcomes = []
    for waits, result in (
        (called, breakers.record_result(about, no, "called")),
        (blocked, breakers.record_result(about, no)),
    ):
        for extended_s in (0, MAX_EXTENSION_S):
            terms = AttemptTerms(waits.model_copy(update={"extended_s": extended_s}), TERMS, STEPS_S, STEPS_S, 0.5)
            said = result if waits is called and not extended_s else breakers.find_block(about, ("other",))
            assert said is not None
            after_s = (2 * LIFE).total_seconds() if extended_s else 1.0
            state = Free(0, NOW.timestamp(), doubtful=False)
            outcomes.append(decide(state, said, NOW.timestamp() + after_s, terms).outcome)
    await record(database, Outcomes(outcomes=tuple(outcomes)))
    (message,), (tried,) = [await find(database, id=f"{waiting_job.request}-0") for waiting_job in (blocked, called)]
    assert (message["status"], message["attempts"]) == ("expired", 0)
    assert (tried["status"], tried["attempts"]) == ("expired", 1)


async def test_what_a_provider_accepted_all_the_same_is_sent(database: Database, paused: Redis) -> None:
    late = job(at=NOW, expires_at=NOW + LIFE)
    await record(database, late)
    await expiry(database, paused, 2 * LIFE).run_once()
    await record(database, Outcomes(outcomes=(outcome(late, Status.SENT, at=NOW + 3 * LIFE),)))
    assert await read_statuses(database, late) == ["sent"]


async def test_a_message_that_its_sender_expires_too_is_reported_once(database: Database, paused: Redis) -> None:
    """The channel goes on, and its sender finds the same message late."""
    late = job(at=NOW, expires_at=NOW + LIFE, user_id="7" * 32, events=1)
    await record(database, late)
    await expiry(database, paused, 2 * LIFE).run_once()
    terms = AttemptTerms(late, TERMS, STEPS_S, STEPS_S, 0.5)
    found = decide_before_call(Free(0, 0.0, doubtful=False), (NOW + 3 * LIFE).timestamp(), terms)
    assert found is not None
    await record(database, Outcomes(outcomes=(found.outcome,)))
    (message,) = await find(database, id=f"{late.request}-0")
    assert (message["status"], message["updated_at"]) == ("expired", rfc3339(NOW + LIFE))
    assert len(message["timeline"]) == 1
    assert len(await database.read(_find_events)) == 1


async def _find_events(connection: AsyncConnection) -> list[Row[Any]]:
    return list(await connection.execute(select(events)))
