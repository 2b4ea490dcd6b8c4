"""Contents become a template and its variables."""

from typing import Any

from imsg_contract.wire import Refused, TemplateLimits
from imsg_sms.templates import Message, Templates

KNOWN = Templates(
    {
        "SMS_1": TemplateLimits(default=True, text="通知：${content}。", variables={"content": None}),
        "SMS_2": TemplateLimits(variables={"code": 6}),
    }
)


def test_free_text_goes_into_the_one_variable_of_the_default_template() -> None:
    assert KNOWN.message("明天下雨") == Message("SMS_1", {"content": "明天下雨"}, "通知：明天下雨。", is_free=True)


def test_a_template_is_sent_with_its_own_variables() -> None:
    content = {"template": "SMS_2", "params": {"code": "123456"}}
    assert KNOWN.message(content) == Message("SMS_2", {"code": "123456"}, "123456", has_words=False)


def test_without_templates_a_text_is_sent_as_it_is() -> None:
    assert Templates({}).message("明天下雨") == Message("", {}, "明天下雨", is_free=True)


def test_what_no_provider_could_send_is_refused() -> None:
    contents: list[Any] = [None, {"params": {}}, {"template": "SMS_2"}, {"template": "SMS_2", "params": {"code": 1}}]
    for content in contents:
        assert isinstance(KNOWN.message(content), Refused)
