"""What fits a template's fields, what is cut, what is refused, and what a message becomes by each option."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from imsg_wechat.placeholders import MessageContext
from imsg_wechat.template_settings import MessageTemplates, NoticeOption, TemplateOption
from imsg_wechat.templates import (
    Notice,
    Page,
    TemplateMessage,
    Templates,
    Text,
    UnfitValue,
    check,
    cut,
    find_unfit,
    merge_limits,
)

ZONE = ZoneInfo("Asia/Shanghai")
NOW = MessageContext(
    "0192f0c4a7b17d3e8f00112233445566", "天存-system-1001", "main", datetime(2026, 11, 25, 7, 1, tzinfo=UTC)
)


def templates(default: str = "TM1", variable: str = "thing1", **more: Any) -> Templates:  # noqa: ANN401  as settings say
    return Templates.of(default, variable, TypeAdapter(MessageTemplates).validate_python(more), ZONE)


TEMPLATES = templates(TM2=["thing1", "time2"])
ORDER = templates(
    order={
        "options": [
            {
                "kind": "subscribe",
                "id": "SUB1",
                "fields": {"thing1": "${goods}", "time2": "${imsg.time}"},
                "page": "https://example.com/o/${number}",
            },
            {
                "id": "TM9",
                "fields": {
                    "thing1": "订单：${goods}",
                    "character_string2": "${number}",
                    "time3": "${imsg.time:%H:%M}",
                    "const4": "已发货",
                    "character_string5": "${imsg.request}",
                },
                "url": "https://example.com/o?n=${number}&u=${imsg.username}",
                "miniprogram": {"appid": "wx1", "pagepath": "pages/o?n=${number}"},
            },
            {"kind": "text", "text": "您的订单 ${number}（${goods}）已发货。"},
        ]
    }
)


@pytest.mark.parametrize(
    ("field", "text", "fitting"),
    [
        ("content", "明天下雨", "明天下雨"),
        ("content", "第一行\n第二行\t完", "第一行 第二行 完"),
        ("content", "长" * 5_000, "长" * 599 + "…"),
        ("thing1", "一" * 20, "一" * 20),
        ("thing1", "一" * 21, "一" * 19 + "…"),
        ("thing12", "a" * 40, "a" * 19 + "…"),
        ("name1", "张三李四王五赵六孙七周八", "张三李四王五赵六孙…"),
        ("keyword1", "一" * 100, "一" * 100),
    ],
)
def test_free_text_is_made_to_fit(field: str, text: str, fitting: str) -> None:
    assert cut(field, text) == fitting


@pytest.mark.parametrize(("field", "text"), [("number1", "明天"), ("letter1", "明天"), ("phone_number1", "明天")])
def test_free_text_that_cannot_fit_its_type_is_refused(field: str, text: str) -> None:
    with pytest.raises(UnfitValue, match=field):
        cut(field, text)


@pytest.mark.parametrize(
    ("field", "fits", "does_not"),
    [
        ("thing1", "一" * 20, "一" * 21),
        ("thing1", "一行", "一行\n两行"),
        ("number2", "-12.5", "12a"),
        ("letter1", "abcDEF", "abc1"),
        ("symbol1", "!?", "a"),
        ("character_string1", "AB-12", "中文"),
        ("time1", "2026年11月25日 15:01", "明天下午"),
        ("date3", "2026-11-25", "今天"),
        ("amount1", "¥100.50", "一百"),
        ("phone_number1", "+86-13800138000", "12345678901234567890"),
        ("car_number1", "粤A8Z888", "粤A8Z888888"),
        ("name1", "张三", "张三李四王五赵六孙七周"),
        ("phrase1", "已发货", "已经发货了吗"),
        ("const1", "已发货", "x" * 21),
        ("content", "x" * 600, None),
    ],
)
def test_chosen_values_are_held_to_their_types(field: str, fits: str, does_not: str | None) -> None:
    assert check(field, fits) == fits
    if does_not is not None:
        with pytest.raises(UnfitValue, match=field):
            check(field, does_not)


def test_a_classic_field_is_one_line_and_is_cut() -> None:
    assert check("content", "第一行\n第二行") == "第一行 第二行"
    assert check("content", "长" * 601) == "长" * 599 + "…"


def test_free_text_fills_the_default_template() -> None:
    assert TEMPLATES.fill("明天下雨", NOW) == (TemplateMessage("TM1", {"thing1": "明天下雨"}),)


def test_params_fill_the_template_they_name() -> None:
    params = {"time2": "15:01", "thing1": "开会"}
    assert TEMPLATES.fill(("TM2", params), NOW) == (TemplateMessage("TM2", {"thing1": "开会", "time2": "15:01"}),)


@pytest.mark.parametrize("content", [("TM9", {}), ("TM2", {"thing1": "x"}), ("TM1", {"thing1": "x", "y": "z"})])
def test_params_that_belong_to_no_template_are_refused(content: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(UnfitValue):
        TEMPLATES.fill(content, NOW)


def test_fixed_and_computed_values_stand_beside_params_in_the_order_of_the_ways() -> None:
    filled = ORDER.fill(("order", {"goods": "茶叶", "number": "A 1/2"}), NOW)
    assert filled == (
        Notice(
            "SUB1",
            {"thing1": "茶叶", "time2": "2026年11月25日 15:01"},
            Page("https://example.com/o/A%201%2F2"),
        ),
        TemplateMessage(
            "TM9",
            {
                "thing1": "订单：茶叶",
                "character_string2": "A 1/2",
                "time3": "15:01",
                "const4": "已发货",
                "character_string5": NOW.request,
            },
            Page(
                "https://example.com/o?n=A%201%2F2&u=%E5%A4%A9%E5%AD%98-system-1001",
                {"appid": "wx1", "pagepath": "pages/o?n=A%201%2F2"},
            ),
        ),
        Text("您的订单 A 1/2（茶叶）已发货。"),
    )


def test_a_way_that_a_value_does_not_fit_is_left_out_and_where_none_fits_all_is_refused() -> None:
    long = "一" * 19
    kinds = [type(option) for option in ORDER.fill(("order", {"goods": long, "number": "1"}), NOW)]
    assert kinds == [Notice, Text]
    with pytest.raises(UnfitValue):
        ORDER.fill(("order", {"goods": "一" * 700, "number": "1"}), NOW)


def test_free_text_is_cut_to_the_room_that_fixed_words_leave() -> None:
    default = templates("alarm", alarm={"id": "TM3", "fields": {"thing1": "告警：${content}", "date2": "${imsg.date}"}})
    (message,) = default.fill("磁盘\n空间不足，请尽快处理，否则服务会停止", NOW)
    assert isinstance(message, TemplateMessage)
    assert message.values == {"thing1": "告警：磁盘 空间不足，请尽快处理，否则…", "date2": "2026年11月25日"}
    said = templates("hello", hello={"options": [{"kind": "text", "text": "【天存】${content}"}]})
    (text,) = said.fill("长" * 5_000, NOW)
    assert isinstance(text, Text)
    assert (len(text.text), text.text[:5], text.text[-1]) == (600, "【天存】长", "…")
    (short,) = said.fill("两\n行", NOW)
    assert short == Text("【天存】两\n行")


def test_the_gateway_learns_the_limits_of_each_template() -> None:
    limits = TEMPLATES.limits()
    assert limits["TM1"].default
    assert limits["TM1"].variables == {"thing1": 20}
    assert not limits["TM2"].default
    assert limits["TM2"].kinds == {"thing1": "wechat.thing", "time2": "wechat.time"}
    order = ORDER.limits()["order"]
    assert order.variables == {"goods": 17, "number": 32}
    assert order.kinds["number"] == "wechat.character_string"
    both = merge_limits(
        {"main": ORDER, "other": templates("T", order={"id": "X", "fields": {"thing1": "${goods}${number}"}})}
    )
    assert both["order"].variables == {"goods": 20, "number": 32}
    assert both["order"].kinds == {}


def test_ids_and_fields_are_listed_for_the_account_to_be_asked() -> None:
    assert ORDER.ids(NoticeOption) == {"SUB1": {"thing1", "time2"}}
    assert set(ORDER.ids(TemplateOption)) == {"TM9", "TM1"}
    assert ORDER.has_texts
    assert not TEMPLATES.has_texts


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ({"id": "T", "fields": {"thing1": "${a"}}, "without a }"),
        ({"id": "T", "fields": {"thing1": "${imsg.weather}"}}, "imsg.time"),
        ({"id": "T", "fields": {"thing1": "${imsg.request:%H}"}}, "imsg.date"),
        ({"id": "T", "fields": {"time1": "${imsg.time:%A}"}}, "%A"),
        ({"id": "T", "fields": {"thing1": "${a b}"}}, "a b"),
        ({"id": "T", "fields": {"thing1": "x"}, "url": "https://${host}/"}, "host"),
        ({"id": "T", "fields": {"thing1": "x"}, "url": "javascript:alert(1)"}, "URL"),
        ({"id": "T", "fields": {}}, "fields"),
        ({"options": []}, "options"),
        ({"options": [{"kind": "pigeon"}]}, "pigeon"),
        ({"id": "T", "fields": {"thing1": "x"}, "colour": "red"}, "colour"),
    ],
)
def test_a_template_that_is_described_wrong_is_refused_with_the_reason(template: object, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        TypeAdapter(MessageTemplates).validate_python({"order": template})


def test_fixed_values_that_do_not_fit_are_found_before_any_message() -> None:
    wrong = find_unfit(templates(x={"id": "T", "fields": {"phrase1": "已经发货了吗", "time2": "${imsg.username}"}}))
    assert len(wrong) == 2
    assert "phrase1" in wrong[0]
    assert find_unfit(ORDER) == []
