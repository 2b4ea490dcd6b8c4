"""The sentences of the page, from the catalogues (`zh.po`, `en.po`) of every folder."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from imsg_console.preferences import LANGUAGES, Language
from imsg_console.texts import catalogues

SOURCES = Path(__file__).parents[1]


class Texts:
    """The sentences of one language: `t("users.title")`. Fields in braces are filled in; `n` chooses the plural."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._sentences = read_sentences(language)

    def __call__(self, key: str, /, **fields: object) -> str:
        """Return the sentence. Raises KeyError where there is none, which is a bug."""
        forms = self._sentences[key]
        # Chinese has one form. An `n` with separators is never one.
        text = forms[0] if fields.get("n") in (1, "1") else forms[-1]
        return text.format_map(fields) if fields else text

    def join(self, *sentences: str) -> str:
        """Join sentences, without empty ones. Chinese has no space after a full stop."""
        return ("" if self.language == "zh" else " ").join(filter(None, sentences))

    def join_names(self, names: Iterable[str]) -> str:
        """Join names to a list inside a sentence."""
        return ("、" if self.language == "zh" else ", ").join(names)

    def get(self, key: str, default: str) -> str:
        """Return the sentence of a key that came from outside, such as an error's code; the default where none is."""
        return self(key) if key in self._sentences else default


def in_every_language(key: str) -> tuple[str, ...]:
    """Return a sentence in every language, to recognise it in a file of another language."""
    return tuple(Texts(language)(key) for language in LANGUAGES.values())


def find_catalogues(language: Language) -> list[Path]:
    """List every catalogue of a language."""
    return sorted(SOURCES.rglob(f"{language}.po"))


@cache
def read_sentences(language: Language) -> Mapping[str, catalogues.Forms]:
    """Read the catalogues of a language, once in a process."""
    return {key: forms for path in find_catalogues(language) for key, forms in catalogues.read(path).items()}
