"""Providers in the page: an administrator sets up a mail server and sends by it, without opening a file."""

import re
import secrets
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment, running
from imsg_testing.mailbox import Mailbox
from imsg_testing.page_actions import choose, choose_in_menu, log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

USER = "noreply@example.com"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server that wants a log-in."""
    server = Mailbox()
    server.users = {USER: f"secret-{secrets.token_hex(12)}"}
    with server.running_apart():
        yield server


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run an iMSG of which nothing is configured."""
    with running(tmp_path_factory.mktemp("fresh")) as deployment:
        deployment.open_wide()
        yield deployment


def fill(page: Page, **values: str) -> None:
    """Fill the fields of the form by their labels."""
    for label, value in values.items():
        page.get_by_role("dialog").get_by_label(label, exact=True).fill(value)


def begin(page: Page, kind: str) -> Locator:
    """Open the form of a new provider of a kind; return its dialog."""
    page.get_by_role("button", name="添加服务商").click()
    choose(page, page.get_by_role("dialog").get_by_label("服务商", exact=True), kind)
    page.get_by_role("button", name="下一步").click()
    return page.get_by_role("dialog")


def remove(deployment: Deployment, name: str) -> None:
    """Remove a mail server, and wait until the sandbox is back."""
    assert deployment.call("DELETE", f"/api/v2/providers/smtp/{name}", token=deployment.token())["errorCode"] == 0
    wait(lambda: deployment.look_up("/api/v2/providers", token=deployment.token())["providers"] != [], 60)


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_a_mail_server_is_set_up_in_the_page_and_a_mail_goes_out(
    fresh: Deployment, mailbox: Mailbox, visit: Visits, look: Look
) -> None:
    name = f"office-{look.name}".replace(" ", "-").lower()[:30]
    seen = visit(look, fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    expect(page.get_by_text("模拟", exact=True).first).to_be_visible()
    seen.axe()
    dialog = begin(page, "邮件：网易 163 邮箱")
    expect(dialog.get_by_label("服务器地址", exact=True)).to_have_value("smtp.163.com")
    expect(dialog).to_contain_text("授权码")
    expect(dialog).not_to_contain_text("`")
    expect(dialog.get_by_label("IMAP 服务器", exact=True)).to_be_hidden()  # few need the bounce mailbox
    seen.axe()
    fill(page, 名称=name, 服务器地址=mailbox.host, 端口=str(mailbox.port), 用户名=USER, 密码="wrong", 发件人=USER)
    choose(page, dialog.get_by_label("加密方式", exact=True), "不加密")
    expect(dialog.get_by_label("加密方式", exact=True)).to_have_value("不加密")
    dialog.get_by_role("button", name="检查并保存").click()
    expect(dialog.get_by_role("alert")).to_contain_text("拒绝登录")
    expect(dialog.get_by_role("alert")).to_contain_text("。请核对")
    assert fresh.look_up("/api/v2/providers", token=fresh.token())["providers"][0]["from"] == "settings"
    fill(page, 密码=mailbox.users[USER])
    dialog.get_by_role("button", name="检查并保存").click()
    expect(page.get_by_text(f"已添加 {name}")).to_be_visible()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row.or_(page.locator(".data-table").filter(has_text=name)).first).to_be_visible()
    assert not scrolls_sideways(page)
    assert mailbox.users[USER] not in page.content()

    test = f"/api/v2/providers/smtp/{name}/test"
    wait(lambda: fresh.call("POST", test, {"to": "li@example.com"}, token=fresh.token())["errorCode"] == 0, 60)
    page.get_by_role("button", name=f"试发 {name}").click()
    to = f"{secrets.token_hex(4)}@example.com"
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(to)
    dialog.get_by_role("button", name="发送", exact=True).click()
    wait(lambda: mailbox.counts(to).total() == 1, 60)
    expect(dialog).to_contain_text("已发出")
    expect(dialog.get_by_role("link", name="查看这条消息")).to_be_visible()
    expect(dialog.get_by_role("link", name="在沙箱收件箱里看")).to_have_count(0)  # it went to a real server
    dialog.get_by_role("button", name="关闭").click()
    expect(dialog).to_have_count(0)

    page.get_by_role("button", name=f"检查 {name}").click()
    expect(page.get_by_text(f"检查通过：{name}")).to_be_visible()
    remove(fresh, name)


def test_a_change_is_seen_in_the_versions_and_taken_back(fresh: Deployment, mailbox: Mailbox, visit: Visits) -> None:
    settings = {"host": mailbox.host, "port": mailbox.port, "username": USER, "password": mailbox.users[USER]}
    body = {"method": "smtp", "name": "second", "kind": "smtp", "settings": {**settings, "sender": USER}}
    made = fresh.call("POST", "/api/v2/providers", body, token=fresh.token())
    assert made["errorCode"] == 0, made
    seen = visit(Look("zh", DESK), fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    page.get_by_role("button", name="修改 second").click()
    fill(page, 发件人=f"天存 <{USER}>")
    page.get_by_role("dialog").get_by_role("button", name="检查并保存").click()
    expect(page.get_by_text("已保存 second")).to_be_visible()
    expect(page.get_by_text("第 2 版")).to_be_visible()
    choose_in_menu(page, "second 的更多操作", "版本")
    page.get_by_role("button", name="恢复第 1 版").click()
    expect(page.get_by_text("第 3 版")).to_be_visible()
    listed = fresh.look_up("/api/v2/providers", token=fresh.token())["providers"]
    assert next(provider for provider in listed if provider["name"] == "second")["settings"]["sender"] == USER
    remove(fresh, "second")


def test_what_is_wrong_in_a_folded_part_is_shown(fresh: Deployment, mailbox: Mailbox, visit: Visits) -> None:
    seen = visit(Look("zh", DESK), fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    dialog = begin(page, "邮件：网易 163 邮箱")
    fill(page, 名称="folded", 服务器地址=mailbox.host, 端口=str(mailbox.port), 用户名=USER, 密码="x", 发件人=USER)
    port = dialog.get_by_label("IMAP 端口", exact=True)
    dialog.get_by_text("退信邮箱", exact=True).click()
    dialog.get_by_label("用户名（退信邮箱）", exact=True).fill(USER)
    port.fill("x")
    dialog.get_by_text("退信邮箱", exact=True).click()
    expect(port).to_be_hidden()
    dialog.get_by_role("button", name="检查并保存").click()
    expect(port).to_be_visible()
    seen.axe()


def test_a_provider_that_needs_attention_stands_on_the_overview_with_its_remedy(
    fresh: Deployment, mailbox: Mailbox, visit: Visits
) -> None:
    settings = {"host": mailbox.host, "port": mailbox.port, "username": USER, "password": "expired", "sender": USER}
    body = {"method": "smtp", "name": "stale", "kind": "smtp", "settings": settings}
    assert fresh.call("POST", "/api/v2/providers", body, token=fresh.token())["errorCode"] == 0
    listed = "/api/v2/providers"
    wait(lambda: any(provider["attention"] for provider in fresh.look_up(listed, token=fresh.token())["providers"]), 60)
    seen = visit(Look("zh", DESK), fresh.url)
    page = log_in(seen)
    page.goto("/")
    need = page.locator(".needs > li").filter(has_text="服务商 stale")
    expect(need).to_contain_text("拒绝登录")
    expect(need).to_contain_text("授权码")
    need.get_by_role("link").click()
    expect(page.get_by_role("row").filter(has_text="stale")).to_contain_text("拒绝登录")
    remove(fresh, "stale")
    page.goto("/")


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_signatures_and_templates_are_shown_as_the_provider_has_them(
    fresh: Deployment, visit: Visits, look: Look
) -> None:
    seen = visit(look, fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    for what, words in (("签名", ("天存", "已通过", "已报备")), ("模板", ("SMS_100000002", "您的验证码为${code}"))):
        choose_in_menu(page, "aliyun 的更多操作", what)
        dialog = page.get_by_role("dialog")
        for word in ("模拟", *words):
            expect(dialog).to_contain_text(word)
        seen.axe()
        assert not scrolls_sideways(page)
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_a_described_firm_has_a_form_of_its_own_with_what_it_is_used_for(
    fresh: Deployment, visit: Visits, look: Look
) -> None:
    """It is asked for its account by the names of its own console."""
    seen = visit(look, fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    dialog = begin(page, "短信：短信宝")
    fill(page, 名称="bao", 用户名="tiancun", 密码="wrong", 签名="【天存】")
    dialog.get_by_text("用途", exact=True).click()
    fill(page, 号码开头="86x")
    dialog.get_by_role("button", name="检查并保存").click()
    expect(dialog).to_contain_text("+86, +852")
    seen.axe()
    assert not scrolls_sideways(page)
    page.keyboard.press("Escape")


def test_a_sender_is_set_up_changed_and_removed_in_the_page(fresh: Deployment, visit: Visits) -> None:
    seen = visit(Look("zh", DESK), fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    page.get_by_role("button", name="添加发件人").click()
    fill(page, 名称="news", 发件地址="nobody")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("dialog")).to_contain_text("noreply@example.com，或")
    fill(page, 发件地址="天存资讯 <news@example.com>", 回复地址="office@example.com")
    page.get_by_role("button", name="保存").click()
    row = page.get_by_role("row").filter(has_text="news@example.com")
    expect(row).to_contain_text("office@example.com")
    seen.axe()
    row.get_by_role("button", name="DNS 记录").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("example.com 的 DNS 记录", timeout=60_000)
    for record in ("SPF", "DKIM", "DMARC"):
        expect(dialog.get_by_role("heading", name=record, exact=True)).to_be_visible()
    expect(dialog).to_contain_text("Gmail：")
    seen.axe()
    dialog.get_by_role("button", name="关闭").click()
    expect(dialog).to_be_hidden()
    row.get_by_role("button", name="修改").click()
    fill(page, 回复地址="")
    page.get_by_role("button", name="保存").click()
    expect(row).not_to_contain_text("office@example.com")
    row.get_by_role("button", name="删除").click()
    page.get_by_role("dialog").get_by_role("button", name="删除").click()
    expect(row).to_be_hidden()


def test_a_signature_is_set_up_in_the_page_and_chosen_for_a_send(fresh: Deployment, visit: Visits) -> None:
    seen = visit(Look("zh", DESK), fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    page.get_by_role("button", name="添加短信签名").click()
    fill(page, 名称="school", 短信签名="天存未报备")
    page.get_by_role("button", name="保存").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("5 到 10 个工作日", timeout=60_000)
    seen.axe()
    dialog.get_by_role("button", name="关闭").click()
    expect(dialog).to_be_hidden()
    row = page.get_by_role("row").filter(has_text="【天存未报备】")
    expect(row.get_by_role("button", name="DNS 记录")).to_have_count(0)
    row.get_by_role("button", name="修改").click()
    fill(page, 短信签名="天存教育")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("row").filter(has_text="【天存教育】")).to_be_visible(timeout=60_000)

    def is_offered() -> bool:
        channels = fresh.call("GET", "/api/v2/channels", token=fresh.token())["channels"]
        return any(channel["signatures"] == {"school": "天存教育"} for channel in channels)

    wait(is_offered, 60)
    open_page(page, "/send?method=sms")
    choose(page, page.get_by_label("发件人", exact=True), "school · 【天存教育】")
    expect(page.locator(".preview-phone")).to_contain_text("【天存教育】")
    seen.axe()

    ways = {"aliyun": {"template": "SMS_100000003", "variables": {"name": "{{ name }}", "time": "{{ time }}"}}}
    words = {"default_language": "zh", "languages": {"zh": {"sms": {"providers": ways}}}}
    template = {"name": "visit", "category": "notice", **words}
    assert fresh.call("POST", "/api/v2/templates", template, token=fresh.token())["errorCode"] == 0
    assert fresh.call("POST", "/api/v2/templates/visit/publish", token=fresh.token())["errorCode"] == 0
    open_page(page, "/send?method=sms&template=visit")
    bubble = page.locator(".bubble")
    expect(bubble).to_contain_text(re.compile("^【天存】"), timeout=60_000)
    choose(page, page.get_by_label("发件人", exact=True), "school · 【天存教育】")
    expect(bubble).to_have_text(re.compile("^【天存教育】[^【】]*$"))
    assert fresh.call("DELETE", "/api/v2/templates/visit", token=fresh.token())["errorCode"] == 0
    assert fresh.call("DELETE", "/api/v2/senders/school", token=fresh.token())["errorCode"] == 0


def test_the_address_for_receipts_is_shown_whole(fresh: Deployment, visit: Visits) -> None:
    seen = visit(Look("zh", DESK), fresh.url)
    page = log_in(seen)
    open_page(page, "/providers")
    dialog = begin(page, "短信：腾讯云短信")
    shown = dialog.get_by_role("region", name="状态报告的回调地址")
    expect(shown).to_have_text(re.compile("^https://HOST/hooks/sms/tencent/[0-9a-f]{32}$"))
    expect(dialog).to_contain_text("IMSG_PUBLIC_URL")
    fill(page, 名称="cloud", 回调密钥="4370abc")
    expect(shown).to_have_text("https://HOST/hooks/sms/cloud/4370abc")
    fill(page, 回调密钥="")
    expect(shown).to_have_text("https://HOST/hooks/sms/cloud/<回调密钥>")
    expect(dialog).to_contain_text("请先在上面填写“回调密钥”")
    seen.axe()
    page.keyboard.press("Escape")
