"""Refusals of a request's fields, each with its sentence in both languages."""

from imsg_contract.errors import Refusal


def content_wrong(zh: str, en: str) -> Refusal:
    """Refuse `content` (10009)."""
    return Refusal("content_shape", why_zh=zh, why_en=en)


def attachment_wrong(zh: str, en: str) -> Refusal:
    """Refuse `attachment` (10010)."""
    return Refusal("attachment_shape", why_zh=zh, why_en=en)


def recipients_wrong(zh: str, en: str) -> Refusal:
    """Refuse `to` (10011)."""
    return Refusal("recipients_invalid", why_zh=zh, why_en=en)
