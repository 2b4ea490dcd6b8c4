"""Before a message goes to many, the page shows the recipients, the count, the cost and a preview."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in

Visits = Callable[..., Visit]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_hundred_are_confirmed_on_a_page(deployment: Deployment, visit: Visits, look: Look) -> None:
    seen = visit(look)
    log_in(seen)
    page, is_zh = seen.page, look.language == "zh"
    before = len(deployment.call("GET", "/api/v2/messages", token=deployment.token(), limit="500")["messages"])
    page.goto("/send?method=sms")
    page.wait_for_function("window.socket && window.socket.connected")
    numbers = [f"138{n:08}" for n in range(100, 200)]
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
    now = len(deployment.call("GET", "/api/v2/messages", token=deployment.token(), limit="500")["messages"])
    assert now == before, "nothing was sent yet"

    page.get_by_role("button", name="返回修改" if is_zh else "Back").click()
    expect(page.locator(".send-button")).to_be_visible()
    page.locator(".send-button").click()
    page.locator(".confirm-button").click()
    expect(page).to_have_url(re.compile("/sent/"))


def test_what_waits_says_that_its_channel_is_paused_to_its_sender(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    token = deployment.token(name, "correct horse")
    deployment.call("PATCH", "/api/v2/channels/wechat", {"paused": False}, token=deployment.token())
    deployment.call(
        "PATCH", "/api/v2/channels/sms", {"paused": True, "reason": "短信服务商维护到六点"}, token=deployment.token()
    )
    try:
        body = {"to": "13800138000", "method": "sms", "content": "您好"}
        request = deployment.call("POST", "/api/v2/messages", body, token=token)["id"]
        seen = visit()
        log_in(seen, name, "correct horse")
        page = seen.page
        page.goto(f"/sent/{request}")
        expect(page.locator(".held")).to_contain_text("已暂停")
        expect(page.locator("body")).not_to_contain_text("短信服务商维护到六点")  # meant for other administrators
        page.goto("/mine")
        expect(page.locator(".table-row").first).to_contain_text("渠道已暂停")
        page.goto(f"/messages/{request}-0")
        expect(page.locator(".held")).to_contain_text("已暂停")
        seen.axe()
        seen.shoot("held")
        channels = deployment.call("GET", "/api/v2/channels", token=token)["channels"]
        assert {channel["method"]: (channel["state"], channel["waiting"]) for channel in channels}["sms"] == (
            "paused",
            None,
        )
        admin = visit()
        log_in(admin)
        admin.page.goto("/")
        expect(admin.page.locator(".need").first).to_contain_text("短信服务商维护到六点")
    finally:
        deployment.call("PATCH", "/api/v2/channels/sms", {"paused": False}, token=deployment.token())
