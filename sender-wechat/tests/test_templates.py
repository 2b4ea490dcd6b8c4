"""What fits a template's variables, what is cut, what is refused."""

import pytest

from imsg_wechat.templates import Templates, Unfit, check, cut

TEMPLATES = Templates("TM1", "thing1", {"TM2": ("thing1", "time2")})


@pytest.mark.parametrize(
    ("variable", "text", "fitting"),
    [
        ("content", "明天下雨", "明天下雨"),
        ("content", "第一行\n第二行\t完", "第一行 第二行 完"),
        ("content", "长" * 5_000, "长" * 999 + "…"),
        ("thing1", "一" * 20, "一" * 20),
        ("thing1", "一" * 21, "一" * 19 + "…"),
        ("thing12", "a" * 40, "a" * 19 + "…"),
        ("name1", "张三李四王五赵六孙七周八", "张三李四王五赵六孙…"),
        ("keyword1", "一" * 100, "一" * 100),
    ],
)
def test_free_text_is_made_to_fit(variable: str, text: str, fitting: str) -> None:
    assert cut(variable, text) == fitting


@pytest.mark.parametrize(("variable", "text"), [("number1", "明天"), ("letter1", "明天"), ("phone_number1", "明天")])
def test_free_text_that_cannot_fit_its_type_is_refused(variable: str, text: str) -> None:
    with pytest.raises(Unfit, match=variable):
        cut(variable, text)


@pytest.mark.parametrize(
    ("variable", "fits", "does_not"),
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
        ("content", "x" * 5_000 + "\n", None),
    ],
)
def test_chosen_values_are_held_to_their_types(variable: str, fits: str, does_not: str | None) -> None:
    assert check(variable, fits) == fits
    if does_not is not None:
        with pytest.raises(Unfit, match=variable):
            check(variable, does_not)


def test_free_text_fills_the_default_template() -> None:
    assert TEMPLATES.fill("明天下雨") == ("TM1", {"thing1": "明天下雨"})


def test_params_fill_the_template_they_name() -> None:
    params = {"time2": "15:01", "thing1": "开会"}
    assert TEMPLATES.fill(("TM2", params)) == ("TM2", {"thing1": "开会", "time2": "15:01"})


@pytest.mark.parametrize("content", [("TM9", {}), ("TM2", {"thing1": "x"}), ("TM1", {"thing1": "x", "y": "z"})])
def test_params_that_belong_to_no_template_are_refused(content: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(Unfit):
        TEMPLATES.fill(content)


def test_the_gateway_learns_the_limits() -> None:
    limits = TEMPLATES.limits()
    assert limits["TM1"].default
    assert limits["TM1"].variables == {"thing1": 20}
    assert not limits["TM2"].default
