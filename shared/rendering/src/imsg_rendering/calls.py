"""The function that the process with bounds runs: JSON in, JSON out."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from imsg_rendering.problems import TemplateError
from imsg_rendering.templates import Template


def inspect(content: bytes) -> bytes:
    """Return what the template takes, or what is wrong with it."""
    try:
        template = _compile(content)
    except TemplateError as error:
        return json.dumps({"problem": asdict(error.problem)}).encode()
    return json.dumps({"params": [asdict(param) for param in template.params]}).encode()


def render(content: bytes, rows: list[Mapping[str, str]]) -> bytes:
    """Return the content of each row of params, or what is wrong with it."""
    try:
        template = _compile(content)
    except TemplateError as error:
        return json.dumps([{"problem": asdict(error.problem)} for _ in rows]).encode()
    return json.dumps([_render(template, row) for row in rows]).encode()


def answer(content: bytes, call: str, *arguments: Any) -> bytes:  # noqa: ANN401  JSON
    """Make a call."""
    return inspect(content) if call == "inspect" else render(content, *arguments)


@lru_cache(maxsize=32)
def _compile(content: bytes) -> Template:
    return Template(json.loads(content))


def _render(template: Template, params: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {"content": template.render(params)}
    except TemplateError as error:
        return {"problem": asdict(error.problem)}
