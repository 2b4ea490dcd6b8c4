"""Providers as the page names them."""

import pytest

from imsg_console.features.messages.timeline import name_provider
from imsg_console.texts import Texts


@pytest.mark.parametrize(
    ("method", "provider", "zh", "en"),
    [
        ("sms", "aliyun", "aliyun", "aliyun"),
        ("smtp", "smtp", "邮件服务器", "Mail server"),
        ("smtp", "second", "邮件服务器 second", "Mail server second"),
        ("smtp", "aliyun", "邮件服务器 aliyun", "Mail server aliyun"),
        ("wechat", "wechat", "微信", "WeChat"),
        ("sms", "smtp", "smtp", "smtp"),
        ("sms", "nobody", "nobody", "nobody"),
    ],
)
def test_a_provider_goes_by_its_name_among_those_of_its_channel(method: str, provider: str, zh: str, en: str) -> None:
    assert (name_provider(Texts("zh"), provider, method), name_provider(Texts("en"), provider, method)) == (zh, en)
