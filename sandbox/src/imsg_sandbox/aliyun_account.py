"""The Aliyun account that the sandbox plays: that of sender-sms, with templates to try besides."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from imsg_sandbox.aliyun import Account
from imsg_sandbox.aliyun_rules import Form
from imsg_sandbox.sms_accounts import hook_url

EXAMPLES = {
    "SMS_100000002": Form("您的验证码为${code}，五分钟内有效，请勿告诉他人。", is_captcha=True),
    "SMS_100000003": Form("${name}您好，您预约的${time}已确认。", longest=20),
}
"""Templates that are approved beside the account's own."""


class TemplateSettings(BaseModel):
    """An approved template, as sender-sms knows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = ""
    variables: Mapping[str, int | None] = {}


class AliyunSettings(BaseModel):
    """The account: the settings of sender-sms."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["aliyun"] = "aliyun"
    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    sign_name: str = ""
    template: str = ""
    variable: str = "content"
    variable_characters: int | None = 35
    templates: Mapping[str, TemplateSettings] = {}
    hook_secret: SecretStr | None = None

    @property
    def secrets(self) -> dict[str, str]:
        """Key id → secret; none where there is no account."""
        secret = self.access_key_secret.get_secret_value()
        return {self.access_key_id: secret} if self.access_key_id and secret else {}

    @property
    def account(self) -> Account:
        """What may be sent."""
        forms = dict(EXAMPLES)
        if self.template:
            words = f"您有一条新通知：${{{self.variable}}}，请及时查看。"
            forms[self.template] = Form(words, self.variable_characters)
        for name, one in self.templates.items():
            if one.text:
                longest = [most for most in one.variables.values() if most is not None]
                forms[name] = Form(one.text, max(longest) if longest else self.variable_characters)
        return Account(frozenset({self.sign_name} - {""}), forms)

    def hook(self, base: str, name: str) -> str | None:
        """Make the URL that receipts go to, and what people answer."""
        return hook_url(base, name, self.hook_secret)
