"""Every sentence stands in both languages, and every sentence that is asked for stands somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import imsg_console.texts
from imsg_console.texts import Texts

SOURCES = Path(imsg_console.texts.__file__).parents[1]
MODULES = sorted(path.stem for path in Path(imsg_console.texts.__file__).parent.glob("*.py") if path.stem != "__init__")
CHINESE = re.compile("[\u3400-\u9fff]")
NAMES = ("获取我的openID", "切换到中文", "中文")
"""What is Chinese in English too: a button that WeChat shows, and the way to the other language."""


@pytest.mark.parametrize("module", MODULES)
def test_every_sentence_stands_in_both_languages(module: str) -> None:
    wrong = [key for key, (zh, en) in Texts("zh").table(module).items() if bool(zh.strip()) != bool(en.strip())]

    assert wrong == []


@pytest.mark.parametrize("module", MODULES)
def test_both_languages_fill_in_the_same(module: str) -> None:
    table = Texts("zh").table(module)
    wrong = [key for key, (zh, en) in table.items() if not all(_fields(one) <= _fields(zh) for one in en.split("|"))]

    assert wrong == []


@pytest.mark.parametrize("module", MODULES)
def test_english_is_english(module: str) -> None:
    def rest(sentence: str) -> str:
        for name in NAMES:
            sentence = sentence.replace(name, "")
        return sentence

    assert [key for key, (_, en) in Texts("zh").table(module).items() if CHINESE.search(rest(en))] == []


def test_every_sentence_that_is_asked_for_exists() -> None:
    known = {f"{module}.{key}" for module in MODULES for key in Texts("zh").table(module)}

    assert {key for key in _asked() if key not in known} == set()


def test_one_is_singular_and_many_are_plural() -> None:
    t = Texts("en")

    assert (t("overview.all", n=1), t("overview.all", n="2")) == ("1 message", "2 messages")


def _fields(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)", sentence))


def _asked() -> Iterator[str]:
    """Yield what code asks for by a whole name: `t("users.title")`."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _is_texts(node.func):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and "." in first.value:
                    yield first.value


def _is_texts(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("t", "_t", "texts", "_texts")
