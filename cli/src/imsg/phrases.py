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
    phrases, with_places = _read()
    if line in phrases:
        return phrases[line]
    for words, chinese in with_places:
        if (values := _find_values(words, line)) is not None:
            return chinese.format(*values)
    return line


@cache
def _read() -> tuple[dict[str, str], list[tuple[list[str], str]]]:
    """Return the lines without places, and of the others the words around them: the one with the most words first."""
    texts: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    with_places = sorted(filter(_PLACE.search, texts), key=lambda english: -len(_PLACE.sub("", english)))
    return texts, [(_PLACE.split(english)[::2], texts[english]) for english in with_places]


def _find_values(words: list[str], line: str) -> list[str] | None:
    """Return what stands between the words, None where the line has other ones."""
    first, *between, last = words
    values = []
    at, end = len(first), len(line) - len(last)
    if not (line.startswith(first) and line.endswith(last)):
        return None
    for word in between:
        found = line.find(word, at, end)
        if found < 0:
            return None
        values.append(line[at:found])
        at = found + len(word)
    return [*values, line[at:end]] if at <= end else None
