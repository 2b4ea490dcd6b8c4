"""The languages that templates are written in, by name."""

from imsg_console.sanitize import line
from imsg_console.texts import Texts

OFFERED = ("zh", "en", "zh-HK", "zh-TW", "ja", "ko", "fr", "de", "es", "ru", "ar")
"""The languages that are offered, beside those that a template has."""


def name_language(t: Texts, tag: str) -> str:
    """Return a language's name with its tag; the tag alone where it has no name."""
    name = t.get(f"words.language_{tag}", "")
    return f"{name} · {tag}" if name else line(tag, 16)
