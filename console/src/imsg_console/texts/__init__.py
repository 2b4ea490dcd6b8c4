"""Every sentence of the page, in Chinese and English: a module per page, one pair per key."""

import importlib
from collections.abc import Mapping

from imsg_console.preferences import Language

Table = Mapping[str, tuple[str, str]]
"""Key → (Chinese, English). English may be `one message|{n} messages`: the first where n is 1."""


class Texts:
    """Speaks one language. `texts("users.title")` is `TITLE` of texts/users.py; fields in braces are filled in."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._tables: dict[str, Table] = {}

    def __call__(self, key: str, /, **fields: object) -> str:
        """Return the sentence. Raises KeyError where there is none: a bug of the page."""
        module, _, name = key.partition(".")
        zh, en = self.table(module)[name]
        text = zh if self.language == "zh" else _numbered(en, fields)
        return text.format_map(fields) if fields else text

    def both(self, key: str) -> tuple[str, str]:
        """Return a sentence in both languages, to recognise it."""
        module, _, name = key.partition(".")
        return self.table(module)[name]

    def get(self, key: str, default: str) -> str:
        """Return the sentence of a key that came from outside, such as an error's code; the default where none is."""
        module, _, name = key.partition(".")
        return self(key) if name in self.table(module) else default

    def table(self, module: str) -> Table:
        """Return the pairs of a page."""
        if module not in self._tables:
            self._tables[module] = importlib.import_module(f"{__name__}.{module}").TEXTS
        return self._tables[module]


def _numbered(en: str, fields: Mapping[str, object]) -> str:
    if "|" not in en or "n" not in fields:
        return en
    one, many = en.split("|", 1)
    return one if fields["n"] in (1, "1") else many
