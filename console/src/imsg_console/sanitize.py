"""Makes text of people fit to be shown: nothing in it reverses, hides or breaks a line."""

import re

_BREAKS = re.compile(r"[\r\n\t\v\f\u0085\u2028\u2029]+")
_HIDDEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""Control characters, and Unicode's own that reorder a line or take no room."""

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+|\+?\d{5,20}")
_BEFORE_AT = re.compile("(?=@)")


def line(text: object, max_characters: int = 200) -> str:
    """Return the text as one line of at most `max_characters` characters."""
    flat = _HIDDEN.sub(_name_hidden, _BREAKS.sub(" ", str(text or ""))).strip()
    return flat if len(flat) <= max_characters else f"{flat[: max_characters - 1]}…"


def block(text: object, max_characters: int = 20_000) -> str:
    """Return the text with its lines, at most `max_characters` characters."""
    kept = _HIDDEN.sub(_name_hidden, re.sub(r"\r\n?|[\v\f\u0085\u2028\u2029]", "\n", str(text or "")))
    return kept if len(kept) <= max_characters else f"{kept[: max_characters - 1]}…"


def split_address(text: str) -> list[str]:
    """Return the parts of an address, each of which stays in one line: it breaks before its `@` alone.

    Empty where the text is none: no e-mail address, also behind a name, and no number.
    """
    name, bracket, address = text.rpartition("<")
    is_named = bracket and name and address.endswith(">")
    if not _ADDRESS.fullmatch(address.removesuffix(">") if is_named else text):
        return []
    return [name, *_BEFORE_AT.split(bracket + address)] if is_named else _BEFORE_AT.split(text)


def _name_hidden(match: re.Match[str]) -> str:
    return f"[U+{ord(match[0]):04X}]"
