"""A provider that imsg.toml describes: values are encoded for their places, answers classified by the rule."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imsg_sms.providers.http_filling import fill
from imsg_sms.providers.http_reading import at, is_success


def test_braces_that_name_no_value_stay() -> None:
    assert fill('{"to": "{number}", "x": {}}', {"number": "1"}, str) == '{"to": "1", "x": {}}'


@pytest.mark.parametrize(
    ("rule", "status", "body", "text", "expected"),
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
    expected: bool,  # noqa: FBT001  a row of the table
) -> None:
    assert is_success(rule, status, body, text) is expected


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    assert at({"a": [{"b": 1}]}, "a.0.b") == 1
    assert at({"a": [{"b": 1}]}, "a.1.b") is None
    assert at(None, "a") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.text(), JSON, st.integers(100, 599), st.text())
@example("²=1", ["a"], 200, "")
def test_any_rule_judges_any_answer(rule: str, body: object, status: int, text: str) -> None:
    assert is_success(rule, status, body, text) in (True, False)
    at(body, rule)


@given(st.text(st.characters(exclude_characters="{}")))
def test_a_value_stands_in_json_as_itself(value: str) -> None:
    assert json.loads(fill('{"text": "{text}"}', {"text": value}, lambda text: json.dumps(text)[1:-1])) == {
        "text": value
    }
