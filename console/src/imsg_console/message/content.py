"""The content of a message: text as text, HTML in a sandboxed frame, attachments by name and size."""

from collections.abc import Mapping
from typing import Any

import nh3
from nicegui import ui

from imsg_console.message.summary import read_params, text
from imsg_console.sanitize import block, line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, icon, redraw
from imsg_console.widgets.facts import draw_facts, write_size
from imsg_console.widgets.html_frame import body_frame

SHOWN = 10_000
"""Characters that are shown at once; a text may have a million."""

STYLES = frozenset({
    "background-color", "border", "border-collapse", "border-radius", "color", "font-family", "font-size", "font-style",
    "font-weight", "height", "letter-spacing", "line-height", "margin", "margin-bottom", "margin-left", "margin-right",
    "margin-top", "max-width", "padding", "padding-bottom", "padding-left", "padding-right", "padding-top",
    "text-align", "text-decoration", "vertical-align", "width",
})  # fmt: skip
"""Properties that lay out a mail and fetch nothing."""

ATTRIBUTES: Mapping[str, set[str]] = {
    "*": {"align", "bgcolor", "border", "cellpadding", "cellspacing", "color", "dir", "height", "lang", "style"}
    | {"title", "valign", "width"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "font": {"color", "size", "face"},
}

TAGS = (nh3.ALLOWED_TAGS | {"font", "center", "section", "main", "address"}) - {"img", "map", "area"}

SHEET = (
    "<!doctype html><meta charset=utf-8><body style='margin:16px; font:15px/1.6 sans-serif; "
    "color:#1b1b1b; background:#fff; overflow-wrap:anywhere'>"
)


def clean(html: str) -> str:
    """Return a mail's HTML without anything that fetches, runs or submits.

    The frame forbids all of that too; without this the browser's console fills with what the frame has forbidden.
    """
    attributes = {tag: set(names) for tag, names in ATTRIBUTES.items()}
    cleaned = nh3.clean(html, tags=set(TAGS), attributes=attributes, filter_style_properties=set(STYLES), link_rel=None)
    return SHEET + cleaned


def draw_content(view: View, message: Mapping[str, Any]) -> None:
    """Draw the content of a message as history keeps it."""
    content = message["content"]
    if content is None:
        element("p", "muted", view.t("messages.content_gone"))
    elif isinstance(content, dict) and "template" in content and "text" not in content and "html" not in content:
        _draw_template(view, content)
    else:
        html = content.get("html") if isinstance(content, dict) else None
        draw_body(view, text(content), html if isinstance(html, str) else None)
    draw_attachments(view, message["attachments"])


def draw_body(view: View, plain: str, html: str | None) -> None:
    """Draw a text, and the HTML beside it where there is one."""
    t = view.t
    if not html:
        draw_text(view, plain)
        return
    with ui.tabs().props("dense no-caps align=left inline-label") as tabs:
        formatted = ui.tab("html", label=t("messages.content_html"))
        if plain:
            ui.tab("text", label=t("messages.content_plain"))
    with ui.tab_panels(tabs, value=formatted):
        with ui.tab_panel("html"):
            body_frame(view, clean(html), t("messages.content_frame"))
            element("p", "muted small", t("messages.content_html_hint"))
        if plain:
            with ui.tab_panel("text"):
                draw_text(view, plain)


def draw_text(view: View, plain: str) -> None:
    """Draw a text, its beginning first where it is long."""
    shown = element("div", "body-text", block(plain, SHOWN))
    if len(plain) <= SHOWN:
        return
    with element("p", "muted small") as cut:
        element("span", "", view.t("messages.content_cut", n=SHOWN))

        def more() -> None:
            with redraw(shown):
                element("span", "", block(plain, len(plain)))
            cut.delete()

        button(view.t("messages.content_more"), more, kind="quiet")


def draw_attachments(view: View, files: list[Mapping[str, Any]]) -> None:
    """Draw the names and sizes of attachments."""
    if not files:
        return
    t = view.t
    with attrs(element("ul", "line"), aria_label=t("messages.attachments")):
        for file in files:
            with element("li", "line file"):
                icon("attach_file")
                element("bdi", "file-name", line(file["filename"], 255))
                element("span", "muted", write_size(int(file["size"])))


def _draw_template(view: View, content: Mapping[str, Any]) -> None:
    element("p", "", f"{view.t('messages.template')} {line(content.get('template'))}")
    if params := read_params(content):
        draw_facts((line(name), line(value, 1000)) for name, value in params.items())
