"""The words of messages by templates, as they were sent: rendered when a client reads them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_contract.templates import LIQUID, is_template
from imsg_contract.wire import Recipient
from imsg_rendering.problems import Problem
from imsg_rendering.renderer import Renderer


@dataclass(frozen=True, slots=True)
class Unrendered:
    """A content that is still to be rendered for a message."""

    content: Mapping[str, Any]
    recipient: Recipient


def read_content(content: Any, params: str | None) -> Any:  # noqa: ANN401  any JSON
    """Return a message's content, or an Unrendered one; `params` is what is kept of the recipient."""
    if not is_template(content):
        return content
    own = {} if params is None else json.loads(params)
    return Unrendered(content, Recipient.model_validate({"n": 0, "to": "", "address": "", **own}))


def show_request(content: str | None) -> Any:  # noqa: ANN401  any JSON
    """Return a request's content, of a template its name, version and params."""
    shown: Any = None if content is None else json.loads(content)
    return {name: shown[name] for name in shown if name != LIQUID} if is_template(shown) else shown


async def render_messages(messages: Sequence[dict[str, Any]], renderer: Renderer | None) -> None:
    """Replace unrendered contents, in place, by the words that were sent; without a renderer by their params."""
    by_content: dict[int, list[dict[str, Any]]] = {}
    for message in messages:
        if isinstance(unrendered := message.get("content"), Unrendered):
            by_content.setdefault(id(unrendered.content), []).append(message)
    for some in by_content.values():
        content, recipients = some[0]["content"].content, [message["content"].recipient for message in some]
        words = [Problem("value", "", "")] * len(some)
        rendered = words if renderer is None else await renderer.render_for(content, recipients)
        for message, rendered_content, recipient in zip(some, rendered, recipients, strict=True):
            if isinstance(rendered_content, Problem):
                params = {**content["params"], **(recipient.params or {})}
                message["content"] = {"template": content["template"], "version": content["version"], "params": params}
            else:
                message["content"] = rendered_content
                message["subject"] = rendered_content.get("subject")
