"""A firm that imsg.toml describes: values are encoded by where they stand, answers judged by the rule."""

import pytest

from imsg_sms.firms.http import at, fill, succeeded


def test_braces_that_name_no_value_stay() -> None:
    assert fill('{"to": "{number}", "x": {}}', {"number": "1"}, str) == '{"to": "1", "x": {}}'


@pytest.mark.parametrize(
    ("rule", "status", "body", "text", "is_success"),
    [
        ("code=0", 200, {"code": 0}, "", True),
        ("code=0", 200, {"code": "0"}, "", True),
        ("code=0", 200, {"code": 1}, "", False),
        ("code=0", 200, {}, "", False),
        ("data.0.ok=true", 200, {"data": [{"ok": True}]}, "", True),
        ("status=201", 201, None, "", True),
        ("status=201", 200, None, "", False),
        ("text=OK", 200, None, "OK: 17", True),
        ("text=OK", 200, None, "ERROR", False),
        ("code=0", 200, None, "<html>", False),
    ],
)
def test_an_answer_is_judged_by_the_rule(
    rule: str,
    status: int,
    body: object,
    text: str,
    is_success: bool,  # noqa: FBT001  a row of the table
) -> None:
    assert succeeded(rule, status, body, text) is is_success


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    assert at({"a": [{"b": 1}]}, "a.0.b") == 1
    assert at({"a": [{"b": 1}]}, "a.1.b") is None
    assert at(None, "a") is None
