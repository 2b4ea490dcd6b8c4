"""The send form: recipients in any form, errors at once, and a sent message followed to its end."""

import io
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from playwright.sync_api import Page, expect

from imsg_channels import METHODS
from imsg_console.message.snippets import KEY_PLACE
from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PATIENCE_MS, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.command_line import VERB_TIMEOUT_S
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import choose, copy_by, log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

WITH_UNDO_MS = 30_000 + PATIENCE_MS
"""How long a message to many may take: for 30 s of them it can be taken back."""

ZH, EN = Look("zh", DESK), Look("en", PHONE)


def address() -> str:
    """Return an address that no other test writes to."""
    return f"reader-{secrets.token_hex(4)}@example.com"


def open_form(visit: Visits, look: Look = ZH, username: str = "", **query: str) -> Visit:
    """Open the form, as the administrator or as a user."""
    seen = visit(look)
    log_in(seen, username or "admin", PASSWORD if username else "123")
    open_page(seen.page, "/send?" + "&".join(f"{name}={value}" for name, value in query.items()))
    expect(seen.page.locator(".send-button")).to_be_visible()
    return seen


def write(page: Page, text: str) -> None:
    """Type recipients, letter by letter."""
    page.locator(".recipients-field").press_sequentially(text)


def paste(page: Page, text: str) -> None:
    """Paste recipients."""
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.focus(".recipients-field")
    page.keyboard.press("ControlOrMeta+V")


def recipients(page: Page) -> list[str]:
    """Return those that are shown and fine."""
    return page.locator(".recipient-text").all_inner_texts()


@pytest.mark.parametrize("look", [ZH, EN], ids=lambda look: look.name)
def test_recipients_are_judged_as_they_are_typed(visit: Visits, look: Look) -> None:
    seen = open_form(visit, look)
    page = seen.page
    write(page, "zhang@exam")
    said = {"zh": "不是完整的邮箱", "en": "is not a whole e-mail address"}[look.language]
    expect(page.locator("#recipients-hint")).to_have_text(said)
    write(page, "ple.com，li@example.com；zhang@example.com, oops@, 13800138000, nobody-here\n")
    expect(page.locator(".recipient-text")).to_have_text(["zhang@example.com", "li@example.com"])
    expect(page.locator(".recipients-wrong .problem-text")).to_have_text(["oops@", "13800138000", "nobody-here"])
    expect(page.locator(".recipients-ignored .problem")).to_contain_text(["zhang@example.com"])  # the duplicate
    counted = {"zh": "读到 6，采用 2，忽略 4", "en": "6 read, 2 used, 4 ignored"}[look.language]
    expect(page.locator(".recipients-counts")).to_have_text(counted)
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("send-wrong")

    page.locator(".send-button").click()
    expect(page.locator(".send-trouble")).to_contain_text("3")
    remove, correct = {"zh": ("移除", "改正"), "en": ("Remove", "Correct")}[look.language]
    page.get_by_role("button", name=f"{remove} oops@").click()
    expect(page.locator(".recipients-wrong .problem-text")).to_have_text(["13800138000", "nobody-here"])
    page.get_by_role("button", name=f"{correct} 13800138000").click()
    page.get_by_role("textbox", name=f"{correct} 13800138000").fill("wang@example.com")
    seen.axe()
    page.keyboard.press("Enter")
    expect(page.locator(".recipient-text")).to_have_text(["zhang@example.com", "li@example.com", "wang@example.com"])
    is_whole = "texts => texts.every(text => text.scrollWidth <= text.clientWidth)"
    assert page.locator(".recipient-text").evaluate_all(is_whole)
    page.locator(".recipients-wrong > .button").click()
    expect(page.locator(".recipients-wrong")).to_be_hidden()


def test_a_click_on_send_waits_for_the_recipient_that_was_typed_last(deployment: Deployment, visit: Visits) -> None:
    seen = open_form(visit, username=deployment.new_user())
    page = seen.page
    page.locator(".field-subject input").fill("开会")
    page.locator(".field-text textarea").fill("下午两点半")
    page.locator(".recipients-field").fill(address())
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_have_text("全部 1 条已有结果")


def test_ten_thousand_are_pasted_and_a_list_sent_left_and_found_again(visit: Visits) -> None:
    seen = open_form(visit)
    page = seen.page
    unique = secrets.token_hex(4)
    paste(page, "\n".join(f"reader{number}.{unique}@example.com" for number in range(10_000)))
    expect(page.locator(".recipients-summary")).to_contain_text("10000 个收件人")
    assert len(recipients(page)) == 10
    page.get_by_label("在列表中查找").fill("reader9999")
    expect(page.locator(".recipient-text")).to_have_text([f"reader9999.{unique}@example.com"])
    page.locator(".recipient").get_by_role("button").click()
    expect(page.locator(".send-button")).to_contain_text("9999")
    page.get_by_role("button", name="全部清除").click()
    expect(page.locator(".recipients-summary")).to_be_hidden()

    paste(page, ",".join(f"reader{number}.{unique}@example.com" for number in range(300)))
    page.locator(".field-subject input").fill(f"群发 {unique}")
    page.locator(".field-text textarea").fill("您好")
    page.locator(".send-button").click()
    page.locator(".confirm-button").click()
    expect(page.locator(".sent-said")).to_contain_text("300")
    page.goto("/mine")
    page.get_by_role("button", name=re.compile(unique)).click()
    page.get_by_role("link", name="发送进度").click()
    expect(page.locator(".sent-said")).to_have_text("全部 300 条已有结果", timeout=WITH_UNDO_MS)
    seen.axe()
    seen.shoot("sent-many")
    with page.expect_download() as download:
        page.get_by_role("button", name="下载 recipients.txt").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == 300


def test_a_file_of_gbk_gives_the_column_that_holds_addresses(visit: Visits) -> None:
    seen = open_form(visit)
    page = seen.page
    content = "姓名,邮箱,<b>部门\n张三,zhang@example.com,研发\n李四,li@example.com,市场\n".encode("gbk")
    chooser = page.locator(".upload-list input[type=file]")
    chooser.set_input_files({"name": "名单<b>.csv", "mimeType": "text/csv", "buffer": content})
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("名单<b>.csv：收件人在哪一列？")
    expect(dialog.locator("td[class*=table-chosen-]")).to_have_text(["zhang@example.com", "li@example.com"])
    seen.axe()
    seen.shoot("send-file")
    dialog.get_by_role("button", name="导入 2 个").click()
    expect(page.locator(".recipient-text")).to_have_text(["zhang@example.com", "li@example.com"])

    chooser.set_input_files({"name": "名单.xlsx", "mimeType": "text/csv", "buffer": b"PK\x03\x04"})
    expect(page.get_by_role("alert").filter(has_text="名单.xlsx 读不出来")).to_be_visible()
    chooser.set_input_files({"name": "照片.png", "mimeType": "image/png", "buffer": b"\x89PNG"})
    expect(page.get_by_role("alert").filter(has_text="照片.png 不是表格")).to_be_visible()
    chooser.set_input_files({"name": "大.csv", "mimeType": "text/csv", "buffer": b"a" * (5 * 1024 * 1024 + 1)})
    expect(page.get_by_role("alert").filter(has_text="大.csv 超过 5 MiB")).to_be_visible()
    chooser.set_input_files({"name": "短行.csv", "mimeType": "text/csv", "buffer": b"a\n" * 2_600_000})
    expect(page.get_by_role("alert").filter(has_text="短行.csv 太大：最多 50,000 行")).to_be_visible()
    paste(page, "a\n" * 100_000)
    expect(page.get_by_role("alert").filter(has_text="粘贴的内容 太大：最多 50,000 行")).to_be_visible()
    expect(page.locator(".recipient-text")).to_have_text(["zhang@example.com", "li@example.com"])


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE, dark=True)], ids=lambda look: look.name)
def test_three_hundred_rows_of_excel_are_accounted_for(visit: Visits, look: Look) -> None:
    seen = open_form(visit, look, method="sms")
    page = seen.page
    rows = [f"员工{n}\t研发部\t{13800138000 + n}\treader{n}@example.com" for n in range(300)]
    rows[0], rows[5], rows[7] = "员工0\t研发部\t1380013800\t", "员工5\t研发部\t1.38E+10\t", "员工7\t研发部\t\t"
    paste(page, "\r\n".join(["姓名\t部门\t手机\t邮箱", *rows, rows[8]]))
    counted = {"zh": "读到 302，采用 297，忽略 5", "en": "302 read, 297 used, 5 ignored"}[look.language]
    expect(page.locator(".recipients-counts")).to_have_text(counted)
    expect(page.locator(".recipients-wrong .problem-text")).to_have_text(["1380013800", "1.38E+10"])
    expect(page.locator(".recipients-ignored .problem-text")).to_have_text(
        ["姓名 部门 手机 邮箱", "员工7 研发部", "13800138008"]
    )
    expect(page.locator(".recipient-label").first).to_have_text("员工1 研发部 reader1@example…")
    expect(page.locator(".recipient-label")).to_have_count(10)
    page.get_by_label({"zh": "在列表中查找", "en": "Find in the list"}[look.language]).fill("员工299")
    expect(page.locator(".recipient-label")).to_have_text(["员工299 研发部 reader299@exa…"])
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("send-excel")
    copy = {"zh": "复制", "en": "Copy"}[look.language]
    text = copy_by(page, page.locator(".recipients-wrong").get_by_role("button", name=copy))
    why = {"zh": "不是手机号", "en": "is not a phone number"}[look.language]
    assert text.startswith(f"1380013800\t{why}")


def test_a_workbook_gives_the_column_of_the_sheet_that_was_chosen(visit: Visits) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        book.add_worksheet("说明").write(0, 0, "给全体员工")
        people = book.add_worksheet("名单")
        people.write_row(0, 0, ["姓名", "手机", "邮箱"])
        people.write_row(1, 0, ["张三", 13800138000, "zhang@example.com"])
        people.write_row(2, 0, ["李四", 13900139000])
    seen = open_form(visit, method="sms")
    page = seen.page
    chooser = page.locator(".upload-list input[type=file]")
    chooser.set_input_files({"name": "通讯录.xlsx", "mimeType": XLSX, "buffer": out.getvalue()})
    dialog = page.get_by_role("dialog")
    choose(page, dialog.get_by_label("工作表"), "名单")
    expect(dialog.locator("td[class*=table-chosen-]")).to_have_text(["13800138000", "13900139000"])
    seen.axe()
    seen.shoot("send-workbook")
    dialog.get_by_role("button", name="导入 2 个").click()
    expect(page.locator(".recipient-text")).to_have_text(["13800138000", "13900139000"])
    expect(page.locator(".recipient-label")).to_have_text(["张三 zhang@example.com", "李四"])


def test_a_sheet_with_titles_and_two_columns_of_phones_shows_what_is_read(visit: Visits) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.merge_range(0, 0, 0, 2, "三年级二班家长联系表")
        for at, row in enumerate((["姓名", "家长手机", "手机"], ["张三", 13711112222, 13800138000]), 2):
            sheet.write_row(at, 0, row)
    seen = open_form(visit, method="sms")
    page = seen.page
    page.locator(".upload-list input[type=file]").set_input_files(
        {"name": "家长.xlsx", "mimeType": XLSX, "buffer": out.getvalue()}
    )
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("checkbox", name="第 3 行是列名")).to_be_checked()
    note = dialog.get_by_role("status")
    expect(note).to_contain_text("手机、家长手机 都有收件人，只导入 手机")
    seen.axe()
    seen.shoot("send-two-columns")
    choose(page, dialog.get_by_label("收件人所在的列"), "所有列")
    expect(note).to_have_count(0)
    expect(dialog.get_by_role("button", name="导入 2 个")).to_be_visible()
    choose(page, dialog.get_by_label("收件人所在的列"), "手机（13800138000）")
    dialog.get_by_role("button", name="导入 1 个").click()
    expect(page.locator(".recipient-text")).to_have_text(["13800138000"])


def test_the_path_marks_the_current_step(visit: Visits) -> None:
    seen = open_form(visit)
    page, step = seen.page, seen.page.locator(".steps [aria-current=step]")
    expect(step).to_have_text("收件人")
    page.locator(".recipients-field").press_sequentially("li@example.com\n")
    expect(step).to_have_text("内容")
    page.locator(".field-subject input").fill("开会")
    page.locator(".field-text textarea").fill("下午两点半")
    expect(step).to_have_text("检查")
    page.locator(".field-subject input").fill("")
    expect(step).to_have_text("内容")


def test_a_mail_with_html_and_dropped_files_arrives_as_previewed(deployment: Deployment, visit: Visits) -> None:
    seen = open_form(visit, username=deployment.new_user())
    page, to = seen.page, address()
    seen.complaints.expect(r"/_console/bodies/|Blocked script execution")  # what its frame refuses the hostile mail
    write(page, f"{to}\n")
    subject = f"<img src=x onerror=window.ran=1> {secrets.token_hex(4)}"
    page.locator(".field-subject input").fill(subject)
    page.locator(".send-form .q-toggle").click()
    html = "<h1>您好</h1><script>top.ran=1</script><img src=x onerror='top.ran=1'>"
    page.locator(".field-html textarea").fill(html)
    page.evaluate(
        """() => {
            const files = new DataTransfer();
            files.items.add(new File(['a'.repeat(2000)], '合同 <b>最终版.pdf'));
            const drag = (name, at) =>
              at.dispatchEvent(new DragEvent(name, {dataTransfer: files, bubbles: true, cancelable: true}));
            drag('dragover', document.querySelector('.drop'));
            new MutationObserver((_, seen) => {
              const at = document.querySelector('.drop .q-uploader__dnd');
              if (at) seen.disconnect(), drag('drop', at);
            }).observe(document.querySelector('.drop'), {childList: true, subtree: true});
        }"""
    )
    expect(page.locator(".attachment-name")).to_have_text("合同 <b>最终版.pdf")
    expect(page.locator(".preview-subject")).to_have_text(subject)
    expect(page.frame_locator(".body-frame").get_by_role("heading")).to_have_text("您好")
    assert page.locator(".body-frame").get_attribute("sandbox") == ""
    seen.axe()
    seen.shoot("send-html")
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_have_text("全部 1 条已有结果")
    mail = deployment.wait_arrived(to=to)
    assert (mail["subject"], [file["filename"] for file in mail["attachments"]]) == (subject, ["合同 <b>最终版.pdf"])
    assert "<h1>您好</h1>" in mail["html"]
    assert page.evaluate("window.ran") is None
    page.get_by_role("link", name="照此再写一条").click()
    expect(page.locator(".field-subject input")).to_have_value(subject)


def test_an_sms_is_counted_as_typed_and_as_the_api_counts_it(deployment: Deployment, visit: Visits) -> None:
    seen = open_form(visit, Look("en", DESK), username=deployment.new_user(), method="sms")
    page = seen.page
    write(page, "13800138000, 139 0013 9000\n")
    text = "明天下雨，请带伞。" * 7
    page.locator(".field-words textarea:visible").fill(f"{text} see www.example.com")
    expect(page.get_by_role("status").filter(has_text="must not hold a link")).to_be_visible()
    page.locator(".field-words textarea:visible").fill(text)
    expect(page.locator(".bubble")).to_have_text(re.compile(f"^【天存】.*{text}"))
    expect(page.locator(".send-button")).to_contain_text("2 recipients (4 SMS)")
    seen.axe()
    seen.shoot("send-sms")
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_have_text("All 2 are settled")
    (message, *_) = deployment.messages(page.url.rpartition("/")[2].partition("?")[0])
    assert message["segments"] == 2


def test_what_the_api_refuses_is_named_at_the_recipient(deployment: Deployment, visit: Visits) -> None:
    seen = open_form(visit, Look("en", DESK), username=deployment.new_user())
    page, name = seen.page, f"nobody-{secrets.token_hex(3)}"
    write(page, f"{address()}, {name}\n")
    page.locator(".field-subject input").fill("hello")
    page.locator(".send-button").click()
    expect(page.locator(".q-field--error")).to_contain_text("Enter what you want to say.")
    page.locator(".field-text textarea").fill("hello")
    page.locator(".send-button").click()
    expect(page.locator(".send-trouble")).to_contain_text("Nothing was sent")
    expect(page.locator(".problem")).to_contain_text(f"{name}no e-mail address, and no such user")
    page.get_by_role("button", name="Remove them").click()
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_have_text("It is settled")


def test_used_up_limits_are_shown_before_and_after(deployment: Deployment, visit: Visits) -> None:
    user = deployment.new_user(per_hour=1)
    token = deployment.token(user, PASSWORD)
    body = {"token": token, "method": "smtp", "to": address(), "content": {"subject": "a", "text": "b"}}
    assert deployment.call("POST", "/api/send", body)["errorCode"] == 0
    seen = open_form(visit, username=user)
    page = seen.page
    expect(page.locator(".send-side .notice")).to_contain_text("配额已用完")
    expect(page.locator(".limit").first).to_contain_text("还剩 0 次，共 1 次")
    write(page, f"{address()}\n")
    page.locator(".field-subject input").fill("a")
    page.locator(".field-text textarea").fill("b")
    page.locator(".send-button").click()
    expect(page.locator(".send-trouble")).to_contain_text("没有发送")
    page.goto("/limits")
    expect(page.locator(".limits-cards .bar-bad")).to_have_count(1)
    seen.axe()
    seen.shoot("limits-used-up")


def test_the_lines_that_the_page_shows_run_as_they_are_copied(
    deployment: Deployment, visit: Visits, tmp_path: Path
) -> None:
    user = deployment.new_user()
    made = {"username": user, "name": "page", "kind": "live", "scopes": ["send:smtp", "query"]}
    key = deployment.call("POST", "/api/v2/keys", {**made, "token": deployment.token()})["key"]
    seen = open_form(visit, username=user)
    page, to = seen.page, address()
    write(page, f"{to}\n")
    page.locator(".field-subject input").fill("引号'\"$HOME`id`")
    page.locator(".field-text textarea").fill("第一行\n第二行 </code><script>window.ran=1</script>")
    expect(page.locator(".send-side")).to_contain_text("第一行")  # it grows by that, and the button goes down
    page.locator(".send-button").click()
    expect(page.locator(".sent-said")).to_have_text("全部 1 条已有结果")
    for language, command in (("curl", ["sh"]), ("Python", [sys.executable])):
        page.get_by_role("tab", name=language).click()
        copied = copy_by(page, page.get_by_role("button", name=f"复制 {language} 代码")).replace(KEY_PLACE, key)
        script = tmp_path / f"lines-{language}"
        script.write_text(copied, encoding="utf-8")
        run = [*command, str(script)]
        done = subprocess.run(run, capture_output=True, timeout=VERB_TIMEOUT_S, check=True, text=True)
        assert re.search(r'"errorCode": ?0|settled', done.stdout), done.stdout
    results: list[dict[str, Any]] = []

    def are_all_known() -> bool:
        results[:] = deployment.call("GET", "/api/query", token=deployment.token(), username=user)["messages"]
        return len(results) == 3

    wait(are_all_known)  # history hears of what was accepted a moment later
    assert [message["content"] for message in results] == [results[0]["content"]] * 3
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("method", METHODS)
def test_each_channel_has_its_form(visit: Visits, method: str) -> None:
    page = open_form(visit, method=method).page
    expect(page.locator(".send-button")).to_be_visible()
    expect(page.locator(".recipients-field")).to_have_attribute("placeholder", re.compile("."))
    expect(page.locator("#recipients-hint")).not_to_be_empty()
