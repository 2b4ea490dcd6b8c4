"""What was sent by mistake is taken back on the page."""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]


def read_counts(deployment: Deployment, request: str) -> dict[str, int]:
    """Return how many messages of a request are in which status."""
    shown = deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())
    return {status: count for status, count in shown.get("counts", {}).items() if count}


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=["desk", "phone"])
def test_a_wrong_mail_to_300_is_cancelled_before_it_is_sent(deployment: Deployment, visit: Visits, look: Look) -> None:
    seen = visit(look)
    log_in(seen)
    page, subject = seen.page, f"发错了 {secrets.token_hex(4)}"
    open_page(page, "/send?method=smtp")
    page.locator(".recipients-field").fill("\n".join(f"wrong-{n}@example.com" for n in range(300)) + "\n")
    page.locator(".recipients-field").press("Enter")
    page.locator(".field-subject input").fill(subject)
    page.locator(".field-text textarea").fill("您好")
    page.locator(".send-button").click()
    page.locator(".confirm-button").click()
    expect(page).to_have_url(re.compile("/sent/"))
    undo = page.locator(".undo-button")
    expect(undo).to_be_visible()
    expect(page.locator(".cancel-button")).to_have_count(0)  # one button takes it back, not two
    seen.axe()
    seen.shoot("undo")
    undo.click()
    expect(page.locator(".sent-counts")).to_contain_text("300")
    expect(undo).to_be_hidden()
    seen.shoot("taken-back")

    request = re.findall(r"/sent/([0-9a-f]{32})", page.url)[0]
    wait(lambda: read_counts(deployment, request) == {"cancelled": 300}, 60)
    assert [mail for mail in deployment.inbox(method="smtp") if mail["subject"] == subject] == []


def test_what_waits_in_a_paused_channel_is_cancelled_whole_and_one_message_alone(
    deployment: Deployment, visit: Visits
) -> None:
    deployment.call("PATCH", "/api/v2/channels/sms", {"paused": True, "reason": "换线"}, token=deployment.token())
    try:
        to = [f"137{secrets.randbelow(10**8):08d}" for _ in range(3)]
        body = {"to": to, "method": "sms", "content": "您好"}
        request = deployment.call("POST", "/api/v2/messages", body, token=deployment.token())["id"]
        wait(lambda: read_counts(deployment, request) == {"queued": 3}, 60)
        seen = visit(Look("en"))
        page = log_in(seen)
        page.goto(f"/messages/{request}-1")
        page.locator(".cancel-button").click()
        page.locator(".q-dialog").get_by_role("button", name="Cancel sending").click()
        wait(lambda: read_counts(deployment, request) == {"queued": 2, "cancelled": 1}, 60)
        page.goto(f"/sent/{request}")
        page.locator(".cancel-button").click()
        sure = page.locator(".q-dialog").get_by_role("button", name="Cancel sending")
        expect(sure).to_be_visible()
        cancelled = deployment.call("POST", f"/api/v2/messages/{request}-0/cancel", {"token": deployment.token()})
        assert cancelled["errorCode"] == 0, cancelled
        expect(page.locator(".sent-counts li").first).to_contain_text("1")
        left = page.get_by_role("button", name="Cancel the one not sent yet")
        expect(left).to_be_attached()  # the page is drawn anew, and the question stays
        sure.click()
        expect(page.locator("body")).to_contain_text("Cancelled: 1 · too late: 0 · settled before: 2")
        wait(lambda: read_counts(deployment, request) == {"cancelled": 3}, 60)
    finally:
        deployment.call("PATCH", "/api/v2/channels/sms", {"paused": False}, token=deployment.token())


def test_what_is_scheduled_is_moved_and_sent_now(deployment: Deployment, visit: Visits) -> None:
    due = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    body = {"to": "later@example.com", "method": "smtp", "content": {"subject": "later", "text": "您好"}}
    answer = deployment.call("POST", "/api/v2/messages", {**body, "send_at": due, "token": deployment.token()})
    request = answer["id"]
    wait(lambda: read_counts(deployment, request) == {"scheduled": 1}, 60)
    seen = visit()
    page = log_in(seen)
    page.goto(f"/sent/{request}")
    page.locator(".move-button").click()
    dialog = page.locator(".q-dialog")
    dialog.locator("input").fill("2026 年底")
    dialog.get_by_role("button", name="改时间").click()
    expect(dialog).to_contain_text(re.compile(r"请写成 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d 这样的时间。"))
    later = (datetime.now(ZoneInfo(deployment.zone)) + timedelta(days=3)).replace(
        hour=9, minute=0, second=0, microsecond=0
    )
    dialog.locator("input").fill(f"{later:%Y-%m-%d %H:%M}")
    dialog.get_by_role("button", name="改时间").click()

    def is_moved() -> bool:
        shown = deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())
        return datetime.fromisoformat(shown["due_at"]) == later

    wait(is_moved, 60)
    page.locator(".release-button").click()
    wait(lambda: read_counts(deployment, request) == {"sent": 1}, 60)


def test_a_cancel_after_an_sms_prevents_the_mail_of_the_next_leg(deployment: Deployment, visit: Visits) -> None:
    to = {"to": "19900000006", "contacts": {"smtp": "spared@example.com"}}  # without a receipt
    leg = {"method": "smtp", "after_s": 3_600, "content": {"subject": "later", "text": "您好"}}
    body = {"token": deployment.token(), "method": "sms", "to": to, "content": "明天下雨", "fallback": [leg]}
    request = deployment.call("POST", "/api/v2/messages", body)["id"]
    wait(lambda: read_counts(deployment, request) == {"sent": 1}, 60)
    seen = visit()
    log_in(seen)
    seen.page.goto(f"/sent/{request}")
    seen.page.locator(".cancel-button").click()

    def is_settled() -> bool:
        shown = deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())
        return (shown["state"], shown["not_reached"]) == ("settled", 1)

    wait(is_settled, 60)
    expect(seen.page.locator(".cancel-button")).to_have_count(0)
