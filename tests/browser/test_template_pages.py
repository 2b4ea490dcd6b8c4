"""A template in the page: written with a mistake that is named, mended, previewed and published."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in

Visits = Callable[..., Visit]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_a_template_is_written_previewed_and_published(deployment: Deployment, visit: Visits, look: Look) -> None:
    seen = visit(look)
    log_in(seen, deployment.new_user(), "correct horse")
    page, name = seen.page, f"page-{'phone' if look.width == PHONE else 'desk'}"
    page.goto("/templates")
    page.wait_for_function("window.socket && window.socket.connected")
    page.get_by_role("button", name="新建模板", exact=True).click()
    dialog = page.locator(".dialog:visible")
    dialog.get_by_label("名称", exact=True).fill(name)
    dialog.get_by_label("主题", exact=True).fill("{{ name }}，您好")
    dialog.get_by_label("正文", exact=True).fill("您的号码\n {% if a %}是 {{ a }}")
    seen.axe()
    dialog.get_by_role("button", name="保存", exact=True).click()
    expect(dialog).to_contain_text("第 2 行第 5 列")
    dialog.get_by_label("正文", exact=True).fill("您的号码是 {{ number }}。")
    dialog.get_by_role("button", name="保存", exact=True).click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name=f"预览 {name}").click()
    dialog.get_by_label("number", exact=True).fill("42")
    dialog.get_by_role("button", name="预览", exact=True).click()
    expect(dialog).to_contain_text("您的号码是 42。")
    seen.axe()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"{name} 的更多操作").click()
    page.get_by_text("发布", exact=True).last.click()
    dialog.get_by_role("button", name="发布", exact=True).click()
    expect(page.locator("body")).to_contain_text("第 1 版")
    assert not scrolls_sideways(page)
