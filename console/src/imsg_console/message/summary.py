"""What a message says, in a line: its subject, or how its text begins."""

from collections.abc import Mapping
from typing import Any

from imsg_console.sanitize import line

MAX_TITLE = 120


def title(message: Mapping[str, Any]) -> str:
    """Return a message's subject, else the beginning of its text; empty where its content was erased."""
    if message["subject"] and not is_template(message["content"]):
        return line(message["subject"], MAX_TITLE)
    return line(text(message["content"]), MAX_TITLE)


def is_template(content: object) -> bool:
    """Return whether a request's content is a template that users keep: its subject is written with params."""
    return isinstance(content, dict) and "version" in content


def text(content: object) -> str:
    """Return the text of a content: its own, or its template with the values."""
    if isinstance(content, str):
        return content
    if not isinstance(content, dict):
        return ""
    if isinstance(content.get("text"), str):
        return str(content["text"])
    values = "，".join(f"{name}: {value}" for name, value in read_params(content).items())
    return f"{content.get('template', '')} {values}".strip()


def read_params(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of a content by a template, of a user's own those that its first provider gets."""
    providers = content.get("providers")
    if isinstance(providers, dict) and providers:
        content = {"params": next(iter(providers.values())).get("variables")}
    params = content.get("params")
    return params if isinstance(params, dict) else {}
