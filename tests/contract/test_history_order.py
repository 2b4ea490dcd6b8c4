"""Events in any order and number, in one history or two, end in the same rows; on SQLite and PostgreSQL."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Delivery
from imsg_contract.topology import DEAD
from imsg_contract.wire import Status
from imsg_database.address import read_url
from imsg_history.database import Database, connect
from imsg_history.tables import day_facts, dead, metadata, receipts
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt, request_id
from imsg_testing.history_store import count_messages, find_all_ids, make_writer, read_day_facts

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["outcome", "outcome", "outcome", "receipt", "bounce", "complaint", "dead"]),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(1, 3),
        st.sampled_from(list(Status)),
        st.sampled_from([None, "A", "B"]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=14,
)


Drawn = tuple[str, int, int, int, Status, str | None, int]
"""Of an event: its kind, its request, `n`, attempt, status, provider's id, and second."""


def _story(drawn: Sequence[Drawn]) -> list[Delivery]:
    jobs = [
        job(request=request_id(NOW, tail=i), to=[f"{i}{n}@example.com" for n in range(3)], at=NOW) for i in range(2)
    ]
    story = [make_delivery(job) for job in jobs]
    for kind, which, n, attempt, status, provider_id, second in drawn:
        accepted_job = jobs[which]
        unique = provider_id and f"{provider_id}{which}{n}"
        said = outcome(accepted_job, status, n, attempt=attempt, provider_id=unique, detail=provider_id)
        said = said.model_copy(update={"at": NOW + timedelta(seconds=second)})
        match kind:
            case "outcome":
                story.append(make_delivery(said))
            case "receipt":
                settled = Status.FAILED if second else Status.DELIVERED
                story.append(
                    make_delivery(
                        receipt(
                            said.model_copy(update={"provider_id": unique or f"A{which}{n}"}),
                            f"{which}{n}@example.com",
                            settled,
                        )
                    )
                )
            case "bounce":
                settled = Status.FAILED if second else Status.DELIVERED
                story.append(
                    make_delivery(receipt(said, "", settled, provider_id="x", request=accepted_job.request, n=n))
                )
            case "complaint":
                told = receipt(said, "", provider_id="x", complaint_of=accepted_job.request, n=n, code="complaint")
                story.append(make_delivery(told))
            case "dead":
                part = accepted_job.model_copy(
                    update={"chunk": n, "recipients": accepted_job.recipients[n:], "attempt": attempt}
                )
                story.append(make_delivery(part, DEAD, reason="broke", queue="imsg.smtp.bulk"))
    return story


def in_any_order(examples: int) -> Callable[[Any], Any]:
    """Run a test with so many stories, each with an order of its own."""
    too_slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    run = settings(max_examples=examples, deadline=None, suppress_health_check=too_slow)
    drawing = given(drawn=EVENTS, seed=st.integers(0, 2**32))
    return lambda test: drawing(run(test))


@in_any_order(25)
def test_events_in_any_order_and_number_end_in_the_same_rows(
    migrated_sqlite: str, drawn: Sequence[Drawn], seed: int
) -> None:
    """Recording is commutative and idempotent, across batches of any size."""
    _record_in_two_orders(migrated_sqlite, drawn, seed)


@in_any_order(8)
def test_so_they_do_on_postgresql_which_writes_rows_by_statements_of_its_own(
    migrated_postgres: str, drawn: Sequence[Drawn], seed: int
) -> None:
    """A third of the stories: each takes three times as long there."""
    _record_in_two_orders(migrated_postgres, drawn, seed)


def _record_in_two_orders(url: str, drawn: Sequence[Drawn], seed: int) -> None:
    story, chance = _story(drawn), random.Random(seed)  # noqa: S311  a test's own order
    shuffled = story + chance.choices(story, k=len(story))
    chance.shuffle(shuffled)
    asyncio.run(_ends_alike(url, story, shuffled, chance))


async def _ends_alike(
    database_url: str, story: list[Delivery], shuffled: list[Delivery], chance: random.Random
) -> None:
    async with connect(read_url(database_url)) as database:
        rows = []
        for version in (story, shuffled):
            await database.write(_empty)
            recorder = make_writer(database)
            rest = list(version)
            while rest:
                size = chance.randint(1, 5) if version is shuffled else 1
                batch, rest = rest[:size], rest[size:]
                await recorder.write(batch)
            assert await read_day_facts(database) == await count_messages(database)
            rows.append(await database.read(_dump))
    assert rows[0] == rows[1]


async def _empty(connection: AsyncConnection) -> None:
    for table in metadata.sorted_tables:
        await connection.execute(delete(table))


async def _dump(connection: AsyncConnection) -> dict[str, list[tuple[Any, ...]]]:
    dump = {}
    for table in metadata.sorted_tables:
        # Which changes a message went through is a matter of the order in which they came, and so is their number;
        # so is when a dead letter of a batch came.
        # Day facts that count nothing any more are as good as none.
        if table is day_facts:
            continue
        ordered = ("seq", "at") if table is dead else ("seq", "previous")
        columns = [column for column in table.columns if column.name not in ordered]
        dump[table.name] = sorted((tuple(row) for row in await connection.execute(select(*columns))), key=repr)
    return dump


@on_both_databases
async def test_two_recorders_side_by_side_end_in_the_same_rows(migrated_url: str) -> None:
    """Two replicas take the same and neighbouring events at once, and neither loses or blocks the other for good."""
    jobs = [job(to=[f"{i}x{n}@example.com" for n in range(10)], at=NOW + timedelta(milliseconds=i)) for i in range(40)]
    story = [make_delivery(job) for job in jobs]
    for accepted_job in jobs:
        for n in range(10):
            sent = outcome(accepted_job, Status.SENT, n, provider_id=f"{accepted_job.request}{n}")
            story += [make_delivery(sent), make_delivery(receipt(sent, accepted_job.recipients[n].address))]
    async with connect(read_url(migrated_url)) as first, connect(read_url(migrated_url)) as second:
        halves = [story[::2] + story[::3], story[1::2] + story[::5]]
        for i, half in enumerate(halves):
            random.Random(i).shuffle(half)  # noqa: S311
        await asyncio.gather(
            *(_record_all(accepted_job, half) for accepted_job, half in zip((first, second), halves, strict=True))
        )
        assert len(await find_all_ids(first, status="delivered", limit="500")) == 400
        waiting = await first.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts)))
        assert waiting == 0
        assert await read_day_facts(first) == await count_messages(first)


async def _record_all(database: Database, story: Sequence[Delivery]) -> None:
    recorder = make_writer(database)
    for start in range(0, len(story), 25):
        await recorder.write(story[start : start + 25])
