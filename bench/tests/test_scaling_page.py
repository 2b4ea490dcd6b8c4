"""The tables of docs/scaling.md and of its Chinese twin."""

import re
from pathlib import Path

import pytest

from imsg_bench.excerpt import ROWS
from imsg_bench.scaling_page import PAGE, WORDS_ZH, replace_section, translate, write_tables

MARKS = ("make bench", "sizing", "storage")

FIGURE = r"[\d.,]+(?: (?:[kMGT]i?B|s|ms)|/s)?"

NAMES = {"PostgreSQL", "RabbitMQ", "Valkey", "gateway", "history", "sender-smtp"}


def read_table(page: Path, mark: str) -> str:
    """Return the lines between a page's marks."""
    _, _, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    return rest.partition(f"\n<!-- /{mark} -->")[0]


@pytest.mark.parametrize("mark", MARKS)
def test_the_chinese_page_has_the_tables_of_the_english_one(mark: str) -> None:
    english = read_table(PAGE, mark)

    assert read_table(PAGE.with_suffix(".zh.md"), mark) == translate(english) != english != ""


def test_every_word_of_a_table_has_its_chinese() -> None:
    cells = {cell for mark in MARKS for cell in re.findall(r"(?<=[|×] )[^|×]+(?= \|)", read_table(PAGE, mark))}
    words = {cell for cell in cells if not re.fullmatch(FIGURE, cell)} - NAMES

    assert words | {row.words for row in ROWS if row.words} | {row.against for row in ROWS if row.against} <= set(
        WORDS_ZH
    )


def test_tables_replace_what_stood_between_the_marks_in_both_pages(tmp_path: Path) -> None:
    page, twin = tmp_path / "page.md", tmp_path / "page.zh.md"
    for path in (page, twin):
        path.write_text("above\n<!-- a -->\nold\n<!-- /a -->\nbelow\n")

    write_tables({"a": "| cores |"}, page)

    assert page.read_text() == "above\n<!-- a -->\n| cores |\n<!-- /a -->\nbelow\n"
    assert twin.read_text() == "above\n<!-- a -->\n| 核心 |\n<!-- /a -->\nbelow\n"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="must stand in it once"):
        replace_section("nothing", "a", "new")
