"""API keys in the page: made and shown once, used, listed, changed, rotated and ended."""

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import choose, copy_by, log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

WORDS = {
    "zh": {
        "new": "创建密钥",
        "name": "名称",
        "networks": "可用网络",
        "last_day": "最后有效日",
        "make": "创建",
        "copy": "复制密钥",
        "code": "复制 curl 代码",
        "kept": "我已保存",
        "rotate": "轮换",
        "edit": "修改",
        "save": "保存",
        "end": "停用",
        "soon": "即将到期",
        "ended": "已停用",
        "never": "从未使用",
        "from": "来自 127.0.0.1",
        "user": "用户名",
        "scope": "管理用户",
        "missing": "请填写名称",
        "query": "查询消息",
        "refused": "密钥不能有 users",
        "kind": "类型",
        "test": "测试：不送达任何人",
        "mark": "测试",
    },
    "en": {
        "new": "Make a key",
        "name": "Name",
        "networks": "Networks",
        "last_day": "Last day",
        "make": "Make",
        "copy": "Copy the key",
        "code": "Copy the curl code",
        "kept": "I have saved it",
        "rotate": "Rotate",
        "edit": "Edit",
        "save": "Save",
        "end": "End",
        "soon": "Ends soon",
        "ended": "has ended",
        "never": "never used",
        "from": "from 127.0.0.1",
        "user": "Username",
        "scope": "manage users",
        "missing": "Enter a name",
        "query": "read messages",
        "refused": "cannot have users",
        "kind": "Kind",
        "test": "Test: reaches nobody",
        "mark": "Test",
    },
}

LOOKS = pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)


def open_keys(seen: Visit, user: str = "") -> Page:
    """Log in, and open the page of keys."""
    log_in(seen, user or "admin", PASSWORD if user else "123")
    open_page(seen.page, "/keys")
    return seen.page


@LOOKS
def test_a_key_is_shown_once_with_code_that_runs(deployment: Deployment, visit: Visits, look: Look) -> None:
    words, user = WORDS[look.language], deployment.new_user()
    seen = visit(look)
    page = open_keys(seen, user)
    dialog, rows = page.locator(".dialog:visible"), page.locator(".table-row")

    def click(name: str) -> None:
        dialog.get_by_role("button", name=words[name], exact=True).click()

    expect(page.locator(".empty-title")).to_be_visible()
    seen.axe()
    page.get_by_role("button", name=words["new"], exact=True).click()
    click("make")
    expect(dialog).to_contain_text(words["missing"])
    dialog.get_by_label(words["name"]).fill("图书馆 <b>")
    dialog.get_by_label(words["networks"]).fill("127.0.0.0/8\n::1")
    dialog.get_by_label(words["last_day"]).fill((datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%d"))
    assert dialog.get_by_text(words["scope"]).count() == 0, "what administrators alone may"
    seen.axe()
    seen.shoot("key-form")
    click("make")
    expect(dialog.locator(".code-block").first).to_contain_text("imsg_live_")
    key = dialog.locator(".code-block").first.inner_text()
    seen.axe()
    seen.shoot("key-made")
    assert copy_by(page, dialog.get_by_role("button", name=words["copy"], exact=True)) == key
    code = copy_by(page, dialog.get_by_role("button", name=words["code"], exact=True))
    done = subprocess.run(["sh", "-c", code], capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["errorCode"] == 0, done.stdout
    click("kept")
    expect(dialog).to_have_count(0)
    expect(rows).to_contain_text("图书馆 <b>")
    expect(rows).to_contain_text(words["soon"])

    def is_use_shown() -> bool:
        page.reload()
        rows.first.wait_for()
        return words["from"] in rows.first.inner_text()

    wait(is_use_shown)  # uses are noted some seconds later
    assert key not in page.content(), "shown once"
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("keys")


@LOOKS
def test_a_key_is_changed_rotated_and_ended(deployment: Deployment, visit: Visits, look: Look) -> None:
    words, user = WORDS[look.language], deployment.new_user()
    made = {"username": user, "name": "library", "kind": "live", "scopes": ["query", "send:sms"], "networks": ["::1"]}
    made["expires_at"] = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%dT12:34:56.000Z}"
    key = deployment.call("POST", "/api/v2/keys", {**made, "token": deployment.token()})["key"]
    seen = visit(look)
    page = open_keys(seen, user)
    dialog, rows = page.locator(".dialog:visible"), page.locator(".table-row")

    def click(name: str) -> None:
        dialog.get_by_role("button", name=words[name], exact=True).click()

    rows.get_by_role("button", name=words["edit"]).click()
    dialog.get_by_role("checkbox", name=words["query"]).click()
    dialog.get_by_label(words["networks"]).fill("")
    click("save")
    expect(dialog).to_have_count(0)
    (changed,) = list_keys(deployment, user)
    assert (changed["scopes"], changed["networks"]) == (["send:sms"], [])
    assert changed["expires_at"] == made["expires_at"], "its last day was not touched"

    rows.get_by_role("button", name=words["rotate"]).click()
    expect(dialog).to_be_visible()
    seen.axe()
    click("rotate")
    expect(dialog.locator(".code-block").first).to_contain_text("imsg_live_")
    rotated = dialog.locator(".code-block").first.inner_text()
    assert rotated != key
    click("kept")
    expect(dialog).to_have_count(0)
    expect(rows).to_have_count(2)
    assert {deployment.call("GET", "/api/v2/me", token=text)["errorCode"] for text in (key, rotated)} == {0}

    rows.last.get_by_role("button", name=re.compile(f"^{words['end']} ")).click()
    click("end")
    expect(page.get_by_text(words["ended"])).to_be_visible()
    expect(rows).to_have_count(1)
    assert deployment.call("GET", "/api/v2/me", token=rotated)["errorCode"] == 10005


@LOOKS
def test_an_administrator_makes_and_finds_a_users_keys(deployment: Deployment, visit: Visits, look: Look) -> None:
    words, user = WORDS[look.language], deployment.new_user()
    seen = visit(look)
    page = open_keys(seen)
    dialog, rows = page.locator(".dialog:visible"), page.locator(".table-row")
    page.get_by_role("button", name=words["new"], exact=True).click()
    dialog.get_by_label(words["name"]).first.fill("alerts")
    dialog.get_by_label(words["user"]).fill(user)
    dialog.get_by_role("checkbox", name=words["scope"]).click()
    dialog.get_by_role("button", name=words["make"], exact=True).click()
    expect(dialog.locator(".form-trouble")).to_contain_text(words["refused"])
    dialog.get_by_role("checkbox", name=words["scope"]).click()
    dialog.get_by_role("button", name=words["make"], exact=True).click()
    dialog.get_by_role("button", name=words["kept"], exact=True).click()
    (made,) = list_keys(deployment, user)
    assert (made["username"], made["name"], made["expires_at"]) == (user, "alerts", None)

    page.get_by_role("searchbox").fill(user)
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(user)
    expect(rows).to_contain_text(words["never"])
    expect(page).to_have_url(re.compile(f"username={quote(user)}"))
    page.get_by_role("searchbox").fill("nobody-of-this-name")
    expect(page.locator(".empty-title")).to_contain_text("nobody-of-this-name")
    seen.axe()


def list_keys(deployment: Deployment, user: str) -> list[dict[str, object]]:
    """List a user's keys."""
    found: list[dict[str, object]] = deployment.look_up("/api/v2/keys", token=deployment.token(), username=user)["keys"]
    return found


@LOOKS
def test_a_test_key_is_made_and_what_it_sends_is_marked(deployment: Deployment, visit: Visits, look: Look) -> None:
    user = deployment.new_user()
    seen = visit(look)
    page, words = open_keys(seen, user), WORDS[look.language]
    dialog, rows = page.locator(".dialog:visible"), page.locator(".table-row")
    page.get_by_role("button", name=words["new"], exact=True).click()
    dialog.get_by_label(words["name"]).fill("trial")
    choose(page, dialog.get_by_label(words["kind"]), words["test"])
    dialog.get_by_role("button", name=words["make"], exact=True).click()
    expect(dialog.locator(".code-block").first).to_contain_text("imsg_test_")
    key = dialog.locator(".code-block").first.inner_text()
    dialog.get_by_role("button", name=words["kept"], exact=True).click()
    expect(rows.first.get_by_text(words["mark"], exact=True)).to_be_visible()
    mail = {"to": "li@example.com", "method": "smtp", "content": {"subject": "a trial", "text": "t"}}
    sent = [deployment.call("POST", "/api/v2/messages", mail | {"token": key})["id"] for _ in range(2)]
    deployment.call("POST", "/api/v2/messages", mail | {"token": deployment.token(user, PASSWORD)})
    for request in sent:
        deployment.wait_settled(request)

    page.goto("/mine?key=trial")
    expect(rows).to_have_count(2)
    expect(rows.first.get_by_text(words["mark"], exact=True)).to_be_visible()
    expect(rows.first.get_by_text("trial", exact=True)).to_be_visible()
    for path in (f"/messages/{sent[0]}-0", f"/sent/{sent[0]}"):
        page.goto(path)
        expect(page.get_by_text(words["mark"], exact=True)).to_be_visible()
        expect(page.get_by_text("trial", exact=True)).to_be_visible()
    assert not scrolls_sideways(page)
