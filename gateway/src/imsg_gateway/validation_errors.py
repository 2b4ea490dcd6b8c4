"""Refusals of a request's fields, each with its sentence in both languages."""

from collections.abc import Iterable
from difflib import get_close_matches

from imsg_contract.errors import Refusal

MAX_SHOWN = 64
"""Characters of a client's own word that an answer repeats."""


def content_wrong(zh: str, en: str) -> Refusal:
    """Refuse `content` (10009)."""
    return Refusal("content_shape", why_zh=zh, why_en=en)


def attachment_wrong(zh: str, en: str) -> Refusal:
    """Refuse `attachment` (10010)."""
    return Refusal("attachment_shape", why_zh=zh, why_en=en)


def recipients_wrong(zh: str, en: str) -> Refusal:
    """Refuse `to` (10011)."""
    return Refusal("recipients_invalid", why_zh=zh, why_en=en)


def field_wrong(field: str, zh: str, en: str) -> Refusal:
    """Refuse a field that has no code of its own (10017)."""
    return Refusal("wrong_type", field=field, why_zh=zh, why_en=en)


def field_unknown(field: str, known: Iterable[str]) -> Refusal:
    """Refuse a field that nothing reads (10017), naming the one that was probably meant, or all that there are.

    `field` may be a path, `content.txt`; the names in `known` are those at its end.
    """
    above, _, name = field.rpartition(".")
    names = sorted(known)
    near = get_close_matches(name[:MAX_SHOWN].lower(), names, n=1)
    shown = field.replace("\0", "")[:MAX_SHOWN]
    if near:
        meant = f"{above}.{near[0]}" if above else near[0]
        zh, en = f"；您要写的大概是 {meant}", f"; you probably mean {meant}"
    elif names:
        zh, en = f"；可用的有：{'、'.join(names)}", f"; there are: {', '.join(names)}"
    else:
        zh, en = "；这个接口不需要参数", "; nothing is read here"
    return Refusal("unknown_field", field=shown, meant_zh=zh, meant_en=en)
