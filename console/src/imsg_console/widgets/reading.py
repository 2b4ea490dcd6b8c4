"""What a person hands in on a page, read within the bounds of `readers`."""

from typing import Any

from nicegui import ui

from imsg_console.readers import Reader
from imsg_console.view import View


async def run_reader(view: View, reader: Reader, content: bytes, *asked: Any) -> list[Any]:  # noqa: ANN401  JSON
    """Return a reader's pieces; it ends with the page. Raises UnreadableError."""
    return await view.readers.run(view.session.key, ui.context.client.id, reader, content, *asked)
