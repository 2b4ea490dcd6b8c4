"""The sandbox refuses what Aliyun refuses, with Aliyun's codes."""

from datetime import UTC, datetime, timedelta

import pytest

from imsg_sandbox.aliyun_rules import MAX_REMEMBERED, BoundedLists, Frequencies, count_segments, fill, read_number
from imsg_sandbox.approved_templates import ApprovedTemplate, make_template
from imsg_sandbox.sms_provider import Refusal

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
NOTICE, CAPTCHA = (
    make_template("您有一条新通知：${content}。", longest=10),
    make_template("验证码${code}", is_captcha=True),
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("13800138000", "13800138000"),
        ("8613800138000", "13800138000"),
        ("+8613800138000", "13800138000"),
        ("008613800138000", "13800138000"),
        ("85261234567", "85261234567"),
        ("12025550123", "12025550123"),
        ("0013012345678", "13012345678"),
    ],
)
def test_numbers_are_read_as_aliyun_takes_them(written: str, read: str) -> None:
    assert read_number(written) == read


@pytest.mark.parametrize("written", ["", "1380013800", "12800138000x", "8612345", "11000000000", "010-12345678"])
def test_what_is_no_number_is_refused(written: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_number(written)
    assert refused.value.code == "isv.MOBILE_NUMBER_ILLEGAL"


@pytest.mark.parametrize(
    ("form", "params", "code"),
    [
        (NOTICE, "{}", "isv.TEMPLATE_MISSING_PARAMETERS"),
        (NOTICE, "no JSON", "isv.INVALID_JSON_PARAM"),
        (NOTICE, '{"content": 5}', "isv.INVALID_JSON_PARAM"),
        (NOTICE, '{"content": "一二三四五六七八九十百"}', "isv.PARAM_LENGTH_LIMIT"),
        (NOTICE, '{"content": "www.a.cn"}', "isv.PARAM_NOT_SUPPORT_URL"),
        (NOTICE, '{"content": "【天】"}', "isv.TEMPLATE_PARAMS_ILLEGAL"),
        (CAPTCHA, '{"code": "123"}', "isv.PARAM_LENGTH_LIMIT"),
    ],
)
def test_variables_that_do_not_fit_are_refused(form: ApprovedTemplate, params: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        fill(form, params)
    assert refused.value.code == code


def test_variables_that_fit_stand_in_their_places() -> None:
    assert fill(NOTICE, '{"content": "明天下雨", "more": "is left out"}') == "您有一条新通知：明天下雨。"


def test_a_captcha_goes_out_once_a_minute_and_five_times_an_hour() -> None:
    frequencies, answers = Frequencies(50), []
    for second in (0, 30, *(60 * minute for minute in range(1, 6))):
        now = NOW + timedelta(seconds=second)
        try:
            frequencies.check("天存", "SMS_2", CAPTCHA, ["13800138000"], now)
        except Refusal as refusal:
            answers.append(refusal.message)
        else:
            answers.append("OK")
            frequencies.count("天存", "SMS_2", CAPTCHA, ["13800138000"], now)
    assert answers == ["OK", "触发分钟级流控Permits:1", *["OK"] * 4, "触发小时级流控Permits:5"]


def test_notices_begin_anew_a_day_after_the_first() -> None:
    frequencies = Frequencies(daily=1)
    frequencies.count("天存", "SMS_1", NOTICE, ["13800138000"], NOW)
    with pytest.raises(Refusal, match="天级"):
        frequencies.check("天存", "SMS_1", NOTICE, ["13800138000"], NOW + timedelta(hours=23))
    frequencies.check("天存", "SMS_1", NOTICE, ["13800138000"], NOW + timedelta(hours=24))
    frequencies.check("天存", "SMS_1", NOTICE, ["13900139000"], NOW)


def test_the_numbers_of_hours_of_load_are_forgotten_first_come_first() -> None:
    got: BoundedLists[int, str] = BoundedLists()
    for to in range(MAX_REMEMBERED + 10):
        got[to].append("a message")
    assert list(got) == list(range(10, MAX_REMEMBERED + 10))


@pytest.mark.parametrize(
    ("text", "to", "count"),
    [
        ("一" * 70, "13800138000", 1),
        ("一" * 71, "13800138000", 2),
        ("a" * 160, "85261234567", 1),
        ("a" * 161, "85261234567", 2),
    ],
)
def test_segments_are_counted_as_billed(text: str, to: str, count: int) -> None:
    assert count_segments(text, to) == count
