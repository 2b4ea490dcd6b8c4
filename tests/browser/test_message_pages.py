"""A message in the page: shown as text, explained, sent again."""

import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from imsg_smtp.bounces.bounce_token import derive_keys, make_token
from imsg_testing import bounces
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment, make_attachment
from imsg_testing.message_pages import address, rows
from imsg_testing.page_actions import log_in, open_page, send_and_settle
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

ZH, EN = Look("zh", DESK), Look("en", PHONE)

HOSTILE = "<img src=x onerror=alert(1)>\u202egpj.exe"
SHOWN = "<img src=x onerror=alert(1)>[U+202E]gpj.exe"
HTML = (
    "<h1>您好</h1><script>alert(1)</script><img src=x onerror=alert(2)><img src='http://127.0.0.1:1/x.png'>"
    "<form action=/logout method=post><button>领奖</button></form><a href='javascript:alert(3)'>链接</a>"
    "<p style='background:url(http://127.0.0.1:1/y.png)'>正文</p><meta http-equiv=refresh content='0;url=/logout'>"
)


@pytest.mark.parametrize("look", [ZH, EN], ids=lambda look: look.name)
def test_hostile_text_stands_there_as_text(deployment: Deployment, visit: Visits, look: Look) -> None:
    to, name = f"{'W' * 40}.{address()}", f"{HOSTILE[:28]}{secrets.token_hex(4)}{'W' * 25}"
    deployment.new_user(username=name)
    token = deployment.token(name, "correct horse")
    file = make_attachment(f"{'W' * 100}三季度报表\u202egpj.exe", b"x" * 2048)
    send_and_settle(
        deployment, to, token=token, subject=HOSTILE, text="<script>alert(1)</script>", html=HTML, attachment=file
    )

    seen = visit(look)
    page = log_in(seen)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"/messages?to={to}")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(SHOWN)
    expect(rows(page)).to_contain_text(name)
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("messages")

    rows(page).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SHOWN)
    expect(page.locator(".file-name")).to_have_text(f"{'W' * 100}三季度报表gpj.exe")
    frame = page.frame_locator(".body-frame")
    expect(frame.get_by_role("heading")).to_have_text("您好")
    assert frame.locator("script, img, form, meta[http-equiv], [onerror], [href]").count() == 0
    assert page.locator(".body-frame").get_attribute("sandbox") == ""
    assert page.locator("img[src=x]").count() == 0
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("message")


@pytest.mark.parametrize("look", [Look("zh", PHONE), Look("en", DESK)], ids=lambda look: look.name)
def test_why_did_this_fail_and_resend(deployment: Deployment, visit: Visits, look: Look) -> None:
    to = f"bounce+{address()}"
    request = send_and_settle(deployment, to, subject="账单")
    seen = visit(look)
    page = log_in(seen)
    is_zh = look.language == "zh"
    why = "没有这个收件人，邮箱不存在。" if is_zh else "There is no such mailbox."
    page.goto(f"/sent/{request}")
    failures = page.locator(".sent-failures li")
    expect(failures).to_have_count(1)
    expect(failures).to_contain_text(why)
    seen.axe()
    failures.get_by_role("link", name=to).click()
    step = "请核对收件人，改正后重新发送。" if is_zh else "Check the recipient, correct it and send again."
    expect(page.locator(".verdict")).to_contain_text(why)
    expect(page.locator(".verdict")).to_contain_text(step)
    timeline = page.locator(".timeline > li")
    expect(timeline).to_have_count(2)
    expect(timeline.last).to_contain_text("550 5.1.1")
    expect(timeline.last).to_contain_text("User unknown in virtual mailbox table")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("message-failed")

    expect(page.get_by_role("button", name="重发" if is_zh else "Resend", exact=True)).to_have_count(0)
    page.get_by_role("link", name="改正后重新发送" if is_zh else "Correct and send anew").click()
    expect(page.locator(".field-subject input")).not_to_have_value("")


@pytest.mark.parametrize("look", [ZH, EN], ids=lambda look: look.name)
def test_a_complaint_is_a_line_of_what_happened(deployment: Deployment, visit: Visits, look: Look) -> None:
    request = send_and_settle(deployment, address(), subject="新品")
    seen = visit(look)
    log_in(seen)
    page, is_zh = seen.page, look.language == "zh"
    page.goto(f"/messages/{request}-0")
    timeline = page.locator(".timeline > li")
    expect(timeline).to_have_count(2)

    key = SecretStr((deployment.data / "secrets" / "erasure_key").read_text())
    path = f"{make_token(derive_keys([key])[0], request, 0)}@bounce.example.com"
    raw = bounces.complaint("fbl@example.com", path, date=bounces.now())
    pushed = deployment.client.post(f"/hooks/smtp/{bounces.BOUNCE_SECRET}", content=raw)
    assert pushed.json()["result"] == "accepted"

    expect(timeline).to_have_count(3)
    expect(timeline.last).to_contain_text("投诉" if is_zh else "Complaint")
    expect(timeline.last).to_contain_text("举报为垃圾邮件" if is_zh else "reported it as spam")
    expect(timeline.last).to_contain_text("hotmail.com")
    expect(page.locator(".verdict")).not_to_contain_text("垃圾邮件" if is_zh else "spam")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("message-complaint")


def test_some_of_what_failed_is_resent_then_the_rest(deployment: Deployment, visit: Visits) -> None:
    to = [address() for _ in range(3)]
    deployment.order("5xx", 3)
    request = send_and_settle(deployment, to, subject="部分重发")
    seen = visit(ZH)
    page = log_in(seen)
    open_page(page, f"/messages?id={request}&by=recipient")
    expect(rows(page)).to_have_count(3)
    for recipient in to[:2]:
        rows(page).filter(has_text=recipient).get_by_role("checkbox").check()
    page.get_by_role("button", name="重发所选 (2)").click()
    page.get_by_role("dialog").get_by_role("button", name="重发", exact=True).click()

    def list_resent() -> list[bool]:
        messages = deployment.look_up("/api/v2/messages", token=deployment.token(), id=request)["messages"]
        by_address = {message["to"]: bool(message["resent_as"]) for message in messages}
        return [by_address[address] for address in to]

    wait(lambda: list_resent() == [True, True, False], 60)
    page.goto(f"/messages?id={request}&by=recipient")
    page.get_by_role("button", name="重发全部失败的").click()
    page.get_by_role("dialog").get_by_role("button", name="重发", exact=True).click()
    wait(lambda: list_resent() == [True, True, True], 60)


@pytest.mark.parametrize("look", [ZH, EN], ids=lambda look: look.name)
def test_what_was_resent_shows_on_both_sides_and_is_not_offered_twice(
    deployment: Deployment, visit: Visits, look: Look
) -> None:
    to = address()
    deployment.order("5xx", 1)
    request = send_and_settle(deployment, to, subject="再来一次")
    seen = visit(look)
    log_in(seen)
    page, is_zh = seen.page, look.language == "zh"
    page.goto(f"/messages/{request}-0")
    resend = "重发" if is_zh else "Resend"
    page.get_by_role("button", name=resend, exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("共 1 个收件人" if is_zh else "1 recipient")
    seen.axe()
    seen.shoot("resend-asked")
    page.get_by_role("dialog").get_by_role("button", name=resend, exact=True).click()
    expect(page.get_by_text("已重发 1 条消息。" if is_zh else "1 message is on its way again.")).to_be_visible()
    messages: list[dict[str, Any]] = []

    def are_known() -> bool:
        messages[:] = deployment.look_up("/api/v2/messages", token=deployment.token(), to=to)["messages"]
        return len(messages) == 2 and bool(messages[1]["resent_as"])

    wait(are_known, 60)  # history hears of what was accepted a moment later
    assert [message["resend_of"] for message in messages] == [f"{request}-0", None]
    page.goto(f"/messages/{request}-0")
    expect(page.get_by_role("button", name=resend, exact=True)).to_have_count(0)
    page.locator(".facts").get_by_role("link", name=messages[0]["id"]).click()
    expect(page.locator(".facts").get_by_role("link", name=f"{request}-0")).to_be_visible()


def test_several_are_resent_and_everything_that_failed_within_a_filter(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user(per_day=1_000, per_hour=1_000)
    token = deployment.token(name, "correct horse")
    for n in range(3):
        deployment.order("5xx", 1)
        send_and_settle(deployment, [address()], token=token, subject=f"第{n}批")
    send_and_settle(deployment, [f"bounce+{address()}", address()], token=token, subject="改正了才行")
    seen = visit()
    page = log_in(seen)
    page.goto(f"/messages?username={name}&status=failed")
    expect(rows(page)).to_have_count(4)
    for n in (1, 2):
        rows(page).nth(n).get_by_role("checkbox").check()
    page.get_by_role("button", name="重发所选 (2)").click()
    page.get_by_role("dialog").get_by_role("button", name="重发", exact=True).click()
    expect(page.get_by_text("完成 · 2 / 2").first).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="关闭").click()

    def count_resent() -> int:
        failed = deployment.look_up("/api/v2/messages", token=token, status="failed")["messages"]
        return sum(bool(message["resent_as"]) for message in failed)

    wait(lambda: count_resent() == 2, 60)  # history hears of it a moment later
    page.get_by_role("button", name="重发全部失败的").click()
    dialog = page.get_by_role("dialog", name="重发 1 条消息？")
    expect(dialog).to_contain_text("共 1 个收件人")
    expect(dialog).to_contain_text("不含已经重发过的 2 条")
    expect(dialog).to_contain_text("不含 1 条原样重发仍会失败的")
    expect(dialog).to_contain_text("没有这个收件人")
    seen.shoot("resend-left-out")
    dialog.get_by_role("button", name="重发", exact=True).click()
    page.goto("/channels")  # left while it still runs
    page.get_by_role("button", name=re.compile("任务")).click()
    expect(page.get_by_text("完成 · 1 / 1")).to_be_visible()
    page.goto(f"/messages?username={name}&status=sent")
    expect(rows(page)).to_have_count(4)


def test_a_missing_message_is_reported_with_a_way_on(visit: Visits) -> None:
    seen = visit(Look("en", PHONE))
    log_in(seen)
    for name in ("0" * 32 + "-0", "nonsense"):
        seen.page.goto(f"/messages/{name}")
        expect(seen.page.get_by_text("This message was not found")).to_be_visible()
    seen.page.get_by_role("link", name="See all messages").click()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Messages")
