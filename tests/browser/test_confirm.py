"""Before a message goes to many, the page shows the recipients, the count, the cost and a preview."""

import re
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page

Visits = Callable[..., Visit]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_hundred_are_confirmed_on_a_page(deployment: Deployment, visit: Visits, look: Look) -> None:
    seen = visit(look)
    log_in(seen)
    page, is_zh = seen.page, look.language == "zh"
    open_page(page, "/send?method=sms")
    prefix = f"138{secrets.randbelow(10**6):06d}"
    numbers = [f"{prefix}{n:02}" for n in range(100)]
    page.locator(".recipients-field").fill("\n".join(numbers) + "\n")
    page.locator(".recipients-field").press("Enter")
    page.locator("textarea:visible:not(.recipients-field)").last.fill("明天下午两点半开会")
    page.locator(".send-button").click()

    shown = page.locator(".send-confirming")
    expect(shown).to_contain_text("100")
    expect(shown).to_contain_text(numbers[0])
    expect(shown).to_contain_text("明天下午两点半开会")
    expect(shown).to_contain_text("计费条数" if is_zh else "SMS to be paid")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("send-confirm")
    sent = deployment.look_up("/api/v2/messages", token=deployment.token(), to=numbers[0])["messages"]
    assert sent == [], "nothing was sent yet"

    page.get_by_role("button", name="返回修改" if is_zh else "Back").click()
    expect(page.locator(".send-button")).to_be_visible()
    page.locator(".send-button").click()
    page.locator(".confirm-button").click()
    expect(page).to_have_url(re.compile("/sent/"))


def test_a_waiting_message_shows_its_sender_that_the_channel_is_paused(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    token = deployment.token(name, "correct horse")
    deployment.call("PATCH", "/api/v2/channels/wechat", {"paused": False}, token=deployment.token())
    deployment.call(
        "PATCH", "/api/v2/channels/sms", {"paused": True, "reason": "短信服务商维护到六点"}, token=deployment.token()
    )
    try:
        body = {"to": f"138{secrets.randbelow(10**8):08d}", "method": "sms", "content": "您好"}
        request = deployment.call("POST", "/api/v2/messages", body, token=token)["id"]
        seen = visit()
        page = log_in(seen, name, "correct horse")
        page.goto(f"/sent/{request}")
        expect(page.locator(".held")).to_contain_text("已暂停")
        expect(page.locator("body")).not_to_contain_text("短信服务商维护到六点")  # meant for other administrators
        page.goto("/mine")
        expect(page.locator(".table-row").first).to_contain_text("渠道已暂停")
        page.goto(f"/messages/{request}-0")
        expect(page.locator(".held")).to_contain_text("已暂停")
        seen.axe()
        seen.shoot("held")
        channels = deployment.look_up("/api/v2/channels", token=token)["channels"]
        assert {channel["method"]: (channel["state"], channel["waiting"]) for channel in channels}["sms"] == (
            "paused",
            None,
        )
        admin = visit()
        log_in(admin)
        admin.page.goto("/")
        expect(admin.page.locator(".need", has_text="短信服务商维护到六点")).to_be_visible()
    finally:
        deployment.call("PATCH", "/api/v2/channels/sms", {"paused": False}, token=deployment.token())


def test_a_short_list_is_confirmed_where_a_recipient_is_left_out_or_a_quota_is_short(
    deployment: Deployment, visit: Visits
) -> None:
    admin, name, gone = deployment.token(), deployment.new_user(), f"{secrets.token_hex(4)}@example.com"
    deployment.call("POST", "/api/v2/suppressions", {"token": admin, "method": "smtp", "to": gone})
    rows = [{"id": "people", "counts": "recipients", "per": "day", "limit": 1}]
    headers = {"authorization": f"Bearer {admin}", "if-match": "*"}
    path = f"/api/v2/users/{name}/quotas"
    assert deployment.client.put(path, json={"quotas": rows}, headers=headers).json()["errorCode"] == 0
    seen = visit()
    page = log_in(seen, name, PASSWORD)
    open_page(page, "/send")
    page.locator(".recipients-field").press_sequentially(f"li@example.com, {gone}\n")
    page.locator(".field-subject input").fill("开会")
    page.locator(".field-text textarea").fill("下午两点半")
    page.locator(".send-button").click()
    shown = page.locator(".send-confirming")
    expect(shown).to_contain_text("禁发")
    expect(shown).to_contain_text("需要 2，还剩 1")
    seen.axe()
    seen.shoot("send-short")


def test_a_link_wins_over_a_draft(deployment: Deployment, visit: Visits) -> None:
    seen = visit()
    page = log_in(seen, deployment.new_user(), PASSWORD)
    open_page(page, "/send")
    page.locator(".field-subject input").fill("草稿")
    page.wait_for_function("Object.values(localStorage).some((text) => JSON.parse(text).mail?.subject === '草稿')")
    for asked in ("method=sms", "to=13800138000&method=sms"):
        page.goto(f"/send?{asked}")
        expect(page.locator(".draft-notice")).to_contain_text("草稿")
        expect(page.get_by_role("tab", name="短信")).to_have_attribute("aria-selected", "true")
    page.locator(".draft-notice").get_by_role("button").first.click()
    expect(page.locator(".field-subject input")).to_have_value("草稿")
