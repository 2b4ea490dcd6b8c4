"""Suppressions in the page: added, found, imported from a workbook and a GBK file, removed."""

import io
import secrets
from collections.abc import Callable

import pytest
import xlsxwriter
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page

Visits = Callable[..., Visit]

ADD = {"zh": "添加", "en": "Add"}
IMPORT = {"zh": "导入", "en": "Import"}
REMOVE = {"zh": "移除", "en": "Remove"}
REMOVE_ALL_THE_SAME = {"zh": "移除", "en": "Remove"}
METHOD_AND_ADDRESS = {"zh": ("发送方式", "地址", "短信"), "en": ("Channel", "Address", "SMS")}


def make_files(language: str) -> dict[str, tuple[str, bytes]]:
    """Make the same two rows as a workbook and as Excel's Chinese CSV: a number of the SMS kind, and no address."""
    method, address, sms = METHOD_AND_ADDRESS[language]
    first, second = (f"136{secrets.randbelow(10**8):08d}" for _ in range(2))
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet("退订名单")
        for at, row in enumerate(((method, address), (sms, first), (sms, "不是号码"))):
            sheet.write_row(at, 0, row)
    text = f"{method},{address}\r\n{sms},{second}\r\n{sms},不是号码\r\n"
    return {first: ("退订名单.xlsx", out.getvalue()), second: ("退订名单.csv", text.encode("gb18030"))}


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_who_wants_nothing_is_added_imported_found_and_removed(
    deployment: Deployment, visit: Visits, look: Look
) -> None:
    language, address = look.language, f"left-{look.language}@firm.cn"
    seen = visit(look)
    page = log_in(seen, "admin", "123")
    open_page(page, "/suppressions")
    page.get_by_role("button", name=ADD[language], exact=True).click()
    dialog = page.locator(".dialog:visible")
    dialog.locator("input[type=text]:visible").first.fill(address)
    seen.axe()
    dialog.get_by_role("button", name=ADD[language], exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".data-table")).to_contain_text(address)

    for number, (name, content) in make_files(language).items():
        open_page(page, "/suppressions")
        page.get_by_role("button", name=IMPORT[language], exact=True).click()
        chooser = page.locator(".dialog:visible input[type=file]")
        chooser.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})
        dialog = page.locator(".dialog:visible")
        expect(dialog).to_contain_text("不是号码")
        seen.axe()
        dialog.locator(".button-main").last.click()
        expect(page.locator(".data-table").first).to_contain_text(number)
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("suppressions")

    open_page(page, f"/suppressions?to={address}")
    page.get_by_role("button", name=REMOVE[language]).first.click()
    page.locator(".dialog:visible").get_by_role("button", name=REMOVE_ALL_THE_SAME[language]).click()
    expect(page.locator(".data-table")).to_be_hidden()
    kept = deployment.call("GET", "/api/v2/suppressions", {"token": deployment.token()}, to=address)
    assert kept["suppressions"] == []
