"""Drafts and log-ins outlive the console, and sent messages are found again."""

import os
import secrets
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment, running
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

LOOKS = [Look("zh", DESK), Look("en", PHONE, dark=True)]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up` of this module's own, to be killed and started again."""
    with running(tmp_path_factory.mktemp("restarted")) as opened:
        opened.open_wide()
        yield opened


def restart(deployment: Deployment) -> None:
    """Kill it as a power cut does, and start it again."""
    os.kill(deployment.process.pid, signal.SIGKILL)
    wait(lambda: not deployment.process.runs)
    deployment.start()


def submit_login(page: Page, username: str, password: str) -> None:
    page.locator("#username").fill(username)
    page.locator("#password").fill(password)
    page.locator("form button").click()


def read_kept(page: Page) -> str:
    return str(page.evaluate("JSON.stringify(Object.entries(localStorage).filter(([k]) => k.startsWith('imsg-')))"))


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_draft_and_the_log_in_outlive_the_console(other: Deployment, visit: Visits, look: Look) -> None:
    name = other.new_user()
    seen = visit(look, other.url)
    seen.complaints.expect("ERR_CONNECTION|ERR_EMPTY|_nicegui_ws|WebSocket")  # logged while the server is away
    page = log_in(seen, name, PASSWORD)
    open_page(page, "/send")
    page.locator(".recipients-field").press_sequentially("张三 <zhang@example.com>, oops@,\n")
    expect(page.locator(".recipient-text")).to_have_text(["zhang@example.com"])
    page.locator(".field-subject input").fill("三季度报表 <b>")
    page.locator(".upload-attachments input[type=file]").set_input_files(
        {"name": "报表.pdf", "mimeType": "application/pdf", "buffer": b"x"}
    )
    page.locator(".field-text textarea").fill("第一行\n第二行")
    page.wait_for_function(
        """name => ['三季度报表', '报表.pdf', '第二行'].every(
            text => (localStorage.getItem('imsg-draft:' + name) || '').includes(text))""",
        arg=name,
    )

    os.kill(other.process.pid, signal.SIGKILL)
    wait(lambda: not other.process.runs)
    page.locator(".field-text textarea").press_sequentially("，没人听见时写的")
    page.goto("about:blank")  # once it is heard again, the page would load itself
    other.start()
    page.goto("/send")
    expect(page.locator(".recipient-text")).to_have_text(["zhang@example.com"])
    expect(page.locator(".recipient-label")).to_have_text(["张三"])
    expect(page.locator(".recipients-wrong .problem-text")).to_have_text(["oops@"])
    expect(page.locator(".field-subject input")).to_have_value("三季度报表 <b>")
    expect(page.locator(".field-text textarea")).to_have_value("第一行\n第二行，没人听见时写的")
    expect(page.locator(".draft-notice")).to_contain_text("报表.pdf")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("send-draft")

    page.locator(".recipients-wrong > .button").click()
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_be_visible()
    assert read_kept(page) == "[]"


def test_a_draft_is_its_writers_alone_and_goes_with_the_log_out(deployment: Deployment, visit: Visits) -> None:
    first, second = deployment.new_user(), deployment.new_user()
    seen = visit(LOOKS[0])
    page = seen.page
    log_in(seen, first, PASSWORD)
    open_page(page, "/send?method=sms")
    page.locator(".field-words textarea:visible").fill("给张三的话")
    page.wait_for_function("name => (localStorage.getItem('imsg-draft:' + name) || '').includes('张三')", arg=first)

    log_in(seen, second, PASSWORD)
    open_page(page, "/send?method=sms")
    expect(page.locator(".field-words textarea:visible")).to_have_value("")
    expect(page.locator(".draft-notice")).to_have_count(0)

    log_in(seen, first, PASSWORD)
    page.goto("/send?to=13800138000")
    page.get_by_role("button", name="恢复草稿").click()
    expect(page.locator(".field-words textarea:visible")).to_have_value("给张三的话")
    page.get_by_role("button", name="清空重写").click()
    expect(page.locator(".draft-notice")).to_have_count(0)
    expect(page.locator(".field-words textarea:visible")).to_have_count(0)  # the form as it comes: mail

    page.locator(".field-subject input").fill("又一份")
    page.wait_for_function("name => (localStorage.getItem('imsg-draft:' + name) || '').includes('又一份')", arg=first)
    page.locator(".top-account").click()
    page.get_by_role("button", name="退出登录").click()
    expect(page.locator("#said")).to_have_text("已退出登录。")
    assert read_kept(page) == "[]"


def test_the_log_in_page_shows_why_it_appears(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    here, there = visit(LOOKS[0]), visit(LOOKS[0])
    here.page.goto("/limits")
    expect(here.page.locator("#said")).to_contain_text("要打开的页面需要先登录")
    submit_login(here.page, name, PASSWORD)
    expect(here.page).to_have_url(f"{deployment.url}/limits")
    here.page.wait_for_function("window.did_handshake")

    log_in(there, name, PASSWORD)
    headers = {"origin": deployment.url, "accept": "text/html"}
    answer = there.context.request.post("/logout?everywhere=1", headers=headers, max_redirects=0)
    assert answer.status == 303
    expect(here.page.locator("#said")).to_contain_text("您在别处选择了“在所有设备上退出”")

    log_in(there, name, PASSWORD)
    body = {"password": "another horse"}
    assert deployment.call("PATCH", f"/api/v2/users/{name}", body, token=deployment.token())["errorCode"] == 0
    there.page.goto("/mine")
    expect(there.page.locator("#said")).to_contain_text("密码被重置")
    there.axe()


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_what_was_sent_is_waited_for(visit: Visits, look: Look) -> None:
    seen = visit(look)
    page = log_in(seen)
    page.goto(f"/sent/{secrets.token_hex(16)}?n=300")
    said = {"zh": "已接受 300 个收件人，正在发送", "en": "Accepted for 300 recipients, sending"}[look.language]
    expect(page.locator(".sent-waiting")).to_contain_text(said)
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("sent-waiting")
    page.goto(f"/sent/{secrets.token_hex(16)}")
    said = {"zh": "没有这次发送", "en": "There is no such request"}[look.language]
    expect(page.locator(".empty-title")).to_have_text(said)


def test_what_was_emptied_again_is_no_draft(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    seen = visit(LOOKS[0])
    page = log_in(seen, name, PASSWORD)
    open_page(page, "/send")
    page.locator(".field-subject input").fill("三季度报表")
    page.wait_for_function("name => localStorage.getItem('imsg-draft:' + name)", arg=name)
    page.locator(".field-subject input").fill("")
    page.wait_for_function("name => localStorage.getItem('imsg-draft:' + name) === null", arg=name)
    open_page(page, "/send")
    expect(page.locator(".field-subject input")).to_have_value("")
    expect(page.locator(".draft-notice")).to_have_count(0)
