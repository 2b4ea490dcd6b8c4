"""Contents become a template and its variables."""

from dataclasses import replace
from typing import Any

import pytest

from imsg_channels.templates import fill
from imsg_contract.results import Refused
from imsg_contract.route_limits import TemplateLimits
from imsg_sms.templates import (
    Message,
    TemplateAccount,
    Templates,
    build_account_book,
    build_text_book,
    can_send,
    describe_limits,
    merge_limits,
)

KNOWN = Templates(
    {
        "SMS_1": TemplateLimits(default=True, text="通知：${content}。", variables={"content": None}),
        "SMS_2": TemplateLimits(variables={"code": 6}),
    }
)


def test_free_text_goes_into_the_one_variable_of_the_default_template() -> None:
    assert KNOWN.make_message("明天下雨") == Message(
        "SMS_1", {"content": "明天下雨"}, "通知：明天下雨。", is_free_text=True
    )


def test_a_template_is_sent_with_its_own_variables() -> None:
    content = {"template": "SMS_2", "params": {"code": "123456"}}
    assert KNOWN.make_message(content) == Message("SMS_2", {"code": "123456"}, "123456", has_words=False)


def test_without_templates_a_text_is_sent_as_it_is() -> None:
    assert Templates({}).make_message("明天下雨") == Message("", {}, "明天下雨", is_free_text=True)


def test_what_no_provider_could_send_is_refused() -> None:
    contents: list[Any] = [None, {"params": {}}, {"template": "SMS_2"}, {"template": "SMS_2", "params": {"code": 1}}]
    for content in contents:
        assert isinstance(KNOWN.make_message(content), Refused)


def account(provider: str, longest: int | None) -> TemplateAccount:
    """Return a template's account."""
    return TemplateAccount(provider, "天存", longest)


def free(variables: dict[str, int | None]) -> TemplateLimits:
    """Make a default template."""
    return TemplateLimits(default=True, signature="【天存】", variables=variables)


def test_free_text_is_bounded_by_the_default_template_that_takes_most() -> None:
    aliyun = build_account_book(account("aliyun", 35), {}, {"SMS_1": free({"content": None})})
    tencent = build_account_book(account("tencent", 6), {}, {"1110": free({"text": None})})
    assert merge_limits([tencent.limits, aliyun.limits], takes_text=False)["1110"].variables == {"text": 35}
    assert merge_limits([aliyun.limits], takes_text=True)["SMS_1"].variables == {"content": None}


def test_a_text_too_long_for_one_provider_is_left_to_another() -> None:
    aliyun = build_account_book(account("aliyun", 35), {}, {"SMS_1": free({"content": None})})
    tencent = build_account_book(account("tencent", 6), {}, {"1110": free({"text": None})})
    known = merge_limits([tencent.limits, aliyun.limits], takes_text=False)
    message = Templates(known).make_message("明天下午三点开会")
    assert isinstance(message, Message)
    assert not can_send(tencent.limits, message, takes_text=False, is_known=True)
    assert can_send(aliyun.limits, message, takes_text=False, is_known=True)
    assert aliyun.find(message).params == {"content": "明天下午三点开会"}


def test_a_text_with_a_link_is_left_to_a_provider_that_takes_links() -> None:
    aliyun = build_account_book(account("aliyun", 35), {}, {"SMS_1": free({"content": None})})
    message = Templates(aliyun.limits).make_message("看 http://a.cn/b")
    assert isinstance(message, Message)
    assert not can_send(aliyun.limits, message, takes_text=False, is_known=True)
    assert can_send({}, message, takes_text=True, is_known=False)


def test_what_a_provider_of_words_takes_is_published_whatever_its_own_templates_are() -> None:
    """Any text, and others' templates as far as their words are known, each with its own limits."""
    known = {"SMS_1": free({"content": 35}), "SMS_2": TemplateLimits(signature="【天存】", text="码${code}")}
    told = describe_limits({}, known, takes_text=True)
    assert told is not None
    assert {name: template.default for name, template in told.items()} == {"SMS_2": False, "text": True}
    assert (fill("看 http://a.cn\n" * 20, told), told["SMS_2"].signature) == ("看 http://a.cn\n" * 20, "")
    assert describe_limits({}, known, takes_text=False) == {}
    assert describe_limits({}, {}, takes_text=True) is None


def test_an_account_without_variables_takes_no_free_text() -> None:
    tencent = build_account_book(account("tencent", 0), {}, {"1110": free({"text": None})})
    assert not any(limit.default for limit in tencent.limits.values())


def test_what_stands_around_a_text_is_counted() -> None:
    """The gateway counts segments by what is published: signature, words, suffix."""
    book = build_text_book("http", {}, signature="【天存】", suffix="拒收请回复R")
    limits = merge_limits([book.limits], takes_text=True)
    message = Templates(limits).make_message("明天下雨")
    assert isinstance(message, Message)
    assert fill("明天下雨", limits) == "【天存】明天下雨拒收请回复R"
    assert (book.find(message).signature, book.find(message).text) == ("【天存】", "明天下雨拒收请回复R")


@pytest.mark.parametrize(
    ("signature", "suffix", "arrives"),
    [
        ("【天存】", "拒收请回复R", "【天存教育】明天下雨拒收请回复R"),
        ("", "【天存】", "明天下雨【天存教育】"),  # such as Luosimao, which wants it behind
        ("", "", "【天存教育】明天下雨"),
    ],
)
def test_a_named_signature_stands_where_the_account_has_its_own(signature: str, suffix: str, arrives: str) -> None:
    """It is sent as the gateway has counted it."""
    book = build_text_book("http", {}, signature=signature, suffix=suffix)
    limits = merge_limits([book.limits], takes_text=True)
    message = Templates(limits).make_message({"text": "明天下雨", "sender": "school"})
    assert isinstance(message, Message)
    found = book.find(replace(message, signature="天存教育"))
    assert f"{found.signature}{found.text}" == fill("明天下雨", limits, "天存教育") == arrives


def test_an_approved_template_goes_with_a_named_signature() -> None:
    book = build_account_book(account("aliyun", 35), {}, {"SMS_1": free({"content": None})})
    message = Message("SMS_1", {"content": "明天下雨"}, "明天下雨", signature="天存教育")
    assert book.find(message).signature == "天存教育"
    assert book.find(replace(message, signature="")).signature != "天存教育"
