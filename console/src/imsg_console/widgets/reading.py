"""Reads a file or a pasted text for the open page."""

from typing import Any

from nicegui import ui

from imsg_console.readers import Reader
from imsg_console.view import View


async def run_reader(view: View, reader: Reader, content: bytes, *arguments: Any) -> list[Any]:  # noqa: ANN401  JSON
    """Return the pieces of a reader; it is cancelled with the page. Raises UnreadableError."""
    return await view.readers.run(view.session.key, ui.context.client.id, reader, content, *arguments)
