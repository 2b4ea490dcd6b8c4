"""What an administrator changes of a user in the page, the API shows."""

import io
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import python_calamine
import xlsxwriter
from playwright.sync_api import Download, expect

from imsg_testing.browser import Visit
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import choose, log_in, open_page

Visits = Callable[..., Visit]

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def test_recipients_a_day_are_set_with_a_new_user_changed_and_lifted(deployment: Deployment, visit: Visits) -> None:
    seen, name = visit(), f"李四{secrets.token_hex(3)}"
    page = log_in(seen)

    def limit() -> int | None:
        recipients_per_day: int | None = deployment.call("GET", f"/api/v2/users/{name}", token=deployment.token())[
            "recipients_per_day"
        ]
        return recipients_per_day

    page.goto("/users")
    page.get_by_role("button", name="新建用户").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("用户名").first.fill(name)
    dialog.get_by_label("每天收件人").fill("200")
    dialog.get_by_role("button", name="创建用户").click()
    expect(page.get_by_role("dialog").filter(has_text=name)).to_be_visible()
    assert limit() == 200

    for typed, then in (("3000", 3_000), ("", None)):
        page.goto(f"/users?search={name}")
        page.get_by_role("button", name=f"修改 {name}").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("每天收件人").fill(typed)
        dialog.get_by_role("button", name="保存").click()
        expect(page.get_by_text("已保存").first).to_be_visible()
        assert limit() == then


def test_who_may_send_codes_is_set_in_the_form_and_offered_codes_in_the_send_form(
    deployment: Deployment, visit: Visits
) -> None:
    """Others are not offered them; a sender that does not exist is refused, and a code to two recipients."""
    admin, name = visit(), f"王五{secrets.token_hex(3)}"
    page = log_in(admin)
    page.goto("/users")
    page.get_by_role("button", name="新建用户").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("用户名").first.fill(name)
    password = dialog.get_by_label("密码").first.input_value()
    dialog.get_by_role("switch", name="可发验证码").click()
    senders = dialog.get_by_label("可用的发件人与签名")
    senders.fill("shop，news")
    dialog.get_by_role("button", name="创建用户").click()
    expect(dialog).to_contain_text("没有名为 news 的发件人")
    senders.fill("")
    dialog.get_by_role("button", name="创建用户").click()
    expect(page.get_by_role("dialog").filter(has_text=name)).to_be_visible()
    made = deployment.call("GET", f"/api/v2/users/{name}", token=deployment.token())
    assert made["may_send_codes"]

    seen = visit()
    page = log_in(seen, name, password)
    open_page(page, "/send")
    choose(page, page.get_by_label("用途"), "验证码")
    page.locator(".recipients-field").press_sequentially("a@example.com, b@example.com,")
    page.locator(".field-subject input").fill("登录验证码")
    page.locator(".field-text textarea").fill("482913")
    page.locator(".send-button").click()
    expect(page.get_by_text("验证码一次只能发给一个收件人").first).to_be_visible()


def test_a_workbook_of_users_goes_out_and_comes_in_again(visit: Visits, tmp_path: Path) -> None:
    seen, unique = visit(), secrets.token_hex(3)
    page = log_in(seen)
    page.goto("/users")
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["姓名", "用户名", "手机", "邮箱"])
        sheet.write_row(1, 0, ["王小明", f"xiaoming-{unique}", 13_900_000_000 + secrets.randbelow(90_000_000)])
        sheet.write_row(2, 0, ["李四", f"lisi-{unique}", "1.39E+10", "李四@"])
    page.get_by_role("button", name="导入").first.click()
    dialog = page.get_by_role("dialog")
    chooser = dialog.locator("input[type=file]").last
    chooser.set_input_files({"name": "照片.png", "mimeType": "image/png", "buffer": b"\x89PNG"})
    expect(page.get_by_role("alert").filter(has_text="照片.png 不是表格")).to_be_visible()
    chooser.set_input_files({"name": "用户.xlsx", "mimeType": XLSX, "buffer": out.getvalue()})
    expect(dialog.get_by_text("1 行可以导入。")).to_be_visible()
    expect(dialog.get_by_text("不认识的列，已忽略：姓名")).to_be_visible()
    expect(dialog.locator(".import-problems")).to_contain_text(f"lisi-{unique}")
    seen.axe()
    seen.shoot("users-import-xlsx")
    dialog.get_by_role("button", name="导入 1 个用户").click()
    expect(dialog.get_by_text("新建 1 个。")).to_be_visible()
    with page.expect_download() as downloading:
        dialog.get_by_role("link", name="下载结果").click()
    result = rows_of(downloading.value, tmp_path / "result.xlsx")
    assert [(row["用户名"], bool(row["密码"])) for row in result] == [
        (f"xiaoming-{unique}", True),
        (f"lisi-{unique}", False),
    ]
    page.goto(f"/users?search=xiaoming-{unique}")
    page.get_by_role("button", name="导出", exact=True).click()
    expect(page.get_by_role("button", name="Excel（.xlsx）")).to_be_visible()
    seen.axe()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Excel（.xlsx）").click()
    (row,) = rows_of(downloading.value, tmp_path / "users.xlsx")
    assert (row["用户名"], row["手机"][:3]) == (f"xiaoming-{unique}", "139")  # text: eleven digits stay


def rows_of(download: Download, place: Path) -> list[dict[str, Any]]:
    """Read the first sheet of a workbook."""
    download.save_as(place)
    with python_calamine.CalamineWorkbook.from_path(place) as book:
        heading, *rows = book.get_sheet_by_index(0).to_python()
    return [dict(zip(map(str, heading), row, strict=True)) for row in rows]
