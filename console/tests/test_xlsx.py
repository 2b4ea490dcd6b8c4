"""Workbooks that are written: whole, in order, and nothing in them runs."""

import io
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import python_calamine

from imsg_console.widgets import xlsx
from imsg_console.widgets.xlsx import TooManyRowsError

Rows = Sequence[Sequence[object]]


async def batches(*rows: Rows) -> AsyncIterator[Rows]:
    for batch in rows:
        yield batch


async def test_text_stays_text_and_numbers_are_numbers() -> None:
    rows = [["=1+1", "+8613800138000", 5, None], ["http://example.com", "007", 0, "下午\n两点\udcff"]]
    content = b"".join([piece async for piece in xlsx.stream(["甲", "乙", "丙", "丁"], batches(rows[:1], rows[1:]))])
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
        read = book.get_sheet_by_index(0).to_python()
    assert read == [
        ["甲", "乙", "丙", "丁"],
        ["=1+1", "+8613800138000", 5.0, ""],
        ["http://example.com", "007", 0.0, "下午\n两点?"],
    ]
    assert b"<f>" not in content


async def test_too_many_rows_are_refused_and_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = [["a"]] * (xlsx.MAX_ROWS // 2 + 1)
    with pytest.raises(TooManyRowsError):
        assert [piece async for piece in xlsx.stream(["甲"], batches(rows, rows))] == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208  what is left, however it is called
