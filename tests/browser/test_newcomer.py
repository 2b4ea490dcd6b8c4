"""A newcomer's stories in both languages: from the first log-in to the first mail, and through a failure."""

import re
import secrets
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment, running
from imsg_testing.mailbox import Mailbox
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

LOOKS = [Look("zh", DESK), Look("en", PHONE)]

WORDS = {
    "zh": {
        "new": "新建用户",
        "username": "用户名",
        "password": "密码",
        "create": "创建用户",
        "change": "修改密码",
        "settled": "全部 1 条已有结果",
        "sandbox": "在沙箱里看",
        "timeline": "查看发送记录",
        "failed": "失败",
        "resend": "重发",
        "changed": "密码已修改，请用新密码登录。",
    },
    "en": {
        "new": "New user",
        "username": "Username",
        "password": "Password",
        "create": "Create user",
        "change": "Change the password",
        "settled": "It is settled",
        "sandbox": "See it in the sandbox",
        "timeline": "Timeline",
        "failed": "Failed",
        "resend": "Resend",
        "changed": "The password was changed; log in with the new one.",
    },
}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_from_the_first_log_in_to_the_first_mail_that_arrives(
    deployment: Deployment, visit: Visits, look: Look
) -> None:
    words, seen = WORDS[look.language], visit(look)
    page, name = seen.page, f"张三{secrets.token_hex(3)}"
    to = f"{secrets.token_hex(4)}@example.com"
    page.goto("/")
    page.locator("#username").fill("admin")
    page.locator("#password").fill("123")
    page.get_by_role("button").click()
    expect(page.locator(".banner").get_by_role("link")).to_have_text(words["change"])

    page.goto("/users")
    page.get_by_role("button", name=words["new"]).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(words["username"]).first.fill(name)
    seen.axe()
    seen.shoot("user-new")
    dialog.get_by_role("button", name=words["create"]).click()
    expect(page.get_by_role("dialog").filter(has_text=name)).to_be_visible()
    seen.shoot("user-created")
    assert deployment.call("GET", f"/api/v2/users/{name}", token=deployment.token())["errorCode"] == 0

    open_page(page, "/send")
    page.locator(".recipients-field").press_sequentially(f"{to}\n")
    page.locator(".field-subject input").fill("第一封")
    page.locator(".field-text textarea").fill("您好")
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_have_text(words["settled"])
    page.get_by_role("link", name=words["sandbox"]).click()
    expect(page.get_by_text(to).first).to_be_visible()
    seen.shoot("first-mail")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_the_reason_of_a_failure_is_shown_and_the_message_is_sent_again(
    deployment: Deployment, visit: Visits, look: Look
) -> None:
    words, seen = WORDS[look.language], visit(look)
    page = log_in(seen)
    deployment.order("5xx", 1)
    open_page(page, "/send?to=zhang@example.com")
    expect(page.locator(".recipient-text")).to_have_text("zhang@example.com")
    page.locator(".field-subject input").fill("退信")
    page.locator(".field-text textarea").fill("您好")
    page.locator(".send-button").click()
    expect(page.locator(".sent-counts")).to_contain_text(words["failed"])
    first = page.url
    seen.axe()
    seen.shoot("sent-failed")
    page.get_by_role("link", name=words["timeline"]).click()
    expect(page.get_by_text("554").first).to_be_visible()  # the server's own words, beside the plain ones
    seen.shoot("why-it-failed")
    page.go_back()
    page.get_by_role("button", name=words["resend"]).click()
    page.get_by_role("dialog").get_by_role("button", name=words["resend"], exact=True).click()
    expect(page).not_to_have_url(first)
    expect(page.locator(".sent-said")).to_have_text(words["settled"])
    request = page.url.rpartition("/")[2].partition("?")[0]
    (message,) = deployment.messages(request)
    assert message["resend_of"] == f"{first.rpartition('/')[2].partition('?')[0]}-0"


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up` of this test's own, whose administrator may change the password."""
    with running(tmp_path_factory.mktemp("fresh")) as opened:
        yield opened


def test_a_changed_password_ends_the_banner_and_the_other_browsers(fresh: Deployment, visit: Visits) -> None:
    mine, other = visit(Look("en", DESK), fresh.url), visit(Look("zh", PHONE), fresh.url)
    for seen in (mine, other):
        log_in(seen)
        open_page(seen.page, "/password")
    page = mine.page
    old, new, again = page.locator("input[type=password]").all()
    old.fill("1234")
    new.fill("correct horse")
    again.fill("correct house")
    page.get_by_role("button", name="Change the password", exact=True).click()
    expect(page.locator(".q-field--error")).to_contain_text("differ")
    again.fill("correct horse")
    again.press("Enter")
    expect(page.locator(".q-field--error")).to_contain_text("not the current password")
    old.fill("123")
    old.press("Enter")
    expect(page.locator(".notice-good")).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)
    expect(page.get_by_text("This browser", exact=True)).to_be_visible()
    mine.axe()
    mine.shoot("password-changed")
    expect(other.page).to_have_url(re.compile("/login"))
    expect(other.page.locator("#said")).to_have_text(WORDS["zh"]["changed"])
    page.goto("/send")
    expect(page.locator(".send-button")).to_be_visible()


def change_password(page: Page) -> None:
    """Change the documented password on its page."""
    expect(page).to_have_url(re.compile("/password"))
    fields = page.locator("input[type=password]")
    expect(fields).to_have_count(3)
    for field, password in zip(fields.all(), ("123", "correct horse", "correct horse"), strict=True):
        field.fill(password)
    page.get_by_role("button", name="修改密码", exact=True).click()
    expect(page.locator(".notice-good")).to_be_visible()


def expect_simulated(page: Page, dialog: Locator) -> None:
    """Follow a test to the pages that show its message: each says that the sandbox took it."""
    dialog.get_by_role("link", name="查看这条消息").click()
    expect(page.locator(".message-line")).to_contain_text("模拟 · 已发出")
    expect(page.locator(".verdict")).to_contain_text("由沙箱模拟，没有送到任何人。")
    request = page.url.rpartition("/")[2].partition("-")[0]
    page.goto(f"/sent/{request}")
    expect(page.locator(".sent-counts")).to_contain_text("模拟 · 已发出")
    expect(page.locator(".simulated")).to_have_text("由沙箱模拟，没有送到任何人。")
    page.goto("/messages")
    expect(page.locator("main")).to_contain_text("模拟 · 已发出")
    page.goto("/")


def test_the_guide_ticks_what_is_done_and_goes_when_all_is(fresh: Deployment, visit: Visits) -> None:
    seen, other = visit(Look("zh", PHONE), fresh.url), visit(Look("en", DESK), fresh.url)
    log_in(seen)
    page, guide = seen.page, seen.page.get_by_role("region", name="开始使用")
    page.goto("/")
    expect(guide).to_contain_text("已完成 0 步")
    expect(guide.get_by_text("模拟", exact=True)).to_have_count(2)
    seen.axe()
    seen.shoot("guide")
    assert not scrolls_sideways(page)

    guide.get_by_role("button", name="试发").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("邮箱").fill("admin@example.com")
    dialog.get_by_role("button", name="发送", exact=True).click()
    expect(dialog).to_contain_text("模拟 · 已发出")
    expect_simulated(page, dialog)
    expect(guide).to_contain_text("已完成 1 步")
    expect(guide.get_by_role("listitem").nth(2)).to_contain_text("只会送到沙箱")  # done, and no message has left

    with Mailbox().running_apart() as mailbox:
        guide.get_by_role("link", name="添加服务商").click()
        expect(dialog.get_by_label("服务商", exact=True)).to_be_visible()
        token = fresh.token()
        server = {"host": mailbox.host, "port": mailbox.port, "security": "none", "sender": "noreply@example.com"}
        body = {"method": "smtp", "kind": "smtp", "name": "office", "settings": server}
        assert fresh.call("POST", "/api/v2/providers", body, token=token)["errorCode"] == 0
        page.goto("/")
        expect(guide.get_by_role("listitem").nth(1)).to_contain_text("已完成")
        expect(guide.get_by_role("listitem").nth(2)).not_to_contain_text("已完成")  # the message before was simulated
        expect(guide.get_by_text("模拟", exact=True)).to_have_count(0)
        test, to = "/api/v2/providers/smtp/office/test", {"to": "admin@example.com"}
        wait(lambda: fresh.call("POST", test, to, token=token)["errorCode"] == 0, 60)
        expect(guide).to_contain_text("已完成 2 步")  # by itself, while the page is open
        guide.get_by_role("link", name="新建密钥").click()
        expect(dialog.get_by_label("名称", exact=True)).to_be_visible()
        key = {"name": "library", "kind": "live", "scopes": ["send:smtp"]}
        assert fresh.call("POST", "/api/v2/keys", key, token=token)["errorCode"] == 0

    log_in(other)
    other.page.goto("/")
    expect(other.page.get_by_role("region", name="Getting started")).to_contain_text("3 of them are done")
    other.page.get_by_role("link", name="Dismiss").click()
    expect(other.page.get_by_role("region", name="WeChat", exact=True)).to_be_visible()
    expect(other.page.get_by_role("region", name="Getting started")).to_have_count(0)

    page.goto("/")
    guide.get_by_role("link", name="修改密码").click()
    change_password(page)
    page.goto("/")
    expect(page.get_by_role("region", name="微信", exact=True)).to_be_visible()
    expect(guide).to_have_count(0)


def test_log_out_everywhere_closes_the_other_browser_and_its_token(deployment: Deployment, visit: Visits) -> None:
    user = deployment.new_user()
    token = deployment.token(user, "correct horse")
    here, there = visit(Look("en", PHONE)), visit(Look("zh", DESK))
    for seen in (here, there):
        log_in(seen, user, "correct horse")
        open_page(seen.page, "/limits")
    here.page.goto("/password")
    here.page.get_by_role("button", name="Log out everywhere").click()
    expect(here.page).to_have_url(re.compile("/login"))
    expect(there.page).to_have_url(re.compile("/login"))
    assert deployment.call("GET", "/api/v2/me", token=token)["errorCode"] == 10005
