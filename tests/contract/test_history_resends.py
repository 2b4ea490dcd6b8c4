"""Only failed messages are sent again, and once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from imsg_contract.topology import DEAD
from imsg_contract.wire import Category, Job, Status
from imsg_history.database import Database
from imsg_history.resending import Resends
from imsg_history.tables import dead, jobs, requests
from imsg_testing.callers import user
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome
from imsg_testing.history_store import ADMIN, OWNER, catch_refusal, find_page, record


async def test_only_what_failed_or_expired_is_sent_again(database: Database) -> None:
    accepted_job = job(to=[f"{n}@example.com" for n in range(5)], at=NOW)
    ends = (Status.SENT, Status.FAILED, Status.EXPIRED, Status.UNCERTAIN, Status.RETRYING)
    await record(database, accepted_job, *(outcome(accepted_job, status, n) for n, status in enumerate(ends)))
    resends = Resends(database)
    draft = await resends.draft(accepted_job.request, OWNER, uncertain=False, again=False)
    assert [recipient["n"] for recipient in draft["recipients"]] == [1, 2]
    assert draft["content"] == accepted_job.content
    draft = await resends.draft(accepted_job.request, ADMIN, uncertain=True, again=False)
    assert [recipient["n"] for recipient in draft["recipients"]] == [1, 2, 3]
    assert (
        await catch_refusal(lambda: resends.draft(f"{accepted_job.request}-0", OWNER, uncertain=False, again=False))
        == "nothing_to_resend"
    )
    stranger = user("other")
    assert (
        await catch_refusal(lambda: resends.draft(accepted_job.request, stranger, uncertain=False, again=False))
        == "not_found"
    )


@on_both_databases
async def test_the_words_of_a_code_go_once_all_its_messages_have_settled(database: Database) -> None:
    code = job(to=("a@example.com", "b@example.com"), at=NOW, category=Category.CODE)
    notice = job(to=("c@example.com",), at=NOW)
    failed = [outcome(code, Status.FAILED, n) for n in range(2)]
    await record(database, code, failed[0], notice, outcome(notice, Status.FAILED))
    (page,) = await list_requests(database, code)
    assert page.content is not None

    await record(database, failed[1])

    (page,) = await list_requests(database, code)
    assert (page.subject, page.content, page.content_at, page.attachments) == (None, None, None, "[]")
    bodies = await database.fetch(select(jobs.c.body).where(jobs.c.request == code.request))
    assert [row.body for row in bodies] == []
    resends = Resends(database)
    assert await catch_refusal(lambda: resends.draft(code.request, OWNER, uncertain=False, again=False)) == "redacted"
    assert (await resends.draft(notice.request, OWNER, uncertain=False, again=False))["content"] == notice.content


async def test_a_code_that_was_recorded_after_it_had_settled_is_not_kept_either(database: Database) -> None:
    code = job(at=NOW, category=Category.CODE)
    await record(database, outcome(code, Status.SENT))
    await record(database, code)
    (page,) = await list_requests(database, code)
    assert page.content is None


async def test_the_body_of_a_codes_dead_letter_goes_with_it(database: Database) -> None:
    code = job(at=NOW, category=Category.CODE)
    await record(database, code, make_delivery(code, DEAD, reason="broke the worker 3 times"))
    row = await database.first(select(dead).where(dead.c.request == code.request))
    assert row is not None
    assert row.body == b""
    refused = await catch_refusal(lambda: Resends(database).draft_dead_letter(row.id, ADMIN, again=False))
    assert refused == "redacted"


async def list_requests(database: Database, of: Job) -> Sequence[Row[Any]]:
    """Read the row of a request."""
    return await database.fetch(select(requests).where(requests.c.request == of.request))


@on_both_databases
async def test_what_was_sent_again_is_left_out_and_both_sides_show_it(database: Database) -> None:
    accepted_job = job(to=[f"{n}@example.com" for n in range(3)], at=NOW)
    await record(database, accepted_job, *(outcome(accepted_job, Status.FAILED, n) for n in range(3)))
    second = job(to=("1@example.com",), at=NOW + timedelta(seconds=1), resend_of=f"{accepted_job.request}-1")
    await record(database, second)
    resends = Resends(database)
    assert await catch_refusal(
        lambda: resends.draft(f"{accepted_job.request}-1", OWNER, uncertain=False, again=False)
    ) == ("already_resent")
    draft = await resends.draft(accepted_job.request, OWNER, uncertain=False, again=False)
    assert [recipient["n"] for recipient in draft["recipients"]] == [0, 2]
    third = job(to=("0@example.com", "2@example.com"), at=NOW + timedelta(seconds=2), resend_of=accepted_job.request)
    await record(database, third)
    assert (
        await catch_refusal(lambda: resends.draft(accepted_job.request, OWNER, uncertain=False, again=False))
        == "already_resent"
    )
    draft = await resends.draft(accepted_job.request, OWNER, uncertain=False, again=True)
    assert [recipient["n"] for recipient in draft["recipients"]] == [0, 1, 2]
    fourth = job(to=("1@example.com",), at=NOW + timedelta(seconds=3), resend_of=f"{accepted_job.request}-1")
    await record(database, fourth)
    shown = (await find_page(database, OWNER)).rows
    assert {message["id"]: message["resent_as"] for message in shown if message["resent_as"]} == {
        f"{accepted_job.request}-0": [f"{third.request}-0"],
        f"{accepted_job.request}-1": [f"{second.request}-0", f"{fourth.request}-0"],
        f"{accepted_job.request}-2": [f"{third.request}-1"],
    }
    assert {message["resend_of"] for message in shown} == {None, accepted_job.request, f"{accepted_job.request}-1"}
