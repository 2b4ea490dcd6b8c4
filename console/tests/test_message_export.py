"""CSV that Excel opens: Chinese whole, and no cell that it would run."""

import csv
import io
from typing import Any

import pytest

from imsg_console.features.messages.export import COLUMNS, MessageSheet
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_console.widgets import csvs
from imsg_console.widgets.csvs import harmless


def make_message(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  as the API answers
    """Make a message."""
    return {
        "id": "01a210c34079764aa87a6b622354f0a2-0",
        "username": "天存-system-1001",
        "method": "smtp",
        "to": "李四@example.com",
        "subject": "开会通知",
        "content": {"subject": "开会通知", "text": "下午\r\n两点半"},
        "attachments": [{"filename": "三季度报表.xlsx"}, {"filename": "b.txt"}],
        "status": "failed",
        "attempts": 1,
        "provider": "smtp",
        "provider_id": None,
        "resend_of": None,
        "error": {"code": "550 5.1.1", "detail": "User unknown"},
        "created_at": "2026-11-25T03:32:41.179Z",
        "updated_at": "2026-11-25T03:32:42.000Z",
        **fields,
    }


def read(text: str) -> list[dict[str, str]]:
    """Read a file as a spreadsheet does."""
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_a_line_holds_what_the_page_shows_in_the_zone_of_the_installation() -> None:
    sheet = MessageSheet(Texts("zh"), TimeFormat("Asia/Shanghai", english=False))
    (line,) = read(csvs.BOM + csvs.line(sheet.heading) + csvs.line(sheet.row(make_message())))
    assert len(line) == len(COLUMNS)
    assert (line["时间"], line["状态"], line["方式"]) == ("2026-11-25 11:32:41", "失败", "邮件")
    assert line["原因"] == "没有这个收件人，邮箱不存在。"
    assert (line["主题"], line["正文"], line["附件"]) == ("开会通知", "下午\r\n两点半", "三季度报表.xlsx；b.txt")


@pytest.mark.parametrize("cell", ["=1+1", "+8613800138000", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_what_a_spreadsheet_would_run_is_shown_as_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


def test_a_formula_in_any_field_is_harmless() -> None:
    evil = '=HYPERLINK("http://evil","x")'
    fields = {"username": evil, "to": evil, "subject": evil, "provider_id": evil, "attachments": [{"filename": evil}]}
    sheet = MessageSheet(Texts("en"), TimeFormat("UTC", english=True))
    row = sheet.row(make_message(**fields, error={"code": evil, "detail": evil}))
    (line,) = read(csvs.BOM + csvs.line(sheet.heading) + csvs.line(row))
    assert sum(value == f"'{evil}" for value in line.values()) == 7


def test_what_is_harmless_stays_as_it_is() -> None:
    assert [harmless(cell) for cell in ("开会", "a=b", 5, None, "")] == ["开会", "a=b", "5", "", ""]
