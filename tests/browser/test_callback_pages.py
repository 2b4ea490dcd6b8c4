"""Callbacks in the page: added, tested, read with their answers, sent again, recovered, disabled."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from standardwebhooks.webhooks import Webhook

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

WORDS = {
    "zh": {
        "add": "添加回调地址",
        "save": "保存",
        "kept": "我已保存",
        "test": "测试调用",
        "tried": "对方回答 204",
        "deliveries": "回调记录",
        "read": "查看",
        "resend": "再发一次",
        "recover": "补发",
        "recovering": "已开始补发",
        "close": "关闭",
        "disable": "停用",
        "disabled": "您已停用这个回调地址",
        "failed": "待重试",
        "delivered": "已送到",
    },
    "en": {
        "add": "Add a callback",
        "save": "Save",
        "kept": "I have saved it",
        "test": "Test",
        "tried": "It answered 204",
        "deliveries": "Deliveries",
        "read": "Read",
        "resend": "Send again",
        "recover": "Recover",
        "recovering": "The recovery has begun",
        "close": "Close",
        "disable": "Disable",
        "disabled": "You have disabled it",
        "failed": "waiting",
        "delivered": "delivered",
    },
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a client's own receiver."""
    with receiving() as opened:
        yield opened


LOOKS = [Look("zh", DESK), Look("en", PHONE)]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_callback_is_added_with_a_secret_shown_once_tried_and_disabled(
    deployment: Deployment, visit: Visits, receiver: Receiver, look: Look
) -> None:
    words, user = WORDS[look.language], deployment.new_user()
    seen = visit(look)
    page = log_in(seen, user, PASSWORD)
    open_page(page, "/callbacks")
    page.get_by_role("button", name=words["add"], exact=True).click()
    dialog = page.locator(".dialog:visible")
    dialog.locator("input[type=text]:visible").first.fill(receiver.url())
    seen.axe()
    dialog.get_by_role("button", name=words["save"], exact=True).click()
    expect(page.locator(".dialog:visible .code-block")).to_contain_text("whsec_")
    secret = page.locator(".dialog:visible .code-block").inner_text()
    expect(page.locator("[role=dialog]")).to_have_count(1)  # the form has gone
    seen.axe()
    page.locator(".dialog:visible").get_by_role("button", name=words["kept"], exact=True).click()
    expect(page.locator(".dialog:visible")).to_have_count(0)
    open_page(page, "/callbacks")
    assert secret not in page.content(), "shown once"

    page.get_by_role("button", name=words["test"], exact=True).click()
    expect(page.get_by_text(words["tried"])).to_be_visible()
    assert receiver.types() == ["callback.test"]
    Webhook(secret).verify(receiver.calls[0].body, dict(receiver.calls[0].headers))

    page.get_by_role("button", name=words["disable"], exact=True).click()
    expect(page.get_by_text(words["disabled"])).to_be_visible()
    (known,) = deployment.call("GET", "/api/v2/callbacks", {"token": deployment.token(user, PASSWORD)})["callbacks"]
    assert (known["state"], known["why"]) == ("disabled", "owner")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_the_events_of_a_callback_are_shown_with_its_answers_sent_again_and_recovered(
    deployment: Deployment, visit: Visits, receiver: Receiver, look: Look
) -> None:
    words, user = WORDS[look.language], deployment.new_user()
    token = deployment.token(user, PASSWORD)
    body = {"url": receiver.url(), "events": ["message.sent"], "token": token}
    endpoint_path = f"/api/v2/callbacks/{deployment.call('POST', '/api/v2/callbacks', body)['id']}"
    receiver.status, receiver.answer = 503, "维护中 <b>".encode()
    send(deployment, token)
    wait(lambda: [delivery["status"] for delivery in deliveries(deployment, token)] == [503])
    seen = visit(look)
    page = log_in(seen, user, PASSWORD)
    open_page(page, "/callbacks")
    page.get_by_role("link", name=words["deliveries"]).click()
    table = page.locator(".data-table")
    expect(table).to_contain_text("HTTP 503")
    expect(table).to_contain_text(words["failed"])
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("callback-deliveries")
    page.get_by_role("button", name=words["read"]).first.click()
    expect(page.locator(".dialog:visible .code-block").last).to_contain_text("维护中 <b>")
    expect(page.locator(".dialog:visible .code-block").first).to_contain_text("li@example.com")
    seen.axe()
    page.locator(".dialog:visible").get_by_role("button", name=words["close"], exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)

    receiver.status, receiver.answer = 204, b""
    page.get_by_role("button", name=words["resend"]).first.click()
    wait(lambda: [delivery["state"] for delivery in deliveries(deployment, token)] == ["delivered"])
    deployment.call("PATCH", endpoint_path, {"token": token, "enabled": False})
    missed = send(deployment, token)
    wait(lambda: any(missed in event["id"] for event in events(deployment, token)))
    deployment.call("PATCH", endpoint_path, {"token": token, "enabled": True})
    open_page(page, page.url)
    expect(table).to_contain_text(words["delivered"])
    page.get_by_role("button", name=words["recover"], exact=True).click()
    page.locator(".dialog:visible").get_by_role("button", name=words["recover"], exact=True).click()
    expect(page.get_by_text(words["recovering"])).to_be_visible()
    wait(lambda: any(missed in call.event["id"] for call in receiver.calls))


def send(deployment: Deployment, token: str) -> str:
    """Send a mail as a user; return its request."""
    body = {"method": "smtp", "to": "li@example.com", "content": {"subject": "x", "text": "y"}, "token": token}
    answer = deployment.call("POST", "/api/v2/messages", body)
    assert answer["errorCode"] == 0, answer
    return str(answer["id"])


def deliveries(deployment: Deployment, token: str) -> list[dict[str, Any]]:
    """Return the deliveries of the only callback."""
    (endpoint,) = deployment.call("GET", "/api/v2/callbacks", {"token": token})["callbacks"]
    found: list[dict[str, Any]] = deployment.call(
        "GET", f"/api/v2/callbacks/{endpoint['id']}/deliveries", {"token": token}
    )["deliveries"]
    return found


def events(deployment: Deployment, token: str) -> list[dict[str, Any]]:
    """Read a user's events."""
    found: list[dict[str, Any]] = deployment.call("GET", "/api/v2/events", {"token": token})["events"]
    return found
