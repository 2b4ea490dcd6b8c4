"""Every sentence exists in both languages, and every sentence that is used exists."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from imsg_console.preferences import Language
from imsg_console.texts import SOURCES, Texts, catalogues, find_catalogues, read_sentences

QUESTION = ("title", "text", "action", "done")
FOLDERS = sorted(path.parent for path in SOURCES.rglob("zh.po"))
CHINESE = re.compile("[\u3400-\u9fff]")
JOINED = re.compile(r"[\u3400-\u9fff][A-Za-z0-9{+]|[A-Za-z0-9}%][\u3400-\u9fff]")
"""A Chinese character with no space between it and a Latin letter, a digit, or what is filled in."""
CHINESE_FIELDS = re.compile(r"\{(by|channel|fault|method|range)\}|获取我的openID")
"""What is filled in with Chinese, so that no space belongs there; and what WeChat's button says."""
NAMES = ("获取我的openID", "切换到中文", "中文")
"""What is Chinese in English too: a button that WeChat shows, and the way to the other language."""


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_sentence_stands_in_both_languages(folder: Path) -> None:
    zh, en = _sentences(folder, "zh"), _sentences(folder, "en")

    assert zh.keys() == en.keys()
    assert [key for key in zh if any(bool(form.strip()) != bool(zh[key][0].strip()) for form in en[key])] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_both_languages_fill_in_the_same(folder: Path) -> None:
    zh, en = _sentences(folder, "zh"), _sentences(folder, "en")
    wrong = [key for key, forms in en.items() if not all(_fields(form) <= _fields(zh[key][0]) for form in forms)]

    assert wrong == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_key_stands_in_one_catalogue(language: Language) -> None:
    keys = [key for folder in FOLDERS for key in _sentences(folder, language)]

    assert sorted(keys) == sorted(read_sentences(language))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_english_is_english(folder: Path) -> None:
    def rest(sentence: str) -> str:
        for name in NAMES:
            sentence = sentence.replace(name, "")
        return sentence

    forms = _sentences(folder, "en")
    assert [key for key, said in forms.items() if any(CHINESE.search(rest(form)) for form in said)] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_chinese_is_set_as_chinese_is(folder: Path) -> None:
    """您 throughout, and a space between Chinese and Latin letters or digits."""
    said = {key: CHINESE_FIELDS.sub("", forms[0]) for key, forms in _sentences(folder, "zh").items()}

    assert [key for key, sentence in said.items() if "你" in sentence] == []
    assert [key for key, sentence in said.items() if JOINED.search(sentence)] == []


def test_every_sentence_that_is_asked_for_exists() -> None:
    assert {key for key in _list_asked() if key not in read_sentences("zh")} == set()


def test_every_list_field_and_question_has_its_sentences() -> None:
    """Tables ask for what an empty list says, forms for the labels of their fields, deletions for a question."""
    keys = read_sentences("zh")

    assert [key for key in _list_described() if key not in keys] == []


def test_every_family_of_sentences_that_is_asked_for_exists() -> None:
    """`t(f"words.status_{name}")` finds nothing where no key begins so; which of them exist, a page's own test says."""
    keys = read_sentences("zh")

    assert {start for start in _list_families() if not any(key.startswith(start) for key in keys)} == set()


def test_one_is_singular_and_many_are_plural() -> None:
    t = Texts("en")

    assert (t("overview.all", n=1), t("overview.all", n="2")) == ("1 message", "2 messages")


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_our_reader_reads_what_babel_reads(folder: Path, language: Language) -> None:
    assert folder / f"{language}.po" in find_catalogues(language)
    assert catalogues.read(folder / f"{language}.po") == _sentences(folder, language)


@pytest.mark.parametrize(
    "entry",
    [
        'msgid "a"\nmsgstr "open',
        'msgid "a"',
        'msgid "a"\nmsgctxt "b"\nmsgstr "c"',
        'msgid "a"\nmsgid_plural "a"\nmsgstr "c"',
        'msgid "a"\nmsgid_plural "a"\nmsgstr[1] "c"',
        '"a"',
    ],
)
def test_what_is_no_catalogue_of_ours_is_refused_by_name(entry: str, tmp_path: Path) -> None:
    (tmp_path / "zh.po").write_text(entry)

    with pytest.raises(ValueError, match=r"zh\.po"):
        catalogues.read(tmp_path / "zh.po")


def test_a_sentence_may_stand_on_several_lines_and_have_all_that_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "zh.po").write_text('# said\nmsgid "a"\nmsgstr ""\n"one\\n"\n"\\ttwo \\"three\\" \\\\\\\\n"\n')

    assert catalogues.read(tmp_path / "zh.po") == {"a": ('one\n\ttwo "three" \\\\n',)}


def _sentences(folder: Path, language: Language) -> Mapping[str, tuple[str, ...]]:
    """Return what a catalogue says by key, in each of its forms."""
    catalogue = _catalogue(folder, language)
    assert not [error for _, errors in catalogue.check() for error in errors]
    return {_key(entry): _forms(entry) for entry in catalogue if entry.id}


def _forms(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (str(message.string),)


def _catalogue(folder: Path, language: Language) -> Catalog:
    with (folder / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def _key(message: Message) -> str:
    return str(message.id[0] if message.pluralizable else message.id)


def _fields(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)", sentence))


def _list_keys() -> Iterator[ast.expr]:
    """Yield what texts are asked for in code."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _is_texts(node.func):
                yield node.args[0]


def _list_asked() -> Iterator[str]:
    """Yield what code asks for by a whole name: `t("users.title")`."""
    for key in _list_keys():
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and "." in key.value:
            yield key.value


def _list_families() -> Iterator[str]:
    """Yield the prefixes of composed names: `words.status_`."""
    for key in _list_keys():
        if isinstance(key, ast.JoinedStr) and isinstance(key.values[0], ast.Constant):
            yield str(key.values[0].value)


def _list_described() -> Iterator[str]:
    """Yield what `PagedTable`, `FieldMaker` and `ask_to_delete` ask for by the beginnings of names."""
    for module in SOURCES.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        named = [(getattr(call.func, "id", ""), call) for call in calls]
        for name, call in named:
            if name == "PagedTable":
                given = {keyword.arg: keyword.value for keyword in call.keywords}
                has_filters = isinstance(given.get("filters"), ast.List)  # else there may be none
                endings = ("empty", "none") if has_filters else ("empty",)
                for word in _list_words(given["texts"]):
                    yield from (f"{word}.{ending}_{part}" for ending in endings for part in ("title", "text"))
            elif name == "ask_to_delete":
                yield from (f"{word}_{part}" for word in _list_words(call.args[2]) for part in QUESTION)
        for start in {word for name, call in named if name == "FieldMaker" for word in _list_words(call.args[1])}:
            makes = [call for name, call in named if name == "make" and call.args]
            yield from (f"{start}{word}" for call in makes for word in _list_words(call.args[0]))


def _list_words(value: ast.expr) -> list[str]:
    return [node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _is_texts(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("t", "_t", "texts", "_texts")
