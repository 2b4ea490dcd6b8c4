"""What was sent: the text as text, HTML sealed in a frame, attachments by name and size."""

from collections.abc import Mapping
from typing import Any

import nh3
from nicegui import ui

from imsg_console.message.summary import text
from imsg_console.sanitize import block, line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, icon
from imsg_console.widgets.html_frame import body_frame

SHOWN = 10_000
"""Characters that are shown at once; a text may have a million."""

STYLES = frozenset(
    {
        "background-color",
        "border",
        "border-collapse",
        "border-radius",
        "color",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "height",
        "letter-spacing",
        "line-height",
        "margin",
        "margin-bottom",
        "margin-left",
        "margin-right",
        "margin-top",
        "max-width",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "text-align",
        "text-decoration",
        "vertical-align",
        "width",
    }
)
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


def quiet(html: str) -> str:
    """Leave of a mail's HTML what can be shown without fetching, running or submitting anything.

    The frame forbids all of that too; this keeps the browser from complaining about what it forbids.
    """
    attributes = {tag: set(names) for tag, names in ATTRIBUTES.items()}
    cleaned = nh3.clean(html, tags=set(TAGS), attributes=attributes, filter_style_properties=set(STYLES), link_rel=None)
    return SHEET + cleaned


def content(view: View, message: Mapping[str, Any]) -> None:
    """Draw the content of a message as history has it."""
    given = message["content"]
    if given is None:
        element("p", "muted", view.t("messages.content_gone"))
    elif isinstance(given, dict) and "template" in given:
        _template(view, given)
    else:
        html = given.get("html") if isinstance(given, dict) else None
        body(view, text(given), html if isinstance(html, str) else None)
    attachments(view, message["attachments"])


def body(view: View, plain: str, html: str | None) -> None:
    """Draw a text, and the HTML beside it where there is one."""
    t = view.t
    if not html:
        long_text(view, plain)
        return
    with ui.tabs().props("dense no-caps align=left inline-label").classes("tabs") as tabs:
        formatted = ui.tab("html", label=t("messages.content_html"))
        if plain:
            ui.tab("text", label=t("messages.content_plain"))
    with ui.tab_panels(tabs, value=formatted).classes("tab-panels"):
        with ui.tab_panel("html"):
            body_frame(view, quiet(html), t("messages.content_frame"))
            element("p", "muted small", t("messages.content_html_hint"))
        if plain:
            with ui.tab_panel("text"):
                long_text(view, plain)


def long_text(view: View, plain: str) -> None:
    """Draw a text, its beginning first where it is long."""
    shown = element("div", "body-text", block(plain, SHOWN))
    if len(plain) <= SHOWN:
        return
    with element("p", "muted small") as cut:
        element("span", "", view.t("messages.content_cut", n=SHOWN))

        def more() -> None:
            shown.clear()
            with shown:
                element("span", "", block(plain, len(plain)))
            cut.delete()

        button(view.t("messages.content_more"), more, kind="quiet")


def attachments(view: View, files: list[Mapping[str, Any]]) -> None:
    """Draw the names and sizes of attachments."""
    if not files:
        return
    t = view.t
    with attrs(element("ul", "line files"), aria_label=t("messages.attachments")):
        for file in files:
            with element("li", "line file"):
                icon("attach_file")
                element("bdi", "file-name", line(file["filename"], 255))
                element("span", "muted", size(int(file["size"])))


def size(count: int) -> str:
    """Write a number of bytes as people do."""
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1000 or unit == "MB":  # noqa: PLR2004  so that no number has four digits
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"  # noqa: PLR2004
        amount /= 1024
    return ""


def _template(view: View, given: Mapping[str, Any]) -> None:
    params = given.get("params")
    element("p", "", f"{view.t('messages.template')} {line(given.get('template'))}")
    with element("dl", "facts"):
        for name, value in params.items() if isinstance(params, dict) else ():
            with element("div", "fact"):
                element("dt", "", line(name))
                with element("dd"):
                    element("bdi", "", line(value, 1000))
