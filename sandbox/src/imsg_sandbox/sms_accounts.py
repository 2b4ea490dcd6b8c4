"""The accounts at SMS providers other than Aliyun that the sandbox plays: those of sender-sms."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from imsg_sandbox.sms_forms import Form, variables

HOOK = "/hooks/sms/"


class WaySettings(BaseModel):
    """By which approved template a provider sends a logical one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = ""
    signature: str = ""
    order: Sequence[str] = ()
    names: Mapping[str, str] = {}


class LogicalTemplate(BaseModel):
    """A logical template, as sender-sms knows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = ""
    providers: Mapping[str, WaySettings] = {}


class AccountSettings(BaseModel):
    """What accounts have in common."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sign_name: str = ""
    template: str = ""
    variable: str = "content"
    variable_characters: int | None = None
    hook_secret: SecretStr | None = None

    def signs(self, name: str, templates: Mapping[str, LogicalTemplate]) -> frozenset[str]:
        """List the approved signatures."""
        ways = [one.providers[name] for one in templates.values() if name in one.providers]
        return frozenset({self.sign_name, *(way.signature for way in ways)} - {""})

    def forms(self, name: str, templates: Mapping[str, LogicalTemplate]) -> dict[str, Form]:
        """List the approved templates, with the provider's names of their variables."""
        forms: dict[str, Form] = {}
        if self.template:
            words = f"您有一条新通知：${{{self.variable}}}，请及时查看。"
            forms[self.template] = Form(words, (self.variable,), self.variable_characters)
        for one in templates.values():
            way = one.providers.get(name)
            if way is None or not way.id:
                continue
            text = one.text
            for ours, theirs in way.names.items():
                text = text.replace(f"${{{ours}}}", f"${{{theirs}}}")
            order = tuple(way.names.get(each, each) for each in way.order) or variables(text)
            forms[way.id] = Form(text, order, self.variable_characters)
        return forms

    def hook(self, base: str, name: str) -> str | None:
        """Make the URL that receipts go to, and what people answer."""
        return hook_url(base, name, self.hook_secret)


def hook_url(base: str, name: str, secret: SecretStr | None) -> str | None:
    """Make the URL of an account's hook; None where it has none."""
    return f"{base}{HOOK}{name}/{secret.get_secret_value()}" if secret else None


class TencentSettings(AccountSettings):
    """The account at Tencent Cloud."""

    kind: Literal["tencent"] = "tencent"
    secret_id: str = ""
    secret_key: SecretStr = SecretStr("")
    app_id: str = ""
    variable_characters: int | None = 6
    pull: bool = False

    @property
    def secrets(self) -> dict[str, str]:
        """Secret id → key; none where there is no account."""
        key = self.secret_key.get_secret_value()
        return {self.secret_id: key} if self.secret_id and key else {}


class VolcengineSettings(AccountSettings):
    """The account at Volcengine."""

    kind: Literal["volcengine"] = "volcengine"
    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    sms_account: str = ""
    variable_characters: int | None = 35

    @property
    def secrets(self) -> dict[str, str]:
        """Access key id → secret; none where there is no account."""
        secret = self.access_key_secret.get_secret_value()
        return {self.access_key_id: secret} if self.access_key_id and secret else {}


class TwilioSettings(BaseModel):
    """The account at Twilio."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["twilio"] = "twilio"
    account_sid: str = ""
    auth_token: SecretStr = SecretStr("")
    key_sid: str = ""
    key_secret: SecretStr | None = None
    sender: str = ""
    messaging_service_sid: str = ""
    hook_secret: SecretStr | None = None

    def hook(self, base: str, name: str) -> str | None:
        """Make the URL that what people answer goes to."""
        return hook_url(base, name, self.hook_secret)

    @property
    def logins(self) -> dict[str, str]:
        """Account sid or API key → its secret; none where there is no account."""
        token = self.auth_token.get_secret_value()
        logins = {self.account_sid: token} if self.account_sid and token else {}
        if self.key_sid and self.key_secret:
            logins[self.key_sid] = self.key_secret.get_secret_value()
        return logins
