"""Reads gettext catalogues: the part of the format that the page uses.

Babel would read any catalogue, and brings 34 MB of every language's data that the page never asks for (ADR 30). The
tests hold this reader to Babel's, catalogue by catalogue.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

Forms = tuple[str, ...]
"""What one key says: the sentence, or its forms for one and for many."""

_LINE = re.compile(r'(?:(msgid|msgid_plural|msgstr|msgstr\[\d\]) )?"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def read(path: Path) -> Mapping[str, Forms]:
    """Read a catalogue: key → forms. Raises ValueError with the file and the key or line."""
    return {key: forms for key, forms in _entries(path, path.read_text(encoding="utf-8")) if key}


def _entries(path: Path, text: str) -> Iterator[tuple[str, Forms]]:
    """Yield each key with its forms; the first is the head, whose key is empty."""
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#") or not line:
                continue
            if (match := _LINE.fullmatch(line)) is None or not (match[1] or name):
                raise ValueError(f"{path} can't be read at: {line}")
            name = match[1] or name
            fields[name] = fields.get(name, "") + _ESCAPED.sub(_unescape, match[2])
        if fields:
            yield fields.pop("msgid"), _forms(path, fields)


def _forms(path: Path, fields: dict[str, str]) -> Forms:
    plural = fields.pop("msgid_plural", None)
    wanted = ["msgstr"] if plural is None else [f"msgstr[{n}]" for n in range(len(fields))]
    if list(fields) != wanted or not wanted:
        raise ValueError(f"{path} has an entry with {', '.join(fields) or 'no sentence'}")
    return tuple(fields.values())


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES[match[1]]
