"""What comes from people is text: no place in the page where it could become markup or script."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import imsg_console
from imsg_console.style_sheets import FILES

SOURCES = Path(imsg_console.__file__).parent
TESTS = Path(__file__).parents[2] / "tests"

OTHERS = {"hidden", "justify-between"}
"""Classes of Tailwind and Quasar, which NiceGUI brings."""

PARSED = {"props", "style"}
"""NiceGUI takes these apart: a quote or a space in a value would begin another one."""

NUMBERS = {"d", ".0f"}
"""How a number is written, which can say nothing else."""

MAX_STYLE_LINES = 1_600
MAX_CHARACTERS = 120

MARKUP = {"html", "markdown", "add_body_html", "add_css", "restructured_text", "mermaid"}
"""The names by which NiceGUI inserts text unescaped."""


def test_nothing_from_outside_is_put_together_with_what_is_parsed() -> None:
    wrong = [where for where, call in _calls() if _name(call) in PARSED and not all(map(_is_fixed, call.args))]

    assert wrong == []


def test_nothing_is_put_into_a_page_as_markup() -> None:
    wrong = [where for where, call in _calls() if _name(call) in MARKUP and _owner(call) == "ui"]

    assert wrong == []


def test_the_head_of_a_page_gets_style_sheets_of_ours_alone() -> None:
    """`style_sheet` is the one way; its names are constants."""
    adding = [where for where, call in _calls() if _name(call) == "add_head_html"]
    named = [call.args[0] for _, call in _calls() if _name(call) == "style_sheet"]

    assert [where.split(":")[0] for where in adding] == ["widgets/elements.py"]
    assert [named_class for named_class in named if not isinstance(named_class, ast.Constant | ast.Name)] == []


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".css")])
def test_the_style_sheets_load_from_no_other_host(name: str) -> None:
    """No font, image or sheet of another host: the page works offline, and no host learns that it was opened."""
    sheet = FILES[name].read_text()

    assert "http" not in sheet
    assert "@import" not in sheet


def test_style_is_short_and_written_for_people() -> None:
    """NiceGUI and Quasar do what they can: what is left has a bound, and is not pressed together to keep it."""
    lines = [line for name, file in FILES.items() if name.endswith(".css") for line in file.read_text().splitlines()]

    assert len(lines) <= MAX_STYLE_LINES
    assert [
        line for line in lines if len(line) > MAX_CHARACTERS or line.count(";") > 1 or re.search(r"\{.*\S", line)
    ] == []


def test_every_class_has_a_rule_or_a_test_that_looks_for_it() -> None:
    """A class without either is a rule that was lost, or a name for nothing."""
    sheets = "".join(file.read_text() for name, file in FILES.items() if name.endswith(".css"))
    ruled = set(re.findall(r"\.([a-zA-Z][\w-]*)", sheets))
    scripts = re.findall(r"querySelector.*", "".join(path.read_text() for path in SOURCES.rglob("*.py")))
    users = "".join([*scripts, *(path.read_text() for path in TESTS.rglob("*.py"))])
    hooks = set(re.findall(r"[.#]([a-zA-Z][\w-]*)", users))
    texts = [
        (where, call.args[{"element": 1, "classes": 0}[_name(call)]]) for where, call in _calls() if _has_class(call)
    ]
    named = [
        (where, css_class)
        for where, text in texts
        if isinstance(text, ast.Constant)
        for css_class in str(text.value).split()
    ]

    assert named
    assert [(where, named_class) for where, named_class in named if named_class not in ruled | hooks | OTHERS] == []


def _has_class(call: ast.Call) -> bool:
    return (_name(call) == "element" and len(call.args) > 1) or (_name(call) == "classes" and bool(call.args))


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(SOURCES)}:{node.lineno}", node


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _owner(call: ast.Call) -> str:
    return getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""


def _is_fixed(part: ast.expr) -> bool:
    """Return whether a text consists of constants, numbers, or a choice among them."""
    if isinstance(part, ast.JoinedStr):
        return all(map(_is_fixed, part.values))
    if isinstance(part, ast.FormattedValue):
        return _format(part) in NUMBERS or _is_fixed(part.value)
    if isinstance(part, ast.IfExp):
        return _is_fixed(part.body) and _is_fixed(part.orelse)
    if isinstance(part, ast.Subscript):
        return _is_fixed(part.value)
    if isinstance(part, ast.Call):
        return _name(part) in ("len", "str") and all(map(_is_fixed, part.args))
    return isinstance(part, ast.Constant) or (isinstance(part, ast.Name) and part.id.isupper())


def _format(part: ast.FormattedValue) -> str:
    spec = part.format_spec
    return ast.unparse(spec).removeprefix("f").strip("'\"") if spec else ""
