"""How a message will look: a mail with its frame, an SMS as a bubble, a WeChat message as a card."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.features.send.attachments import Attachment
from imsg_console.features.send.templates import Template
from imsg_console.sanitize import block, line
from imsg_console.view import View
from imsg_console.widgets.elements import element, icon, redraw
from imsg_console.widgets.facts import write_size
from imsg_console.widgets.html_frame import body_frame

_SIGNATURE = re.compile("^【[^【】]*】")

SHOWN = 4_000
"""Characters of a text that a preview shows."""


class Preview:
    """Draws a message, and again when it has changed."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._html = ""
        self._kept = ""
        with ui.column().classes("preview") as self._place:
            self._plain = element("div")
            self._frame = ui.column().classes("tight")

    def show_mail(self, content: dict[str, str], to: Sequence[str], files: Sequence[Attachment]) -> None:
        """Show a mail."""
        t = self._t
        with redraw(self._plain), ui.column().classes("tight"):
            element("strong", "preview-subject wrap-anywhere", line(content["subject"]) or t("send.no_subject"))
            element("p", "muted wrap-anywhere", self._describe_recipients(to))
            if content["text"] or "html" not in content:
                element("div", "preview-text", block(content["text"], SHOWN) or t("send.no_text"))
            if files:
                with element("ul", "stack tight"):
                    for file in files:
                        with element("li"):
                            icon("attach_file")
                            element("span", "wrap-anywhere", f"{line(file.name, 80)} · {write_size(len(file.content))}")
        self._show_html(content.get("html", ""))

    def _describe_recipients(self, to: Sequence[str]) -> str:
        if not to:
            return self._t("send.to_nobody")
        first = line(to[0], 60)
        return self._t("send.to_whom", to=first) if len(to) == 1 else self._t("send.to_many", to=first, n=len(to))

    def show_template(
        self, answer: Mapping[str, Any], to: Sequence[str], files: Sequence[Attachment], signature: str = ""
    ) -> None:
        """Show what a template becomes: the answer of POST /api/v2/templates/<name>/preview.

        An SMS goes with the signature of the sender, if there is one, in place of its own.
        """
        content = answer["content"]
        if "subject" in content:
            self.show_mail({"text": "", **{name: text for name, text in content.items() if text}}, to, files)
            return
        with redraw(self._plain), element("div", "preview-phone"):
            if to:
                element("p", "muted wrap-anywhere", self._describe_recipients(to))
            for text in answer["texts"][:1]:  # of the provider that is tried first
                values = content["providers"][text["provider"]].get("variables", {})
                words = text["text"] or "\n".join(f"{name}: {value}" for name, value in values.items())
                if signature:
                    words = f"【{signature}】" + _SIGNATURE.sub("", words)
                element("p", "bubble", block(words, SHOWN))
        self._show_html("")

    def show_sms(self, template: Template | None, params: dict[str, str]) -> None:
        """Show an SMS as it arrives."""
        with redraw(self._plain), element("div", "preview-phone"), element("p", "bubble"):
            self._draw_text(template, params)
        self._show_html("")

    def show_wechat(self, template: Template | None, params: dict[str, str]) -> None:
        """Show a WeChat template message."""
        t = self._t
        with redraw(self._plain), element("div", "preview-phone"), ui.column().classes("tight"):
            element("strong", "", t("send.wechat_title"))
            with element("p"):
                self._draw_text(template, params)
            element("p", "muted", t("send.wechat_foot"))
        self._show_html("")

    def _draw_text(self, template: Template | None, params: dict[str, str]) -> None:
        pieces = template.pieces(params) if template else [(text, True) for text in params.values()]
        if not any(own and text.strip() for text, own in pieces):
            pieces = [(text, own) for text, own in pieces if not own]
            pieces.append((f" {self._t('send.no_words')}", True))
        for text, own in pieces:
            element("span", "own" if own else "template-words", block(text, SHOWN))

    def _show_html(self, html: str) -> None:
        """Show the HTML in its frame, again only when it has changed: a frame flickers."""
        if html == self._html:
            return
        self._html = html
        self._frame.clear()
        if self._kept:
            self._view.bodies.forget(self._kept)  # each change keeps another body
            self._kept = ""
        if html:
            with self._frame:
                element("p", "field-label", self._t("send.html_preview"))
                frame = body_frame(self._view, html, self._t("send.html_preview"))
                element("p", "field-hint", self._t("send.html_hint"))
            self._kept = str(frame.props["src"]).rpartition("/")[2]
