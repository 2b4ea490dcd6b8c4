"""Who carried a message, as the page names them."""

import pytest

from imsg_console.features.messages.timeline import provider_name
from imsg_console.texts import Texts


@pytest.mark.parametrize(
    ("method", "provider", "zh", "en"),
    [
        ("sms", "aliyun", "阿里云短信", "Alibaba Cloud SMS"),
        ("smtp", "smtp", "邮件服务器", "Mail server"),
        ("smtp", "second", "邮件服务器 second", "Mail server second"),
        ("smtp", "aliyun", "邮件服务器 aliyun", "Mail server aliyun"),
        ("wechat", "wechat", "微信", "WeChat"),
        ("sms", "smtp", "smtp", "smtp"),
        ("sms", "nobody", "nobody", "nobody"),
    ],
)
def test_a_provider_goes_by_its_name_among_those_of_its_channel(method: str, provider: str, zh: str, en: str) -> None:
    assert (provider_name(Texts("zh"), provider, method), provider_name(Texts("en"), provider, method)) == (zh, en)
