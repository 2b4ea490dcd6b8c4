"""Files of reports."""

import csv
import io
from pathlib import Path

import pytest
from openpyxl import load_workbook

from imsg_history.report_files import open_report_file


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+cmd|'/C calc'!A0", "'+1+cmd|'/C calc'!A0"),
        ('-HYPERLINK("http://x")', '\'-HYPERLINK("http://x")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+1-555-123-4567", "'+1-555-123-4567"),
        ("+8613912345678", "+8613912345678"),
        ("-12.5", "-12.5"),
        ("第 3 期", "第 3 期"),
    ],
)
def test_a_spreadsheet_computes_no_text_of_a_csv(text: str, cell: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    written = open_report_file("csv", file, ["reference"], {}, str(tmp_path))
    written.write([{"reference": text}])
    written.close()
    assert list(csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"), newline="")))[1:] == [[cell]]


def test_the_rows_of_an_unfinished_workbook_lie_in_the_folder_given(tmp_path: Path) -> None:
    file = io.BytesIO()
    written = open_report_file("xlsx", file, ["to"], {}, str(tmp_path))
    written.write([{"to": f"{n}@example.com"} for n in range(1_000)])
    assert any(b"@example.com" in kept.read_bytes() for kept in tmp_path.iterdir())
    written.close()
    assert list(tmp_path.iterdir()) == []
    assert load_workbook(file).worksheets[0].max_row == 1_001
