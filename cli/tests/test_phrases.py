"""What the command prints is there in Chinese, and shown to who reads Chinese."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsg.findings import Finding, print_findings
from imsg.phrases import FILE, find_chinese
from imsg_testing.deployment import IMSG, VERB_TIMEOUT_S
from imsg_testing.service import environment

PRINTS = {"say", "complain", "_complain", "usage", "confirm", "say_table"}

SAME = {"imsg {0}", "iMSG", "Redis", "DNS", "MX {0}", "MX", "SPF", "DKIM", "DMARC", "PTR"}
"""Names that are the same in both languages."""

TEXTS: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))


def read_phrases(node: ast.expr) -> Iterator[str]:
    """Yield the phrases of an argument, with `{0}`, `{1}` where an f-string has a value; nothing for a variable."""
    match node:
        case ast.IfExp():
            yield from read_phrases(node.body)
            yield from read_phrases(node.orelse)
        case ast.Tuple() | ast.List():
            for element in node.elts:
                yield from read_phrases(element)
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            count, text = 0, ""
            for value in node.values:
                if isinstance(value, ast.Constant):
                    text += str(value.value)
                else:
                    text += f"{{{count}}}"
                    count += 1
            yield text


def list_printed(node: ast.AST) -> list[ast.expr]:
    """Return what a node prints; what a check finds is printed too, as are its variables `state` and `remedy`."""
    match node:
        case ast.Call(func=ast.Name("Finding"), args=arguments):
            return arguments[:3]
        case ast.Call(func=ast.Name("translate"), args=[argument]):
            return [argument]
        case ast.Call(func=ast.Name(name), args=[argument, *_]) if name in PRINTS:
            return [argument]
        case ast.Assign(targets=[ast.Name("state" | "remedy")], value=ast.Constant() | ast.JoinedStr() as value):
            return [value]
    return []


def list_phrases() -> dict[str, str]:
    """Return each phrase of the command with where it is printed."""
    found = {}
    for path in FILE.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for argument in list_printed(node):
                found.update(dict.fromkeys(read_phrases(argument), f"{path.name}:{argument.lineno}"))
    # A name, or values with punctuation, are the same in both languages.
    return {phrase: at for phrase, at in found.items() if re.search(r"[A-Za-z]{2}", phrase) and phrase not in SAME}


def test_each_printed_line_is_there_in_chinese() -> None:
    phrases = list_phrases()

    assert len(phrases) > 150
    assert {phrase: at for phrase, at in phrases.items() if phrase not in TEXTS} == {}


@pytest.mark.parametrize("english", TEXTS)
def test_the_chinese_has_the_values_and_the_commands_of_the_english(english: str) -> None:
    chinese = TEXTS[english]

    assert set(re.findall(r"\{\d\}", chinese)) <= set(re.findall(r"\{\d\}", english))
    assert set(re.findall(r"`[^`]+`|--[a-z-]+", chinese)) == set(re.findall(r"`[^`]+`|--[a-z-]+", english))


@pytest.mark.parametrize(
    ("line", "chinese"),
    [
        ("No messages.", "没有消息。"),
        ("3 cancelled, 0 too late, 1 settled before.", "已取消 3 条，0 条已来不及，1 条此前已有结果。"),
        ("20 of 100 were processed; repeat the command for the rest:", "已处理 100 条中的 20 条；其余的请再次运行："),
        ("1 message accepted; imsg query --id x shows them.", "已接受 1 条消息；查询：imsg query --id x。"),
        ("what nobody wrote", "what nobody wrote"),
    ],
)
def test_a_line_is_found_with_its_values(line: str, chinese: str) -> None:
    assert find_chinese(line) == chinese


def test_findings_are_in_the_language_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Finding("broker", "ready at here")]

    print_findings(found, "zh")
    out = capsys.readouterr().out
    assert [word for word in ("项目", "消息队列", "here 已就绪") if word not in out] == []
    print_findings(found, "en")
    assert "ready at here" in capsys.readouterr().out


def test_a_mistake_is_named_in_chinese(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [str(IMSG), "send", "--subject", "s", "--text", "t"],
        env=environment({"LANG": "zh_CN.UTF-8"}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=VERB_TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 2
    assert "请指明收件人" in done.stderr
