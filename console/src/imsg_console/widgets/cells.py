"""What a cell of a table holds: texts, links, chips, meters and buttons, as data that the table's template draws."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_console.sanitize import split_address
from imsg_console.texts import Texts
from imsg_console.widgets.bars import tone
from imsg_console.widgets.chips import METHODS, STATES, describe_status, explain_status, method_name

Piece = Mapping[str, Any]
"""One thing in a cell. Its text is text: nothing of it is read as HTML."""

Cell = str | Piece | Sequence[Piece | Sequence[Piece]] | None
"""A piece, or the lines of the cell, each a piece or several side by side."""


def text(value: object, classes: str = "", *, icon: str = "", title: str = "") -> Piece:
    """Make a text; `title` is its tooltip."""
    return {"text": str(value), "classes": classes, "icon": icon, "title": title}


def muted(value: object) -> Piece:
    """Make a small text below another."""
    return text(value, "muted small")


def link(value: str, target: str, rows: int | None = None) -> Piece:
    """Make a link to a page; `rows` is how many it opens, where its text is a number. Tests compare them."""
    return {"text": value, "href": target, "rows": rows}


def chip(value: str, icon: str = "", tone: str = "calm", *, title: str = "") -> Piece:
    """Make a chip: tone `calm`, `info`, `good`, `warn` or `bad`."""
    return {"text": value, "icon": icon or None, "tone": tone, "title": title}


def status(t: Texts, name: str, count: str = "", *, simulated: bool = False) -> Piece:
    """Make the chip of a message's status, with how many there are."""
    label, icon, color = describe_status(t, name, simulated=simulated)
    title = explain_status(t, name, simulated=simulated)
    return chip(f"{label} {count}" if count else label, icon, color, title=title)


def state(t: Texts, name: str) -> Piece:
    """Make the chip of a channel's or a provider's state."""
    icon, color = STATES.get(name, ("help", "calm"))
    return chip(t.get(f"words.state_{name}", name), icon, color)


def method(t: Texts, name: str) -> Piece:
    """Make a method of sending with its symbol."""
    return text(method_name(t, name), icon=METHODS.get(name, "send"))


def symbol(piece: Piece) -> Piece:
    """Show a text's symbol alone; the text is its tooltip, and what screen readers read."""
    return {**piece, "classes": "muted symbol", "title": piece["text"]}


def meter(label: str, used: int, limit: int) -> Piece:
    """Make a bar that shows how much of a limit is used."""
    share = min(1.0, used / limit) if limit else 1.0
    return {"meter": f"{used:,} / {limit:,}", "text": label, "share": share, "level": tone(used, limit)}


def button(action: str, label: str, name: str = "", *, icon: str = "", kind: str = "") -> Piece:
    """Make a button that starts one of the table's actions; `name` is what it is called beside other rows' buttons."""
    return {"action": action, "text": label, "name": name or None, "icon": icon or None, "kind": kind}


def menu(name: str, *entries: Piece) -> Piece:
    """Make a button that opens a menu of buttons."""
    return {"menu": list(entries), "name": name}


def lines(cell: Cell) -> list[list[Piece]]:
    """Return a cell in the template's form: lines of pieces.

    Fields that are None are left out: Quasar draws an icon that is null.
    """
    if not cell:
        return []
    if isinstance(cell, str):
        cell = text(cell)
    if isinstance(cell, Mapping):
        cell = [cell]
    pieces = [[line] if isinstance(line, Mapping) else line for line in cell]
    return [[_prepare(piece) for piece in line] for line in pieces]


def _prepare(piece: Piece) -> Piece:
    prepared = {name: value for name, value in piece.items() if value is not None}
    if parts := split_address(str(piece.get("text", ""))):
        prepared["parts"] = parts
    return prepared
