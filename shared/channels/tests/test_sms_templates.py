"""A logical template is complete, or its error names what it lacks; its parameters have the interface's limits."""

from typing import Any

import pytest
from pydantic import ValidationError

from imsg_channels.content import read
from imsg_channels.sms import SmsContent
from imsg_channels.sms_templates import SmsTemplate
from imsg_contract.errors import Refusal
from imsg_contract.route_limits import TemplateLimits

WAYS: dict[str, Any] = {"aliyun": {"id": "SMS_1"}}


def test_a_template_names_its_parameters_as_they_stand() -> None:
    given = {"text": "${b}和${a}和${b}", "parameters": {"a": 6}, "providers": WAYS}
    template = SmsTemplate.model_validate(given)
    assert template.variables == ("b", "a")
    assert (template.parameter("a").most, template.parameter("b").kind) == (6, "text")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"text": "没有变量", "default": True}, "exactly one"),
        ({"text": "${a}", "parameters": {"b": 6}}, "describes b"),
        ({"text": "${a}${b}", "providers": {"tencent": {"id": "1", "order": ["a"]}}}, "order for tencent"),
        ({"text": "${a}", "providers": {"tencent": {"id": "1", "names": {"x": "y"}}}}, "names x for tencent"),
        ({"text": "${a}", "parameters": {"a": {"kind": "colour"}}}, "kind"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_with_the_reason(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SmsTemplate.model_validate({"providers": WAYS, **given})


LIMITS = {"code": TemplateLimits(text="码${code}", variables={"code": 6}, least={"code": 4}, kinds={"code": "digits"})}


@pytest.mark.parametrize(("value", "why"), [("123", "4"), ("1234567", "6"), ("12a4", "digits"), ("１２３４", "digits")])
def test_a_parameter_that_the_provider_would_refuse_is_refused_by_name(value: str, why: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read(SmsContent, {"template": "code", "params": {"code": value}}, LIMITS)
    assert why in str(refusal.value.values["why_en"])


def test_a_parameter_that_fits_is_taken() -> None:
    content = {"template": "code", "params": {"code": "1234"}}
    assert read(SmsContent, content, LIMITS) == content
