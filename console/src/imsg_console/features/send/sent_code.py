"""The code that sends the same as a request, for curl, Python and Java."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from nicegui import ui

from imsg_console.message import snippets
from imsg_console.message.code_tabs import draw_code, read_base_url
from imsg_console.message.snippets import SentRequest
from imsg_console.message.summary import is_template
from imsg_console.view import View
from imsg_console.widgets.elements import button, element, link_to
from imsg_console.widgets.notices import notice


class SentCode:
    """Draws the code of a request, and the file of its recipients where they are many."""

    def __init__(self, view: View, request: Mapping[str, Any]) -> None:
        self._view, self._request = view, request

    async def draw(self) -> None:
        """Draw it. Raises ApiError."""
        t, api, request = self._view.t, self._view.api, self._request
        element("p", "muted", t("sent.lines_what", key=snippets.KEY_PLACE))
        link_to(t("sent.make_key"), "/keys", "vpn_key").classes("button")
        if request["content"] is None:
            notice(t("sent.content_gone"), "info")
            return
        messages = (await api.get("/api/v2/messages", id=request["id"], limit=snippets.LONG_LIST + 1))["messages"]
        sent = SentRequest(
            read_base_url(),
            request["method"],
            [str(message["to"]) for message in messages if message["to"] is not None],  # else erased
            request["content"],
            [str(attachment["filename"]) for attachment in request["attachments"]],
            category=str(request["category"] or "notice"),
        )
        if sent.is_long:
            with ui.row():
                button(t("sent.list_file", name=snippets.LIST_FILE), self._download, symbol="download")
                element("span", "muted", t("sent.list_file_what"))
        if sent.files:
            element("p", "muted", t("sent.files_what"))
        if is_template(request["content"]):
            element("p", "muted", t("sent.template_code"))
        draw_code(self._view, sent)

    def _download(self) -> None:
        address = self._view.files.offer(
            self._view.session.key, snippets.LIST_FILE, "text/plain; charset=utf-8", self._write_recipients
        )
        ui.navigate.to(address)

    async def _write_recipients(self) -> AsyncIterator[bytes]:
        async for page in self._view.api.pages("/api/v2/messages", "messages", id=self._request["id"]):
            yield "".join(f"{message['to']}\n" for message in page).encode()
