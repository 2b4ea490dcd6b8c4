"""Bounces pushed to the hook of sender-smtp: what history and the catalog record."""

import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from imsg_contract.suppressions import Reason
from imsg_contract.wire import Category, Job, Status
from imsg_smtp.bounces.bounce_token import derive_keys, make_token, sign_name
from imsg_testing import bounces
from imsg_testing.history import job, outcome
from imsg_testing.pushed_bounces import DOMAIN, ERASURE_KEY, WITHIN_S, Place, open_place
from imsg_testing.waiting import eventually


@pytest.fixture
async def place(tmp_path: Path, history_file: Path, redis_url: str) -> AsyncIterator[Place]:
    """Run sender-smtp and history."""
    shutil.copy(history_file, tmp_path / "history.db")
    async with open_place(tmp_path, redis_url) as opened:
        yield opened


def address_of(of: Job, n: int = 0) -> str:
    return f"{make_token(derive_keys(ERASURE_KEY)[0], of.request, n)}@{DOMAIN}"


async def test_a_hard_bounce_fails_its_message_with_the_servers_words_and_suppresses_the_address(place: Place) -> None:
    sent = await place.send()
    raw = bounces.dsn(address_of(sent), date=bounces.now())

    for _ in range(2):  # a push that comes again
        answer = await place.push(raw)
        assert (answer.status_code, answer.json()["result"], answer.json()["id"]) == (
            200,
            "accepted",
            f"{sent.request}-0",
        )

    message = await place.has_status(sent, "failed")
    words = "5.1.1 <zhang@corp.cn>: Recipient address rejected: User unknown in virtual mailbox table"
    assert (message["error"]["code"], message["error"]["detail"]) == ("550 5.1.1", words)
    assert [line["status"] for line in message["timeline"]].count("failed") == 1
    told = await place.learned()
    assert (told.address, told.reason, told.sender, told.category) == ("zhang@corp.cn", Reason.HARD_BOUNCE, None, None)
    assert (told.request, told.n, told.evidence) == (sent.request, 0, f"550 5.1.1 {words}")


OWN = "noreply@tiancun.cn"
"""The account that sends, where the server fixes the envelope sender."""


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (bounces.qq_with_the_mail, "550"),
        (bounces.netease, "550"),
        (bounces.exmail, "550"),
        (bounces.direct_mail, "559"),
        (bounces.sendmail, "550 5.1.1"),
    ],
)
@pytest.mark.parametrize("line", ["X-IMSG-Id: {}\nMessage-ID: <tencent_0A1B@qq.com>", "Message-ID: <{}@tiancun.cn>"])
async def test_without_a_token_a_bounce_finds_its_message_by_the_signed_name_that_it_returns(
    place: Place, write: Callable[[str, str], bytes], code: str, line: str
) -> None:
    sent = await place.send()

    answer = await place.push(write(OWN, line.format(sign_name(derive_keys(ERASURE_KEY)[0], sent.request, 0))))

    assert (answer.json()["result"], answer.json()["id"]) == ("accepted", f"{sent.request}-0")
    assert (await place.has_status(sent, "failed"))["error"]["code"] == code
    told = await place.learned()
    assert (told.address, told.reason, told.request) == ("zhang@corp.cn", Reason.HARD_BOUNCE, sent.request)


async def test_a_forged_name_changes_nothing(place: Place) -> None:
    sent = await place.send()
    ours = sign_name(derive_keys(ERASURE_KEY)[0], sent.request, 0)
    stem, _, mac = ours.partition(".")
    of_a_stranger = sign_name(derive_keys((SecretStr("x" * 32),))[0], sent.request, 0)
    of_another = f"{sent.request}-1.{mac}"

    for forged in (stem, f"{stem}.{'a' * 13}", of_a_stranger, of_another):
        for line in (f"X-IMSG-Id: {forged}", f"Message-ID: <{forged}@tiancun.cn>"):
            for write in (bounces.netease, bounces.exmail, bounces.sendmail):
                answer = await place.push(write(OWN, line))
                assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    answer = await place.push(
        bounces.vacation(OWN, f"In-Reply-To: <{ours}@tiancun.cn>", "Auto-Submitted: auto-replied")
    )
    assert answer.status_code == 404
    assert (await place.message(sent))["status"] == "sent"


async def test_a_report_of_delivery_is_delivered_and_one_of_relaying_or_delay_nothing(place: Place) -> None:
    sent = await place.send()
    to = address_of(sent)

    for action in ("relayed", "expanded", "delayed"):
        answer = await place.push(bounces.dsn(to, action=action, status="2.0.0", diagnostic=""))
        assert answer.json()["result"] == "ignored"
    assert (await place.message(sent))["status"] == "sent"

    said = "smtp; 250 2.1.5 Delivered"
    await place.push(bounces.dsn(to, action="delivered", status="2.0.0", diagnostic=said, date=bounces.now()))
    assert (await place.has_status(sent, "delivered"))["error"] is None


async def test_a_full_mailbox_fails_its_message_and_suppresses_no_address(place: Place) -> None:
    full, gone = await place.send(), await place.send()
    diagnostic = "smtp; 552 5.2.2 Mailbox full"

    await place.push(bounces.dsn(address_of(full), status="5.2.2", diagnostic=diagnostic, date=bounces.now()))
    await place.push(bounces.dsn(address_of(gone), date=bounces.now()))

    assert (await place.has_status(full, "failed"))["error"]["code"] == "552 5.2.2"
    assert (await place.learned()).request == gone.request


async def test_a_missing_member_of_an_alias_suppresses_no_address(place: Place) -> None:
    alias, gone = await place.send(), await place.send()

    await place.push(bounces.dsn(address_of(alias), recipient="member@corp.cn"))
    await place.push(bounces.dsn(address_of(gone), recipient="Zhang@mail.corp.cn"))

    await place.has_status(alias, "failed")
    assert (await place.learned()).request == gone.request


async def test_a_complaint_keeps_this_senders_mails_of_this_category_away(place: Place) -> None:
    content = {"subject": "新品", "text": "……", "sender": "news"}
    sent = await place.send(content=content, category=Category.MARKETING)
    raw = bounces.complaint(f"fbl@{DOMAIN}", address_of(sent), date=bounces.now())

    for _ in range(2):  # a push that comes again
        answer = await place.push(raw, to=f"fbl@{DOMAIN}")
        assert answer.json()["result"] == "accepted"

    told = await place.learned()
    assert (told.address, told.reason, told.sender, told.category) == (
        "zhang@corp.cn",
        Reason.COMPLAINT,
        "news",
        Category.MARKETING,
    )

    async def shows() -> bool:
        return "complaint" in {line["code"] for line in (await place.message(sent))["timeline"]}

    await eventually(shows, WITHIN_S)
    message = await place.message(sent)
    (line,) = [line for line in message["timeline"] if line["code"] == "complaint"]
    assert (message["status"], message["error"]) == ("sent", None)
    assert (line["attempt"], line["status"], line["code"], line["provider"]) == (None, "complaint", "complaint", "smtp")
    assert line["detail"] == "Feedback-Type: abuse; From: hotmail.com; User-Agent: SomeGenerator/1.0"


async def test_a_complaint_about_a_notice_keeps_this_senders_marketing_away_too(place: Place) -> None:
    sent = await place.send(content={"subject": "账单", "text": "……", "sender": "bills"}, category=Category.NOTICE)

    await place.push(bounces.complaint(f"fbl@{DOMAIN}", address_of(sent), date=bounces.now()), to=f"fbl@{DOMAIN}")

    told = [await place.learned() for _ in range(2)]
    assert [
        (suppression.address, suppression.reason, suppression.sender, suppression.category) for suppression in told
    ] == [("zhang@corp.cn", Reason.COMPLAINT, "bills", category) for category in (Category.NOTICE, Category.MARKETING)]


@pytest.mark.parametrize("date", ["", "Wed, 25 Nov 2020 10:00:05 +0800", "yesterday"])
async def test_a_bounce_that_is_pushed_twice_stands_once_and_leaves_the_provider_alone(place: Place, date: str) -> None:
    """Whatever its own date is worth."""
    sent = await place.send()
    before = await place.message(sent)
    raw = bounces.dsn(address_of(sent), status="5.2.2", diagnostic="smtp; 552 5.2.2 mailbox full", date=date)

    for _ in range(3):
        assert (await place.push(raw)).json()["result"] == "accepted"
    other = await place.send()
    await place.push(bounces.dsn(address_of(other), action="delivered", status="2.0.0", date=date))
    await place.has_status(other, "delivered")  # what was pushed before it has been recorded

    message = await place.message(sent)
    assert message["status"] == "failed"
    assert [line["status"] for line in message["timeline"]] == ["sent", "failed"]
    assert (message["provider"], message["provider_id"]) == (before["provider"], before["provider_id"])
    assert message["provider"] is not None


async def test_what_comes_before_its_job_and_outcome_is_kept_for_them(place: Place) -> None:
    accepted_job = job(to=("zhang@corp.cn",))
    raw = bounces.dsn(address_of(accepted_job), status="5.0.0", diagnostic="smtp; 550 no", date=bounces.now())

    assert (await place.push(raw)).json()["result"] == "accepted"
    await place.publish(outcome(accepted_job, Status.SENT, at=datetime.now(UTC)), accepted_job)

    await place.is_recorded(accepted_job)
    message = await place.message(accepted_job)
    assert (message["status"], message["error"]["code"]) == ("failed", "550")
    assert {"sent", "failed"} <= {line["status"] for line in message["timeline"]}


async def test_a_hard_bounce_of_what_history_has_not_recorded_yet_is_to_come_again(place: Place) -> None:
    accepted_job = job(to=("zhang@corp.cn",))

    answer = await place.push(bounces.dsn(address_of(accepted_job)))

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    await place.publish(accepted_job)
    await place.is_recorded(accepted_job)
    assert (await place.push(bounces.dsn(address_of(accepted_job)))).status_code == 200
    assert (await place.learned()).request == accepted_job.request


async def test_what_names_no_message_of_ours_is_not_found(place: Place) -> None:
    sent = await place.send()
    to = address_of(sent)

    for wrong in (f"nobody@{DOMAIN}", to.replace(to[20], "a" if to[20] != "a" else "b")):
        answer = await place.push(bounces.dsn(wrong))
        assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    assert (await place.message(sent))["status"] == "sent"


async def test_machines_answers_change_nothing(place: Place) -> None:
    sent = await place.send()

    answer = await place.push(bounces.vacation(address_of(sent), "Auto-Submitted: auto-replied"))

    assert (answer.json()["result"], answer.json()["why"]) == ("ignored", "auto_reply")
