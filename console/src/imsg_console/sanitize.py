"""Other people's text made fit to be shown: nothing in it turns the line around, hides, or breaks it."""

import re

_BREAKS = re.compile(r"[\r\n\t\v\f\u0085\u2028\u2029]+")
_HIDDEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""Control characters, and Unicode's own that reorder a line or take no room."""


def line(text: object, most: int = 200) -> str:
    """Make one line of it, of at most so many characters."""
    flat = _HIDDEN.sub(_name_hidden, _BREAKS.sub(" ", str(text or ""))).strip()
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def block(text: object, most: int = 20_000) -> str:
    """Keep its lines, and at most so many characters."""
    kept = _HIDDEN.sub(_name_hidden, re.sub(r"\r\n?|[\v\f\u0085\u2028\u2029]", "\n", str(text or "")))
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def _name_hidden(found: re.Match[str]) -> str:
    return f"[U+{ord(found[0]):04X}]"
