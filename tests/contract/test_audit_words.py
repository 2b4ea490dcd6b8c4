"""The page writes what the audit keeps in words, in both languages."""

from typing import Any, get_args

import pytest

from imsg_auth.login_records import RESULTS
from imsg_auth.schemas.quotas import Cap, Quota
from imsg_auth.schemas.users import Modification, UserPatch
from imsg_auth.schemas.windows import HolidaysBody, WindowBody, WindowsBody
from imsg_auth.users import SHOWN
from imsg_catalog.groups.schemas import GroupPatch
from imsg_console.features.audit.changes import Changes
from imsg_console.preferences import Language
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_contract.api_keys import KeyKind
from imsg_contract.audit import ACTIONS, FIELDS
from imsg_contract.prices import Per, Price
from imsg_contract.suppressions import Reason
from imsg_contract.wire import Category
from imsg_limits import caps
from imsg_limits.quota import rows
from imsg_limits.windows import Day, DayKind, Holidays
from imsg_scheduler.cancels import Totals

MODELS = (Cap, Quota, Modification, UserPatch, WindowBody, WindowsBody, HolidaysBody, GroupPatch)
WORDS = (rows.Unit, rows.Per, caps.Scope, caps.Per, Per, Day, DayKind, Holidays, KeyKind)


def make(language: Language) -> Changes:
    """Make what writes changes in a language."""
    return Changes(Texts(language), TimeFormat("Asia/Shanghai", english=language == "en"))


def test_every_field_of_what_the_audit_records_is_in_its_table() -> None:
    fields = {field.alias or name for model in MODELS for name, field in model.model_fields.items()}
    fields |= {*SHOWN, *Totals._fields, *Price._fields} - {"micros"}

    assert fields - FIELDS == set()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_action_has_a_sentence(language: Language) -> None:
    t = Texts(language)
    for actions in ACTIONS.values():
        for action in actions:
            assert t(f"audit.name_{action}")
            assert "{" in t(f"audit.did_{action}")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_field_and_word_of_the_audit_has_a_text(language: Language) -> None:
    t = Texts(language)
    values = {word for words in WORDS for word in get_args(words)} | {*Category, *Reason, *RESULTS[1:-1]}

    assert [name for name in sorted(FIELDS) if t.get(f"audit.field_{name}", "") == ""] == []
    assert [value for value in sorted(values) if t.get(f"audit.value_{value}", "") == ""] == []


@pytest.mark.parametrize(
    ("before", "after", "zh"),
    [
        (
            {"quotas": [{"id": "a", "counts": "requests", "per": "day", "limit": 5, "method": None}]},
            {"quotas": []},
            "配额：编号：a，计数：请求数，周期：天，上限：5，方式：— → —",
        ),
        ({"note": True}, {"note": True}, ""),
        ({"senders": None}, {"senders": {"smtp": ["office"]}}, "可用的发件人：— → 邮件：office"),
        ({"holidays": {}}, {"holidays": {"2027-05-03": "holiday"}}, "节假日：— → 2027-05-03：放假"),
        ({}, {"due_at": "2026-12-01T01:00:00Z"}, "发送时间：2026-12-01 09:00:00"),
        ({}, {"people": [{"method": "smtp", "to": {"masked": "z***@163.com"}}]}, "地址：方式：邮件，至：z***@163.com"),
    ],
)
def test_what_changed_is_written_in_words(before: dict[str, Any], after: dict[str, Any], zh: str) -> None:
    assert "".join(make("zh").write(before, after, {})) == zh


def test_of_a_table_the_rows_that_went_and_came_are_written() -> None:
    kept, gone, new = ({"id": name, "limit": 1} for name in ("kept", "gone", "new"))

    (text,) = make("en").write({"caps": [kept, gone]}, {"caps": [kept, new]}, {})

    assert text == "Caps: Id: gone, Limit: 1 → Id: new, Limit: 1"


def test_settings_of_a_provider_go_by_their_titles_and_are_not_translated() -> None:
    before, after = {"encryption": "all", "secret": {"set": True}}, {"encryption": "none"}

    assert make("zh").write(before, after, {"encryption": "加密", "secret": "密码"}) == [
        "加密：all → none",
        "密码：已设置",
    ]
