"""The providers of a channel in the page: switched, weighted, and tested with one message."""

import re
import secrets
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import choose, log_in
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]


def row(page: Page, name: str) -> Locator:
    """Return the line of a provider of SMS."""
    return page.locator(f"[data-key='sms/{name}']")


def aliyun(deployment: Deployment) -> dict[str, object]:
    """Return the provider's state."""
    listed = deployment.look_up("/api/v2/channels", token=deployment.token())["channels"]
    (sms,) = [provider for provider in listed if provider["method"] == "sms"]
    return next((provider for provider in sms["providers"] if provider["name"] == "aliyun"), {})


@pytest.fixture(autouse=True)
def as_set(deployment: Deployment) -> Iterator[None]:
    """Reset the provider after a test."""
    yield
    body = {"enabled": True, "weight": 1}
    assert deployment.call("PATCH", "/api/v2/providers/sms/aliyun", body, token=deployment.token())


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_provider_is_switched_off_and_on(deployment: Deployment, visit: Visits, look: Look) -> None:
    is_zh = look.language == "zh"
    seen = visit(look)
    page = log_in(seen)
    page.goto("/channels")
    line = row(page, "aliyun")
    line.get_by_role("button", name="停用 aliyun" if is_zh else re.compile("^(Switch off|Disable).*aliyun")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("aliyun")
    seen.axe()
    dialog.get_by_role("button", name=re.compile("^(停用|Switch off|Disable)$")).click()
    wait(lambda: aliyun(deployment)["state"] == "disabled", within_s=60)
    switch_on = line.get_by_role("button", name=re.compile("^(启用|Switch on|Enable).*aliyun"))
    expect(switch_on).to_be_visible()
    assert not scrolls_sideways(page)
    seen.axe()
    switch_on.click()
    wait(lambda: aliyun(deployment)["state"] != "disabled", within_s=60)
    expect(line.get_by_role("button", name=re.compile("^(停用|Switch off|Disable).*aliyun"))).to_be_visible()


def test_a_provider_is_weighed(deployment: Deployment, visit: Visits) -> None:
    seen = visit()
    page = log_in(seen)
    page.goto("/channels")
    row(page, "aliyun").get_by_role("button", name="aliyun 的权重").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("权重（0 到 1000）").fill("7")
    dialog.get_by_role("button", name="保存", exact=True).click()
    wait(lambda: aliyun(deployment)["weight"] == 7, within_s=60)
    expect(row(page, "aliyun")).to_contain_text("权重 7")


def test_one_message_goes_by_the_provider_that_was_asked_for(visit: Visits) -> None:
    seen = visit()
    page = log_in(seen)
    page.goto("/channels")
    page.locator("[data-key=sms]").get_by_role("button", name="试发一条短信").click()
    dialog = page.get_by_role("dialog")
    choose(page, dialog.get_by_label("服务商"), "aliyun")
    dialog.get_by_role("textbox").first.fill(f"139{secrets.randbelow(10**8):08d}")  # others opt out in the same stack
    dialog.get_by_role("button", name="发送", exact=True).click()
    expect(dialog).to_contain_text(re.compile("已发出|已送达"))
    dialog.get_by_role("link", name="查看这条消息").click()
    expect(page.locator("main")).to_contain_text("aliyun")
