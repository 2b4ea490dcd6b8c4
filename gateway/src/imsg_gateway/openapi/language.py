"""The OpenAPI document in Chinese: every text by one catalogue, refusals by their own table."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from inspect import getdoc
from typing import Any

from imsg_channels import CHANNELS, METHOD_NAMES
from imsg_contract import error_responses
from imsg_gateway.openapi.references import Json

_REFUSAL = re.compile(r"^- [0-9]{5} `(\w+)`: ")

TEXTS = ("description", "summary")
"""Keys whose value people read."""

DATA = ("example", "examples", "default", "const", "enum")
"""Keys whose values are data, which is not translated."""


def catalogue() -> dict[str, str]:
    """Read the catalogue: a line of English → Chinese; channels bring their own lines."""
    text = files("imsg_gateway").joinpath("reader", "texts.zh.json").read_text(encoding="utf-8")
    texts: dict[str, str] = json.loads(text)
    for channel in CHANNELS:
        texts |= {channel.to.en: channel.to.zh, getdoc(channel.content) or "": channel.content_zh, **channel.chinese}
    return texts


def lines(node: Any) -> set[str]:  # noqa: ANN401  any JSON
    """List the lines that people read of a document, without the refusals."""
    if isinstance(node, list):
        return {line for item in node for line in lines(item)}
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for key, value in node.items():
        if key == "properties":  # names of fields, not keywords
            found |= lines(list(value.values()))
        elif key in TEXTS and isinstance(value, str):
            found |= {line for line in value.split("\n") if line and not _REFUSAL.match(line)}
        elif key not in DATA:
            found |= lines(value)
    return found


def translate(document: Json, texts: Mapping[str, str]) -> Json:
    """Return the document in Chinese; a line that the catalogue lacks stays English."""
    translated: Json = _translate(document, texts)
    return translated


def _translate(node: Any, texts: Mapping[str, str]) -> Any:  # noqa: ANN401  any JSON
    if isinstance(node, list):
        return [_translate(item, texts) for item in node]
    if not isinstance(node, dict):
        return node
    translated: Json = {}
    for key, value in node.items():
        if key == "properties":
            translated[key] = {name: _translate(field, texts) for name, field in value.items()}
        elif key in TEXTS and isinstance(value, str):
            translated[key] = "\n".join(_line(line, texts) for line in value.split("\n"))
        else:
            translated[key] = value if key in DATA else _translate(value, texts)
    return translated


def _line(line: str, texts: Mapping[str, str]) -> str:
    if refusal := _REFUSAL.match(line):
        return error_responses.line(refusal.group(1), METHOD_NAMES, english=False)
    return texts.get(line, line)
