"""What a WeChat template's variables take, as the gateway checks it by the limits its sender published."""

import pytest

from imsg_channels.content import read
from imsg_channels.sms import SMS
from imsg_channels.spec import ChannelSpec
from imsg_channels.wechat import WECHAT
from imsg_contract.errors import Refusal
from imsg_contract.route_limits import TemplateLimits

TEMPLATES = {
    "TM1": TemplateLimits(default=True, variables={"thing1": 20}, links=True),
    "TM2": TemplateLimits(variables={"content": None}, links=True, breaks=True),
}


MANY = {f"k{number}": "x" for number in range(1_001)}


def params(template: str, **values: str) -> dict[str, object]:
    return {"template": template, "params": values}


@pytest.mark.parametrize(
    "content",
    [
        "长" * 500,
        params("TM1", thing1="一" * 20),
        params("TM2", content="第一行\n【第二行】 https://example.com"),
    ],
)
def test_what_wechat_takes_passes(content: object) -> None:
    assert read(WECHAT.content, content, TEMPLATES) == content


@pytest.mark.parametrize(
    "content",
    [
        params("TM1", thing1="一" * 21),
        params("TM1", thing1="一行\n两行"),
        params("TM1"),
        params("TM1", thing1="x", thing2="y"),
        params("TM9", thing1="x"),
    ],
)
def test_what_wechat_would_refuse_is_refused_at_once(content: object) -> None:
    with pytest.raises(Refusal) as raised:
        read(WECHAT.content, content, TEMPLATES)
    assert raised.value.row.code == 10009


@pytest.mark.parametrize("text", ["http://a", "请访问example.com", "见a-b.cn/x", "www.a", "A.ME", "a@b.top"])
def test_a_link_is_found_right_behind_chinese_too(text: str) -> None:
    templates = {"SMS_1": TemplateLimits(default=True, variables={"content": None}, breaks=True)}
    with pytest.raises(Refusal):
        read(SMS.content, {"template": "SMS_1", "params": {"content": text}}, templates)


def test_a_long_word_of_hyphens_is_looked_through_at_once() -> None:
    """The pattern for links was quadratic."""
    templates = {"SMS_1": TemplateLimits(default=True, variables={"content": None}, links=False, breaks=True)}
    with pytest.raises(Refusal):  # too long, and said at once
        read(SMS.content, {"template": "SMS_1", "params": {"content": "a-" * 60_000}}, templates)


@pytest.mark.parametrize(
    "content",
    [MANY, {"template": "TM1", "params": MANY}, {"template": [MANY] * 1_001}, {"params": {"thing1": ["x"]}, **MANY}],
    ids=["fields", "params", "a list", "params beside fields"],
)
@pytest.mark.parametrize("channel", [SMS, WECHAT], ids=["sms", "wechat"])
def test_more_fields_than_any_content_has_are_refused_by_their_bound(
    channel: ChannelSpec, content: dict[str, object]
) -> None:
    with pytest.raises(Refusal) as raised:
        read(channel.content, content, TEMPLATES)
    assert "it has at most 1000 fields" in str(raised.value.answer(english=True))
