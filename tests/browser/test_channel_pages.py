"""Channels in the page: paused with a reason, resumed, tested with a message; dead letters."""

import re
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import dead_letter, log_in, send_and_settle
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]


def card(page: Page, method: str) -> Locator:
    """Return the row of a channel."""
    return page.locator(f"[data-key={method}]")


def channel(deployment: Deployment, method: str) -> dict[str, object]:
    """Return how a channel is."""
    listed = deployment.look_up("/api/v2/channels", token=deployment.token()).get("channels", [])
    return next((provider for provider in listed if provider["method"] == method), {})


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_channel_is_paused_with_a_reason_and_resumed(deployment: Deployment, visit: Visits, look: Look) -> None:
    is_zh = look.language == "zh"
    seen = visit(look)
    page = log_in(seen)
    page.goto("/channels")
    sms = card(page, "sms")
    expect(sms).to_contain_text("正常" if is_zh else "Open")
    sms.get_by_role("button", name=re.compile("^暂停|^Pause")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("<b>维护</b>到22点")
    seen.axe()
    dialog.get_by_role("button", name=re.compile("^(暂停|Pause)$")).click()
    expect(sms).to_contain_text("已暂停" if is_zh else "Paused")
    expect(sms).to_contain_text("<b>维护</b>到22点")
    assert channel(deployment, "sms")["state"] == "paused"
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("channels")
    sms.get_by_role("button", name=re.compile("^恢复发送|^Resume")).click()
    expect(sms).to_contain_text("正常" if is_zh else "Open")
    assert channel(deployment, "sms")["state"] == "open"


@pytest.mark.parametrize(("to", "said"), [("zhang@example.com", "已发出"), ("bounce@example.com", "没有这个收件人")])
def test_a_channel_is_tried_with_a_message_of_ones_own(visit: Visits, to: str, said: str) -> None:
    seen = visit()
    page = log_in(seen)
    page.goto("/channels")
    card(page, "smtp").get_by_role("button", name=re.compile("^试发")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="发送", exact=True).click()
    expect(dialog).to_contain_text("请填写收件人和内容")
    dialog.get_by_label("您的邮箱").fill(to)
    dialog.get_by_role("button", name="发送", exact=True).click()
    expect(dialog).to_contain_text(said)
    dialog.get_by_role("link", name="查看这条消息").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("iMSG 试发")


def test_a_wrong_address_is_reported_in_the_dialog(visit: Visits) -> None:
    seen = visit(Look("en", PHONE))
    page = log_in(seen)
    page.goto("/channels")
    card(page, "sms").get_by_role("button", name="Send a test by SMS").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Your phone number").fill("nobody")
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("not right")


def test_dead_letters_are_read_page_by_page_and_sent_again(deployment: Deployment, visit: Visits) -> None:
    token, to = deployment.token(), f"dead-{secrets.token_hex(4)}@example.com"
    request = dead_letter(deployment, 22, to, "死而复生")
    wait(
        lambda: len(deployment.look_up("/api/v2/dead", token=token, limit="30").get("dead", [])) == 23,
        60,
        every_s=0.2,
    )
    seen = visit()
    page = log_in(seen)
    page.set_viewport_size({"width": 1280, "height": 400})
    page.goto("/channels#dead")
    expect(page.get_by_role("heading", name="死信")).to_be_in_viewport()
    letters = page.get_by_role("region", name="死信").locator("tbody tr")
    expect(letters).to_have_count(20)
    page.get_by_role("button", name="下一页").click()
    expect(letters).to_have_count(3)
    page.get_by_role("button", name="上一页").click()
    expect(letters).to_have_count(20)
    dead = letters.filter(has_text="连续出错三次")
    unreadable = letters.filter(has_text="内容无法读取")
    unreadable.first.get_by_role("button", name=re.compile("^阅读")).click()
    expect(page.get_by_role("dialog")).to_contain_text("</script> 读不懂的内容")
    seen.axe()
    page.get_by_role("dialog").get_by_role("button", name="关闭").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    dead.get_by_role("button", name="重发").click()
    page.get_by_role("dialog").get_by_role("button", name="重发", exact=True).click()
    expect(page.get_by_text("已重发 1 条消息。")).to_be_visible()
    deployment.wait_arrived(subject="死而复生", method="smtp", to=to)
    expect(page.locator(f'a[href="/messages?id={request}"]')).to_be_visible()


def test_what_waits_and_what_failed_is_a_click_away(deployment: Deployment, visit: Visits) -> None:
    send_and_settle(deployment, "bounce+today@example.com")
    seen = visit()
    page = log_in(seen)
    page.goto("/channels")
    card(page, "smtp").get_by_role("link", name=re.compile("条失败")).click()
    expect(page.locator(".table-row").first).to_contain_text("失败")
