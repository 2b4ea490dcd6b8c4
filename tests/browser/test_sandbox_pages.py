"""The sandbox in the page: mails, SMS by number, a chat with a follower, a fault ordered and cancelled."""

import re
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment, make_attachment
from imsg_testing.page_actions import log_in, send_and_settle
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

LOOKS = [Look("zh", DESK), Look("en", PHONE)]


def item(page: Page, text: str) -> Locator:
    """Return the list's item with a text."""
    return page.locator(".split-item", has_text=text)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_mail_arrives_while_one_looks_and_is_read(deployment: Deployment, visit: Visits, look: Look) -> None:
    subject = f"<b>通知</b>{secrets.token_hex(3)}"
    seen = visit(look)
    page = log_in(seen)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto("/inbox")
    html = "<h1>您好</h1><script>alert(1)</script><img src=http://127.0.0.1:1/x.png onerror=alert(2)>"
    file = make_attachment("报表\u202egpj.exe", b"x" * 3000)
    send_and_settle(deployment, "zhang@example.com", subject=subject, html=html, attachment=file)
    expect(item(page, subject)).to_be_visible()
    assert not scrolls_sideways(page)
    seen.axe()
    item(page, subject).click()
    expect(page.locator(".split-pane").get_by_role("heading", level=2)).to_have_text(subject)
    expect(page.frame_locator(".body-frame").get_by_role("heading")).to_have_text("您好")
    expect(page.locator(".file")).to_contain_text("报表gpj.exe")
    expect(page.locator(".file")).to_contain_text("3 KiB")
    page.get_by_text("原文" if look.language == "zh" else "Source", exact=True).click()
    expect(page.locator(".source pre")).to_contain_text("Subject:")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("sandbox-mail")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_sms_are_bubbles_by_number(deployment: Deployment, visit: Visits, look: Look) -> None:
    number = f"138{secrets.randbelow(10**8):08d}"
    for text in ("第一条", "<i>第二条</i>"):
        sent = deployment.call(
            "POST", "/api/send", {"token": deployment.token(), "to": number, "method": "sms", "content": text}
        )
        deployment.wait_settled(sent["id"])
    seen = visit(look)
    page = log_in(seen)
    page.goto("/inbox?tab=sms")
    item(page, number).click()
    bubbles = page.locator(".bubble")
    expect(bubbles).to_have_count(2)
    expect(bubbles.first).to_contain_text("第一条")
    expect(bubbles.last).to_contain_text("<i>第二条</i>")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("sandbox-sms")


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_an_sms_is_answered_as_its_recipient_would(deployment: Deployment, visit: Visits, look: Look) -> None:
    number, is_zh = f"138{secrets.randbelow(10**8):08d}", look.language == "zh"
    sent = deployment.call(
        "POST", "/api/send", {"token": deployment.token(), "to": number, "method": "sms", "content": "明天下雨"}
    )
    deployment.wait_settled(sent["id"])
    seen = visit(look)
    page = log_in(seen)
    page.goto("/inbox?tab=sms")
    item(page, number).click()
    page.get_by_label("以收件人身份回复" if is_zh else "Answer as the recipient").fill("<b>退订</b>")
    page.get_by_role("button", name="回复" if is_zh else "Reply", exact=True).click()
    expect(page.locator(".bubble-follower")).to_contain_text("<b>退订</b>")
    assert not scrolls_sideways(page)
    seen.axe()

    def is_kept() -> bool:
        body = {"token": deployment.token(), "from": number}
        return [reply["text"] for reply in deployment.call("GET", "/api/v2/replies", **body)["replies"]] == [
            "<b>退订</b>"
        ]

    wait(is_kept, 60)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_follower_gets_a_tag_a_message_and_leaves(deployment: Deployment, visit: Visits, look: Look) -> None:
    is_zh = look.language == "zh"
    seen = visit(look)
    page = log_in(seen)
    page.goto("/inbox?tab=wechat")
    page.get_by_role("button", name="新增关注者" if is_zh else "New follower").click()
    page.locator(".chat-foot").get_by_role("button", name=re.compile("获取我的openID")).click()
    copy = page.get_by_role("button", name=re.compile("^复制标记|^Copy the tag"))
    expect(copy).to_be_visible()
    tag = copy.inner_text().split()[-1]
    body = {"token": deployment.token(), "to": tag, "method": "wechat", "content": "<u>三楼</u>开会"}
    assert deployment.call("POST", "/api/send", body)["errorCode"] == 0
    expect(page.locator(".bubble-account", has_text="<u>三楼</u>开会")).to_be_visible()
    page.get_by_label("说点什么" if is_zh else "Say something").fill("openID")
    page.get_by_label("说点什么" if is_zh else "Say something").press("Enter")
    expect(copy).to_have_count(2)
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("sandbox-chat")
    page.get_by_role("button", name="取消关注" if is_zh else "Unfollow").click()
    expect(page.get_by_role("button", name="重新关注" if is_zh else "Follow again")).to_be_visible()
    assert deployment.call("POST", "/api/send", body)["errorCode"] == 10014
    page.get_by_role("button", name="重新关注" if is_zh else "Follow again").click()
    expect(page.get_by_role("button", name="取消关注" if is_zh else "Unfollow")).to_be_visible()


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_fault_is_played_met_and_taken_back(deployment: Deployment, visit: Visits, look: Look) -> None:
    is_zh = look.language == "zh"
    seen = visit(look)
    page = log_in(seen)
    page.goto("/inbox?tab=faults")
    smtp = page.locator("[data-method=smtp]")
    error = smtp.locator(".fault", has_text="返回内部错误" if is_zh else "answers with an internal error")
    error.get_by_role("textbox").fill("zwei")
    error.get_by_role("button").click()
    expect(page.get_by_text("次数请填" if is_zh else "Enter a whole number")).to_be_visible()
    error.get_by_role("textbox").fill("2")
    error.get_by_role("button").click()
    force = page.locator(".fault-force")
    expect(force).to_contain_text("还剩 2 次" if is_zh else "2 times left")
    deployment.send("zhang@example.com", subject="遇到故障")
    expect(force).to_contain_text("还剩 1 次" if is_zh else "1 time left")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("sandbox-faults")
    page.get_by_role("button", name="全部取消" if is_zh else "Take all back").click()
    expect(force).to_contain_text("没有故障" if is_zh else "No fault")


def test_the_inbox_is_emptied_once_one_agrees(deployment: Deployment, visit: Visits) -> None:
    send_and_settle(deployment, "last@example.com", subject="最后一封")
    seen = visit()
    page = log_in(seen)
    page.goto("/inbox")
    expect(item(page, "最后一封").first).to_be_visible()
    page.get_by_role("button", name="清空收件箱").click()
    page.get_by_role("dialog").get_by_role("button", name="清空收件箱").click()
    expect(page.get_by_text("还没有邮件")).to_be_visible()
    expect(page.get_by_role("link", name="去发送")).to_be_visible()


def test_only_administrators_see_it(deployment: Deployment, visit: Visits) -> None:
    seen = visit()
    log_in(seen, deployment.new_user(), "correct horse")
    seen.complaints.expect("403")
    seen.page.goto("/inbox")
    expect(seen.page.get_by_text("这一页仅供管理员使用")).to_be_visible()
