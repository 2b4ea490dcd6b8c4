"""Dead letters are stored, listed and sent again."""

import json
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from imsg_contract.errors import Refusal
from imsg_contract.topology import DEAD
from imsg_contract.wire import Status
from imsg_history.database import Database
from imsg_history.dead_letters import DeadLetters
from imsg_history.queries import TimePageQuery
from imsg_history.resending import Resends
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome
from imsg_testing.history_store import ADMIN, OWNER, RETENTION, catch_refusal, find, find_all_ids, read_statuses, record


@on_both_databases
async def test_one_bad_delivery_among_many_is_kept_as_dead_and_holds_up_none(database: Database) -> None:
    jobs = [job(at=NOW + timedelta(seconds=n)) for n in range(20)]
    beyond = job(at=NOW, segments=2**70)
    await record(database, *jobs[:7], make_delivery(b"\xff{", "job.smtp.single"), beyond, *jobs[7:])
    assert len(await find_all_ids(database)) == 20
    reasons = [letter["reason"] for letter in (await DeadLetters(database).find(TimePageQuery())).rows]
    assert sorted(reasons) == ["not_recorded", "unreadable"]


async def test_a_message_of_an_unknown_version_is_kept_whole(database: Database) -> None:
    body = job(at=NOW).encode().replace(b'"v":1', b'"v":2')
    await record(database, make_delivery(body, DEAD, reason="unreadable: v", queue="imsg.smtp.normal"))
    (letter,) = (await DeadLetters(database).find(TimePageQuery())).rows
    assert (await DeadLetters(database).show(letter["id"], ADMIN))["body"] == body.decode()


async def test_dead_letters_of_one_batch_are_listed_newest_first(database: Database) -> None:
    letters = (make_delivery(b"\xff%d" % number, DEAD, reason=f"reason {number}") for number in range(9))
    await record(database, *letters)
    listed = [letter["reason"] for letter in (await DeadLetters(database).find(TimePageQuery())).rows]
    assert listed == [f"reason {number}" for number in reversed(range(9))]


@on_both_databases
async def test_a_dead_job_settles_only_what_is_not_settled(database: Database) -> None:
    accepted_job = job(to=("a@example.com", "b@example.com", "c@example.com"), at=NOW)
    await record(
        database, accepted_job, outcome(accepted_job, Status.SENT, 0), outcome(accepted_job, Status.RETRYING, 1)
    )
    await record(database, make_delivery(accepted_job, DEAD, reason="broke the worker 3 times", queue="imsg.smtp.bulk"))
    assert await read_statuses(database, accepted_job) == ["sent", "failed", "failed"]
    (message,) = await find(database, id=f"{accepted_job.request}-2")
    assert message["error"] == {"code": "dead_letter", "detail": "broke the worker 3 times"}
    (letter,) = (await DeadLetters(database).find(TimePageQuery())).rows
    assert (letter["request"], letter["method"]) == (accepted_job.request, "smtp")
    shown = await DeadLetters(database).show(letter["id"], ADMIN)
    assert (shown["queue"], json.loads(shown["body"])["request"]) == ("imsg.smtp.bulk", accepted_job.request)


async def test_a_job_over_its_delivery_limit_is_dead(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(
        database,
        make_delivery(accepted_job, "imsg.history", **{"x-death": "[...]", "x-first-death-queue": "imsg.smtp.single"}),
    )
    assert await read_statuses(database, accepted_job) == ["failed"]
    (letter,) = (await DeadLetters(database).find(TimePageQuery())).rows
    assert letter["reason"] == "delivery_limit"
    assert (await DeadLetters(database).show(letter["id"], ADMIN))["queue"] == "imsg.smtp.single"


async def test_a_channels_outcome_replaces_a_dead_letter(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(database, make_delivery(accepted_job, DEAD, reason="broke", queue="imsg.smtp.single"))
    await record(database, outcome(accepted_job, Status.SENT))
    assert await read_statuses(database, accepted_job) == ["sent"]


async def test_what_a_dead_letter_held_back_is_sent_again_once(database: Database) -> None:
    accepted_job = job(to=("a@example.com", "b@example.com"), at=NOW)
    await record(database, accepted_job, make_delivery(accepted_job, DEAD, reason="broke", queue="imsg.smtp.bulk"))
    (letter,) = (await DeadLetters(database).find(TimePageQuery())).rows
    resends = Resends(database)
    assert len((await resends.draft_dead_letter(letter["id"], ADMIN, again=False))["recipients"]) == 2
    await record(database, job(to=("a@example.com", "b@example.com"), at=NOW, resend_of=accepted_job.request))
    for ask in (resends.draft_dead_letter(letter["id"], ADMIN, again=False),):
        with pytest.raises(Refusal) as refusal:
            await ask
        assert refusal.value.reason == "already_resent"
    assert len((await resends.draft_dead_letter(letter["id"], ADMIN, again=True))["recipients"]) == 2


async def test_a_dead_letter_is_sent_again_by_its_own_id(database: Database) -> None:
    accepted_job = job(to=("a@example.com", "b@example.com"), at=NOW)
    await record(database, accepted_job, outcome(accepted_job, Status.SENT, 0))
    await record(
        database,
        make_delivery(accepted_job, DEAD, reason="broke", queue="imsg.smtp.bulk"),
        make_delivery(b"{", DEAD, reason="x"),
    )
    letters = (await DeadLetters(database).find(TimePageQuery())).rows
    names = {letter["method"]: letter["id"] for letter in letters}
    draft = await Resends(database).draft(names["smtp"], ADMIN, uncertain=False, again=False)
    assert (draft["request"], [recipient["to"] for recipient in draft["recipients"]]) == (
        accepted_job.request,
        ["b@example.com"],
    )
    resends = Resends(database)
    assert (
        await catch_refusal(lambda: resends.draft_dead_letter(names[None], ADMIN, again=False)) == "nothing_to_resend"
    )
    assert await catch_refusal(lambda: resends.draft_dead_letter(names["smtp"], OWNER, again=False)) == "no_right"


@on_both_databases
async def test_dead_letters_page_newest_first(database: Database) -> None:
    for i in range(7):
        moment = NOW + timedelta(seconds=i)
        recorder = BatchWriter(database, lambda moment=moment: moment, RETENTION, WriterMetrics(CollectorRegistry()))  # type: ignore[misc]
        await recorder.write([make_delivery(f"{i}".encode(), DEAD, reason="unreadable: what is this")])
    letters = DeadLetters(database)
    first = await letters.find(TimePageQuery.model_validate({"limit": "4"}))
    second = await letters.find(TimePageQuery.model_validate({"limit": "4", "cursor": first.next}))
    bodies = [(await letters.show(letter["id"], ADMIN))["body"] for letter in (*first.rows, *second.rows)]
    assert (bodies, second.next) == (["6", "5", "4", "3", "2", "1", "0"], None)
    assert (first.rows[0]["reason"], first.rows[0]["detail"]) == ("unreadable", "what is this")


async def test_a_dead_letter_is_removed_and_its_message_stays(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(
        database, accepted_job, outcome(accepted_job, Status.SENT), make_delivery(b"{", DEAD, reason="unreadable")
    )
    letters = DeadLetters(database)
    (letter,) = (await letters.find(TimePageQuery())).rows

    await letters.remove(letter["id"], ADMIN, NOW)

    assert (await letters.find(TimePageQuery())).rows == []
    assert await read_statuses(database, accepted_job) == ["sent"]
    with pytest.raises(Refusal, match="not_found"):
        await letters.remove(letter["id"], ADMIN, NOW)
