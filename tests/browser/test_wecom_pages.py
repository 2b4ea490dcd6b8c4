"""A channel with a generated form in the page: its form and its tab of the sandbox."""

import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page

Visits = Callable[..., Visit]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_text_goes_out_by_a_robot_and_is_read_in_the_sandbox(visit: Visits, look: Look) -> None:
    text = f"磁盘已满 {secrets.token_hex(3)}"
    seen = visit(look)
    page = log_in(seen, "admin", "123")
    open_page(page, "/send?method=wecom")
    expect(page.locator(".methods")).to_contain_text({"zh": "企业微信群", "en": "WeCom group"}[look.language])
    page.locator(".recipients-field").press_sequentially("Sandbox\n")
    expect(page.locator(".recipient-text")).to_have_text(["Sandbox"])
    page.locator(".field-words textarea:visible").fill(text)
    expect(page.locator(".preview")).to_contain_text(text)
    assert not scrolls_sideways(page)
    seen.axe()
    page.locator(".send-button").click()
    page.wait_for_url("**/sent/**")

    open_page(page, "/inbox?tab=wecom")
    page.locator(".split-item", has_text=text).click()
    expect(page.locator(".bubble", has_text=text)).to_have_count(1)
    seen.axe()


def test_markdown_goes_out_as_markdown_and_keeps_what_was_written_as_text(
    deployment: Deployment, visit: Visits
) -> None:
    text = f"**磁盘已满** {secrets.token_hex(3)}"
    seen = visit(Look("zh", DESK))
    page = log_in(seen, "admin", "123")
    open_page(page, "/send?method=wecom")
    page.locator(".recipients-field").press_sequentially("sandbox\n")
    page.locator(".field-words textarea:visible").fill(text)
    page.locator(".field-template:visible").click()
    page.locator(".q-menu .q-item", has_text="Markdown").click()
    expect(page.locator(".q-menu")).to_have_count(0)
    expect(page.locator(".field-words textarea:visible")).to_have_value(text)
    seen.axe()
    page.locator(".send-button").click()
    page.wait_for_url("**/sent/**")
    request = page.url.rpartition("/")[2].partition("?")[0]
    (message,) = deployment.wait_settled(request)
    assert (message["status"], message["content"]) == ("sent", {"markdown": text})
