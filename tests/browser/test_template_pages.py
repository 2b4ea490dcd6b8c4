"""A template in the page: written with a mistake that is named, mended, previewed and published; in each channel."""

import re
from collections.abc import Callable
from functools import partial

import pytest
from playwright.sync_api import Locator, expect
from playwright.sync_api import Page as PlaywrightPage

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import choose, choose_in_menu, log_in, open_page

Visits = Callable[..., Visit]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_a_template_is_written_previewed_and_published(deployment: Deployment, visit: Visits, look: Look) -> None:
    seen = visit(look)
    log_in(seen, deployment.new_user(), "correct horse")
    page, name = seen.page, f"page-{'phone' if look.width == PHONE else 'desk'}"
    open_page(page, "/templates")
    page.get_by_role("button", name="新建模板", exact=True).click()
    dialog = page.locator(".dialog:visible")
    dialog.get_by_label("名称", exact=True).fill(name)
    dialog.get_by_label("主题", exact=True).fill("{{ name }}，您好")
    dialog.get_by_label("正文", exact=True).fill("您的号码\n {% if a %}是 {{ a }}")
    seen.axe()
    dialog.get_by_role("button", name="保存", exact=True).click()
    expect(dialog).to_contain_text("正文不正确：第 2 行第 5 列")
    dialog.get_by_label("正文", exact=True).fill("您的号码是 {{ number }}。")
    dialog.get_by_role("button", name="保存", exact=True).click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name=f"预览 {name}").click()
    dialog.get_by_label("number", exact=True).fill("42")
    dialog.get_by_role("button", name="预览", exact=True).click()
    expect(dialog).to_contain_text("您的号码是 42。")
    seen.axe()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name=f"发布 {name}").click()
    dialog.get_by_role("button", name="发布", exact=True).click()
    expect(page.locator("body")).to_contain_text("第 1 版")
    assert not scrolls_sideways(page)
    page.get_by_role("button", name=f"用 {name} 发送").click()
    expect(page.get_by_label("已存的模板")).to_have_value(name)
    expect(page.get_by_label("number", exact=True)).to_be_visible()


def _choose(page: PlaywrightPage, label: str, value: str) -> None:
    choose(page, page.locator(".dialog:visible").get_by_label(label, exact=True), value)


def _write(dialog: Locator, **fields: str) -> None:
    for label, value in fields.items():
        dialog.get_by_label(label.replace("_", " "), exact=True).fill(value)


def _save(dialog: Locator) -> None:
    dialog.get_by_role("button", name="保存", exact=True).click()


def test_one_template_is_written_for_sms_wechat_and_a_second_language(deployment: Deployment, visit: Visits) -> None:
    """All are saved together; what is changed later in one leaves the others as they were."""
    seen = visit(Look("zh", DESK))
    username = deployment.new_user()
    page = log_in(seen, username, "correct horse")
    open_page(page, "/templates")
    dialog = page.locator(".dialog:visible")
    choose, write, save = partial(_choose, page), partial(_write, dialog), partial(_save, dialog)
    page.get_by_role("button", name="新建模板", exact=True).click()
    write(名称="every-way", 主题="{{ goods }}", 正文="{{ goods }}已发货。")
    choose("语言", "英文 · en")
    expect(dialog.get_by_label("主题", exact=True)).to_have_value("")
    write(主题="{{ goods }} is on its way", 正文="{{ goods }}")
    choose("语言", "中文 · zh")
    choose("渠道", "短信")
    expect(dialog.get_by_label("主题", exact=True)).not_to_be_visible()
    write(服务商或公众号_1="no.body", 已审核的模板_1="SMS_100000003", 变量_1="name={{ goods }}\ntime = {{ time }}")
    seen.axe()
    choose("渠道", "微信")
    expect(dialog.get_by_label("变量 1", exact=True)).to_have_value("")
    write(服务商或公众号_1="sandbox", 已审核的模板_1="order", 变量_1="goods={{ goods }}\nnumber={{ time }}")
    save()
    expect(dialog).to_contain_text("服务商或公众号 1 不正确：没有这个服务商，现有：aliyun")
    expect(dialog.get_by_label("服务商或公众号 1", exact=True)).to_have_value("no.body")
    write(服务商或公众号_1="aliyun")
    save()
    expect(dialog).to_have_count(0)

    token = deployment.token(username, "correct horse")
    read = deployment.call("GET", "/api/v2/templates/every-way", token=token)
    assert (read["default_language"], sorted(read["languages"])) == ("zh", ["en", "zh"])
    assert read["languages"]["en"]["smtp"]["subject"] == "{{ goods }} is on its way"
    assert read["languages"]["zh"]["sms"]["providers"] == {
        "aliyun": {"template": "SMS_100000003", "variables": {"name": "{{ goods }}", "time": "{{ time }}"}}
    }
    assert read["languages"]["zh"]["wechat"]["providers"]["sandbox"]["variables"]["number"] == "{{ time }}"

    for language in ("中文 · zh", "英文 · en"):
        expect(page.locator("main")).to_contain_text(language)
    choose_in_menu(page, "every-way 的更多操作", "修改")
    choose("渠道", "短信")
    expect(dialog.get_by_label("变量 1", exact=True)).to_have_value("name={{ goods }}\ntime={{ time }}")
    write(签名="图书馆")
    save()
    expect(dialog).to_have_count(0)
    changed = deployment.call("GET", "/api/v2/templates/every-way", token=token)["languages"]
    assert changed["zh"]["sms"].pop("signature") == "图书馆"
    assert changed == read["languages"]


def test_an_approved_template_of_a_provider_is_chosen_and_not_typed(deployment: Deployment, visit: Visits) -> None:
    seen = visit(Look("zh", PHONE))
    page = log_in(seen)
    page.goto("/templates")
    page.wait_for_function("window.socket && window.socket.connected")
    page.get_by_role("button", name="新建模板", exact=True).click()
    form = page.locator(".dialog:visible").first
    _write(form, 名称="appointment")
    expect(form.get_by_role("button", name="选择已审核的模板")).not_to_be_visible()
    _choose(page, "渠道", "短信")
    form.get_by_role("button", name="选择已审核的模板").click()
    dialog = page.locator(".dialog:visible").last
    dialog.get_by_label("服务商已审核通过的模板").click()
    page.get_by_role("option").filter(has_text="SMS_100000003").click()
    seen.axe()
    assert not scrolls_sideways(page)
    dialog.get_by_role("button", name="填入").click()
    expect(form.get_by_label("变量 1", exact=True)).to_have_value("name={{ name }}\ntime={{ time }}")
    _save(form)
    expect(page.locator(".dialog:visible")).to_have_count(0)

    token = deployment.token()
    read = deployment.call("GET", "/api/v2/templates/appointment", token=token)
    assert read["languages"]["zh"]["sms"]["providers"] == {
        "aliyun": {"template": "SMS_100000003", "variables": {"name": "{{ name }}", "time": "{{ time }}"}}
    }
    published = deployment.call("POST", "/api/v2/templates/appointment/publish", {"version": 1}, token=token)
    assert published["errorCode"] == 0
    page.goto("/send?template=appointment")
    expect(page.get_by_label("已存的模板")).to_have_value("appointment")
    expect(page.locator(".recipients-field")).to_have_attribute("placeholder", re.compile("13800138000"))
    assert deployment.call("DELETE", "/api/v2/templates/appointment", token=token)["errorCode"] == 0
