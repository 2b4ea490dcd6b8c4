"""What the command prints, in Chinese: `phrases.zh.json` has each English line with its translation."""

import json
import re
from functools import cache
from pathlib import Path

from imsg.api import language

FILE = Path(__file__).with_name("phrases.zh.json")

_PLACE = re.compile(r"\{(\d)\}", re.ASCII)


def translate(line: str) -> str:
    """Return a line in the language of the shell; one that the file does not have stays as it is."""
    return find_chinese(line) if language() == "zh" else line


def find_chinese(line: str) -> str:
    """Return a line in Chinese, with the values that it has; one that the file does not have as it is."""
    phrases, patterns = _read()
    if line in phrases:
        return phrases[line]
    for pattern, chinese in patterns:
        if match := pattern.fullmatch(line):
            return chinese.format(*match.groups())
    return line


@cache
def _read() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Return the lines without places, and of the others a pattern each: the one with the most words first."""
    texts: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    with_places = sorted(filter(_PLACE.search, texts), key=lambda english: -len(_PLACE.sub("", english)))
    return texts, [(_make_pattern(english), texts[english]) for english in with_places]


def _make_pattern(english: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\d\})", english)
    return re.compile("".join("(.*?)" if _PLACE.fullmatch(part) else re.escape(part) for part in parts), re.DOTALL)
