"""What the command prints is there in Chinese, and shown to who reads Chinese."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsg.findings import Finding, print_findings
from imsg.phrases import FILE, find_chinese
from imsg_database.address import read_url
from imsg_runtime.lines import fill
from imsg_runtime.settings import Common, StartError, load
from imsg_testing.command_line import run_imsg
from imsg_testing.service import environment

PRINTS = {"print_line", "complain", "_complain", "usage", "confirm", "print_table"}

ROOT = Path(__file__).parents[2]
OTHERS = {"cli", "tests", "bench", "console"}
SOURCES = [folder for folder in (*ROOT.glob("*/src"), *ROOT.glob("shared/*/src")) if folder.parent.name not in OTHERS]
"""The packages that `imsg up` starts, whose start errors it prints."""

WORD = re.compile(r"[A-Za-z]{2}")

SAME = {"imsg", "iMSG", "Redis", "DNS", "MX", "SPF", "DKIM", "DMARC", "PTR"}
"""Names that are the same in both languages."""

TEXTS: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))


def read_phrases(node: ast.expr) -> Iterator[str]:
    """Yield the phrases of an argument; nothing for a variable, or for a call, which is met by itself."""
    match node:
        case ast.IfExp():
            yield from read_phrases(node.body)
            yield from read_phrases(node.orelse)
        case ast.Tuple() | ast.List():
            for element in node.elts:
                yield from read_phrases(element)
        case ast.Constant(value=str(text)):
            yield text


def list_filled(node: ast.AST) -> list[ast.expr]:
    """Return the words of a line with values."""
    match node:
        case ast.Call(func=ast.Name("fill" | "StartError"), args=[argument, *_]):
            return [argument]
    return []


def list_unfilled() -> list[str]:
    """Return where the command prints an f-string: its words are in no file."""
    return [
        f"{path.name}:{argument.lineno}"
        for path in FILE.parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for argument in list_printed(node)
        if isinstance(argument, ast.JoinedStr) and any(map(WORD.search, _list_words(argument)))
    ]


def _list_words(text: ast.JoinedStr) -> Iterator[str]:
    words = (str(value.value).strip() for value in text.values if isinstance(value, ast.Constant))
    return (word for word in words if word not in SAME)


def list_printed(node: ast.AST) -> list[ast.expr]:  # noqa: PLR0911  a case each
    """Return what a node prints; what a check finds is printed too, as are its variables `state` and `remedy`."""
    match node:
        case ast.Call(func=ast.Name("fill" | "StartError")):
            return list_filled(node)
        case ast.Call(func=ast.Name("Finding"), args=arguments):
            return arguments[:3]
        case ast.Assign(targets=[ast.Name(name)], value=ast.Dict(values=headings)) if name.endswith("COLUMNS"):
            return headings
        case ast.Call(func=ast.Name("translate"), args=[argument]):
            return [argument]
        case ast.Call(func=ast.Name(name), args=[argument, *_]) if name in PRINTS:
            return [argument]
        case ast.Assign(targets=[ast.Name("state" | "remedy")], value=ast.Constant() as value):
            return [value]
    return []


def list_phrases() -> dict[str, str]:
    """Return each phrase of the command, and of what keeps a service from starting, with where it is printed."""
    found = {}
    listers = [(path, list_printed) for path in FILE.parent.rglob("*.py")]
    listers += [(path, list_filled) for source in SOURCES for path in source.rglob("*.py")]
    for path, list_arguments in listers:
        for node in ast.walk(ast.parse(path.read_text())):
            for argument in list_arguments(node):
                found.update(dict.fromkeys(read_phrases(argument), f"{path.name}:{argument.lineno}"))
    # A name, or values with punctuation, are the same in both languages.
    return {phrase: at for phrase, at in found.items() if WORD.search(phrase) and phrase not in SAME}


def test_each_printed_line_is_there_in_chinese() -> None:
    phrases = list_phrases()

    assert len(phrases) > 150
    assert {phrase: at for phrase, at in phrases.items() if phrase not in TEXTS} == {}
    assert list_unfilled() == []


@pytest.mark.parametrize("english", TEXTS)
def test_the_chinese_has_the_values_and_the_commands_of_the_english(english: str) -> None:
    chinese = TEXTS[english]

    assert set(re.findall(r"\{\d\}", chinese)) <= set(re.findall(r"\{\d\}", english))
    assert set(re.findall(r"`[^`]+`|--[a-z-]+", chinese)) == set(re.findall(r"`[^`]+`|--[a-z-]+", english))


@pytest.mark.parametrize(
    ("line", "chinese"),
    [
        ("No messages.", "没有消息。"),
        (fill("{0}: {1} added, {2} changed.", "staff", 3, 0), "staff：新增 3 个，更新 0 个。"),
        (fill("Delete the group {0} with its members?", "a and {1}: b."), "删除通讯组 a and {1}: b. 及其成员？"),
        (fill("{0}; {1}", fill("nothing reads {0}.", "IMSG_X"), "No messages."), "没有服务读取 IMSG_X。；没有消息。"),
        (fill("what nobody wrote {0}", 1), "what nobody wrote 1"),
        ("what nobody wrote", "what nobody wrote"),
    ],
)
def test_a_line_is_shown_with_its_values(line: str, chinese: str) -> None:
    assert find_chinese(line) == chinese


def test_what_keeps_a_service_from_starting_is_named_in_chinese() -> None:
    with pytest.raises(StartError) as raised:
        read_url("mysql://host/imsg")

    assert find_chinese(raised.value.line) == "IMSG_DATABASE_URL 须以 sqlite:/// 或 postgresql:// 开头。"
    assert str(raised.value) == "IMSG_DATABASE_URL must begin with sqlite:/// or postgresql://."


def test_a_wrong_setting_is_named_in_chinese() -> None:
    with pytest.raises(StartError) as raised:
        load(Common, port=70_000, timezone="Asia/Nowhere")

    chinese = find_chinese(raised.value.line)
    assert "IMSG_PORT：须在 1 到 65535 之间（当前为 70000）" in chinese
    assert "IMSG_TIMEZONE：不是 IANA 数据库中的时区" in chinese
    assert "must be from 1 to 65535 (it is 70000)" in str(raised.value)


def test_findings_are_in_the_language_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Finding("broker", fill("ready at {0}", "here"))]

    print_findings(found, "zh")
    out = capsys.readouterr().out
    assert [word for word in ("项目", "消息队列", "here 已就绪") if word not in out] == []
    print_findings(found, "en")
    assert "ready at here" in capsys.readouterr().out


def test_a_mistake_is_named_in_chinese(tmp_path: Path) -> None:
    env = environment({"LANG": "zh_CN.UTF-8"})
    done = run_imsg("send", "--subject", "s", "--text", "t", env=env, cwd=tmp_path)

    assert done.returncode == 2
    assert "请指明收件人" in done.stderr
