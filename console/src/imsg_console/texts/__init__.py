"""Every sentence of the page: catalogues (`zh.po`, `en.po`) beside what they are for, compiled when first spoken."""

import gettext
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from imsg_console.preferences import LANGUAGES, Language

SOURCES = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One language, compiled."""

    sentences: gettext.GNUTranslations
    keys: frozenset[str]
    plural: frozenset[str]
    """Those with a form for one and a form for many."""


class Texts:
    """Speaks one language: `texts("users.title")`. Fields in braces are filled in; `n` chooses singular or plural."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._spoken = compile_catalogue(language)

    def __call__(self, key: str, /, **fields: object) -> str:
        """Return the sentence. Raises KeyError where there is none: a bug of the page."""
        if key not in self._spoken.keys:
            raise KeyError(key)
        if key in self._spoken.plural:
            count = 1 if fields.get("n") in (1, "1") else 2  # whoever wrote it with separators has written many
            text = self._spoken.sentences.ngettext(key, key, count)
        else:
            text = self._spoken.sentences.gettext(key)
        return text.format_map(fields) if fields else text

    def get(self, key: str, default: str) -> str:
        """Return the sentence of a key that came from outside, such as an error's code; the default where none is."""
        return self(key) if key in self._spoken.keys else default


def in_every_language(key: str) -> tuple[str, ...]:
    """Return a sentence in every language, to recognise it in a file that somebody made in another one."""
    return tuple(Texts(language)(key) for language in LANGUAGES.values())


def read_catalogues(language: Language) -> Mapping[Path, Catalog]:
    """Read every catalogue of a language, each by its file."""
    read = {}
    for path in sorted(SOURCES.rglob(f"{language}.po")):
        with path.open("rb") as file:
            read[path] = read_po(file, locale=language, abort_invalid=True)
    return read


@cache
def compile_catalogue(language: Language) -> Spoken:
    """Put the catalogues of a language together, once in a process."""
    whole = Catalog(locale=language)
    for one in read_catalogues(language).values():
        for message in one:
            if message.id:
                whole.add(message.id, message.string)
    compiled = io.BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    plural = frozenset(str(message.id[0]) for message in whole if message.pluralizable)
    single = frozenset(str(message.id) for message in whole if message.id and not message.pluralizable)
    return Spoken(gettext.GNUTranslations(compiled), plural | single, plural)
