"""Files of suppressions: their headings are found, and who has none is read by the first column."""

import pytest

from imsg_console.features.suppressions import sheet
from imsg_console.spreadsheets import decode, split
from imsg_console.texts import Texts

ZH, EN = Texts("zh"), Texts("en")


def parse(t: Texts, text: str) -> sheet.SuppressionSheet:
    return sheet.read(t, split(decode(text.encode())), "smtp", "opt_out")


@pytest.mark.parametrize("t", [ZH, EN], ids=["zh", "en"])
@pytest.mark.parametrize("title", ["", "退订名单\n", "退订名单,,\n", "退订名单（2026 年）,,\n,,\n", "地址,,\n"])
@pytest.mark.parametrize("heading", ["备注,地址,原因", "Note,Address,Reason", "note,to,reason"])
def test_headings_of_either_language_are_found_below_a_title(t: Texts, title: str, heading: str) -> None:
    read = parse(t, f"{title}{heading}\nx,a@example.com,complaint\ny,b@example.com,\n")
    assert read.problems == []
    assert [(address, fields["reason"], fields["note"]) for fields, address in read.rows] == [
        ("a@example.com", "complaint", "x"),
        ("b@example.com", "opt_out", "y"),
    ]


def test_addresses_alone_need_no_heading() -> None:
    assert [address for _, address in parse(ZH, "a@example.com\nb@example.com\n").rows] == [
        "a@example.com",
        "b@example.com",
    ]
