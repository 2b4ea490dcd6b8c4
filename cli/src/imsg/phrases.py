"""What the command prints, in Chinese: `phrases.zh.json` has the words of each line with their translation."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from imsg.api import language
from imsg_runtime.lines import Line

FILE = Path(__file__).with_name("phrases.zh.json")


def translate(line: str) -> str:
    """Return a line in the language of the shell; a line that the file lacks is returned unchanged."""
    return find_chinese(line) if language() == "zh" else line


def find_chinese(line: str) -> str:
    """Return a line in Chinese, and so the lines among its values; words that the file does not have stay."""
    if not isinstance(line, Line) or not line.values:
        return _read().get(line, line)
    values = [find_chinese(value) if isinstance(value, str) else value for value in line.values]
    return _read().get(line.words, line.words).format(*values)


@cache
def _read() -> Mapping[str, str]:
    texts: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    return texts
