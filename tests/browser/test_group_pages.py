"""Groups in the page: a class of 300 from a sheet as schools keep it, and a message to all of it."""

import io
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter
from playwright.sync_api import FilePayload, expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

WORDS = {
    "zh": {
        "new": "新建通讯组", "name": "名称", "save": "保存", "import": "从表格导入", "read": "识别出 300 人",
        "wrong": "4 行有问题",
        "start": "导入 300 人", "close": "关闭", "send": "发消息", "check": "发送给 300", "keep": "下载这些行",
        "total": "共 300 人", "sms": "短信", "people": "299 个", "rest": "略过这些",
    },
    "en": {
        "new": "New group", "name": "Name", "save": "Save", "import": "Import a sheet", "read": "300 people were read",
        "wrong": "4 rows are wrong", "start": "Import 300 people", "close": "Close", "send": "Send", "keep": "Download",
        "check": "300", "total": "300 members", "sms": "SMS", "people": "299", "rest": "Leave these out",
    },
}  # fmt: skip


def make_class(prefix: str) -> bytes:
    """Make a workbook of a class: merged titles, numbers in every spelling, and four rows that are no person."""
    spellings = ("{}", "+86 {}", "0086{}", "86{}", "{}.0")
    rows: list[list[object]] = [["姓名", "班级", "家长手机", "备注"]]
    for number in range(299):
        phone = f"{prefix}{number:04}"
        dashed = f"{phone[:3]}-{phone[3:7]}-{phone[7:]}"
        text = f"+86 {dashed}" if number % 6 == 5 else spellings[number % 6].format(phone)
        cell: object = int(phone) if number % 7 == 0 else text
        rows.append([f"学生{number}", "三（2）", cell, "第一行\n第二行" if number == 1 else ""])
    rows.append(["学生299", "三（2）", "+852 9123 4567", ""])
    rows += [
        ["缺号", "三（2）", "", ""],
        ["短号", "三（2）", "1380013800", ""],
        ["座机", "三（2）", "010-88886666", ""],
        ["重复", "三（2）", f"{prefix}0000", ""],
        ["合计", "300 人", "", ""],
    ]
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet("三年级二班")
        sheet.merge_range(0, 0, 0, 3, "三年级二班家长联系表")
        sheet.merge_range(1, 0, 1, 3, "制表：王老师 2026-09-01")
        for at, row in enumerate(rows, 2):
            sheet.write_row(at, 0, row)
    return out.getvalue()


def import_class(seen: Visit, name: str, prefix: str) -> None:
    """Make a group, and import the class; the page of its members stays open."""
    page, words = seen.page, WORDS[seen.look.language]
    open_page(page, "/groups")
    page.get_by_role("button", name=words["new"]).first.click()
    dialog = page.locator(".dialog:visible")
    dialog.get_by_label(words["name"], exact=True).fill(name)
    seen.axe()
    dialog.get_by_role("button", name=words["save"]).click()

    page.get_by_role("button", name=words["import"]).click()
    file = FilePayload(name="联系表.xlsx", mimeType="application/octet-stream", buffer=make_class(prefix))
    page.locator(".dialog:visible input[type=file]").set_input_files(file)
    dialog = page.locator(".dialog:visible")
    expect(dialog).to_contain_text(words["read"], timeout=60_000)
    expect(dialog).to_contain_text(words["wrong"])
    for wrong in ("1380013800", "010-88886666", "缺号", "重复"):
        expect(dialog).to_contain_text(wrong)
    expect(dialog.get_by_role("button", name=words["keep"])).to_be_visible()
    seen.axe()
    seen.shoot("group-import")
    dialog.get_by_role("button", name=words["start"]).click()
    expect(page.get_by_text(words["total"])).to_be_visible(timeout=60_000)
    dialog.get_by_role("button", name=words["close"]).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".data-table")).to_contain_text("学生0")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("group-members")


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_class_of_300_is_imported_from_a_sheet_and_gets_a_message(
    deployment: Deployment, visit: Visits, look: Look
) -> None:
    words, name = WORDS[look.language], f"三年级二班 {secrets.token_hex(3)}"
    owner = deployment.new_user(per_hour=100, per_day=100)
    prefix = f"13{secrets.randbelow(10)}{secrets.randbelow(10**4):04d}"
    seen = visit(look)
    page = log_in(seen, owner, PASSWORD)
    import_class(seen, name, prefix)

    page.locator(".button-main").get_by_text(words["send"], exact=True).click()
    page.wait_for_url("**/send?**")
    page.wait_for_function("window.did_handshake && window.imsgDraft")
    page.get_by_role("tab", name=words["sms"]).click()
    expect(page.locator(".send-button")).to_contain_text("300")
    page.locator(".field-words textarea, textarea.field-words").first.fill("周五下午三点开家长会。")
    seen.axe()
    seen.shoot("group-send")
    page.locator(".send-button").click()
    expect(page.locator(".confirm-title")).to_be_visible(timeout=60_000)
    expect(page.locator(".send-confirming")).to_contain_text(name)
    expect(page.locator(".send-confirming")).to_contain_text(words["people"])
    seen.axe()
    seen.shoot("group-check")
    expect(page.locator(".send-confirming")).to_contain_text("+85291234567")
    page.get_by_role("button", name=words["rest"]).click()
    expect(page.locator(".send-confirming")).not_to_contain_text("+85291234567", timeout=60_000)
    page.locator(".confirm-button").click()
    page.wait_for_url("**/sent/*", timeout=60_000)
    request = page.url.rpartition("/")[2].partition("?")[0]
    settled = deployment.wait_settled(request, count=299, within_s=120)  # for 30 s it can be taken back
    assert {message["status"] for message in settled} <= {"sent", "delivered"}


def test_a_message_is_sent_at_the_time_that_the_form_names(deployment: Deployment, visit: Visits) -> None:
    owner = deployment.new_user()
    seen = visit()
    page = log_in(seen, owner, PASSWORD)
    open_page(page, f"/send?method=sms&to=138{secrets.randbelow(10**8):08d}")
    page.locator(".field-words textarea, textarea.field-words").first.fill("周五下午三点开家长会。")
    due = (datetime.now(UTC) + timedelta(days=3)).replace(hour=4, minute=30, second=0, microsecond=0)
    page.locator("input[type=datetime-local]").fill(due.strftime("%Y-%m-%dT%H:%M"))
    seen.axe()
    page.locator(".send-button").click()
    page.wait_for_url("**/sent/*", timeout=60_000)
    request = page.url.rpartition("/")[2].partition("?")[0]
    shown: dict[str, Any] = {}

    def is_known() -> bool:
        shown.update(deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token()))
        return shown.get("state") == "scheduled"

    wait(is_known, 60)
    due_at = datetime.fromisoformat(shown["due_at"])
    assert due_at.astimezone(ZoneInfo(deployment.zone)).strftime("%Y-%m-%d %H:%M") == due.strftime("%Y-%m-%d %H:%M")
