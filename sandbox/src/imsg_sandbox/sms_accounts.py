"""The accounts at SMS providers that the sandbox plays: those in the settings of sender-sms."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from imsg_sandbox.approved_templates import UNFILED, ApprovedTemplate, find_variables, make_template

EXAMPLES = {
    "SMS_100000002": make_template("您的验证码为${code}，五分钟内有效，请勿告诉他人。", is_captcha=True),
    "SMS_100000003": make_template("${name}您好，您预约的${time}已确认。", 20),
    "SMS_100000004": make_template("${name}您好，本馆新到一批图书，欢迎借阅。拒收请回复R"),
}
"""Templates that Aliyun has approved beside the account's own, for trying out."""


class ProviderTemplate(BaseModel):
    """The approved template by which a provider sends a logical template."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = ""
    signature: str = ""
    order: Sequence[str] = ()
    names: Mapping[str, str] = {}


class LogicalTemplate(BaseModel):
    """A logical template of sender-sms."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = ""
    providers: Mapping[str, ProviderTemplate] = {}


class HookedSettings(BaseModel):
    """An account with a hook."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hook_secret: SecretStr | None = None

    def hook(self, base: str, name: str) -> str | None:
        """Return the URL that receipts and inbound messages go to; None without a secret."""
        return f"{base}/hooks/sms/{name}/{self.hook_secret.get_secret_value()}" if self.hook_secret else None


MORE_SIGNATURES = ("天存教育", f"天存{UNFILED}")
"""Signatures that every account has beside its own: one to try senders with, and one that is not filed."""


class AccountSettings(HookedSettings):
    """An account with approved signatures and templates."""

    sign_name: str = ""
    template: str = ""
    variable: str = "content"
    variable_characters: int | None = None

    def find_signatures(self, name: str, templates: Mapping[str, LogicalTemplate]) -> frozenset[str]:
        """Return the approved signatures of the account `name`."""
        used = [template.providers[name] for template in templates.values() if name in template.providers]
        return frozenset({self.sign_name, *(template.signature for template in used), *MORE_SIGNATURES} - {""})

    def find_templates(self, name: str, templates: Mapping[str, LogicalTemplate]) -> dict[str, ApprovedTemplate]:
        """Return the approved templates of the account `name` by their ids, with the provider's variable names."""
        approved: dict[str, ApprovedTemplate] = {}
        if self.template:
            text = f"您有一条新通知：${{{self.variable}}}，请及时查看。"
            approved[self.template] = ApprovedTemplate(text, (self.variable,), self.variable_characters)
        for logical in templates.values():
            used = logical.providers.get(name)
            if used is None or not used.id:
                continue
            text = logical.text
            for ours, theirs in used.names.items():
                text = text.replace(f"${{{ours}}}", f"${{{theirs}}}")
            order = tuple(used.names.get(variable, variable) for variable in used.order) or find_variables(text)
            approved[used.id] = ApprovedTemplate(text, order, self.variable_characters)
        return approved


class AliyunTemplate(BaseModel):
    """An approved template of the account's own."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str = ""
    variables: Mapping[str, int | None] = {}


class AliyunSettings(AccountSettings):
    """The account at Aliyun."""

    kind: Literal["aliyun"] = "aliyun"
    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    variable_characters: int | None = 35
    templates: Mapping[str, AliyunTemplate] = {}

    @property
    def secrets(self) -> dict[str, str]:
        """Access key id → secret; empty without an account."""
        return _read_keys(self.access_key_id, self.access_key_secret)

    @property
    def approved(self) -> dict[str, ApprovedTemplate]:
        """The approved templates by their ids."""
        approved = EXAMPLES | self.find_templates("", {})
        for name, template in self.templates.items():
            if template.text:
                longest = [limit for limit in template.variables.values() if limit is not None]
                approved[name] = make_template(template.text, max(longest) if longest else self.variable_characters)
        return approved


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
        """Secret id → key; empty without an account."""
        return _read_keys(self.secret_id, self.secret_key)


class VolcengineSettings(AccountSettings):
    """The account at Volcengine."""

    kind: Literal["volcengine"] = "volcengine"
    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    sms_account: str = ""
    variable_characters: int | None = 35

    @property
    def secrets(self) -> dict[str, str]:
        """Access key id → secret; empty without an account."""
        return _read_keys(self.access_key_id, self.access_key_secret)


class TwilioSettings(HookedSettings):
    """The account at Twilio."""

    kind: Literal["twilio"] = "twilio"
    account_sid: str = ""
    auth_token: SecretStr = SecretStr("")
    key_sid: str = ""
    key_secret: SecretStr | None = None
    sender: str = ""
    messaging_service_sid: str = ""

    @property
    def logins(self) -> dict[str, str]:
        """Account sid or API key → its secret; empty without an account."""
        logins = _read_keys(self.account_sid, self.auth_token)
        if self.key_sid and self.key_secret:
            logins[self.key_sid] = self.key_secret.get_secret_value()
        return logins


def _read_keys(name: str, secret: SecretStr) -> dict[str, str]:
    return {name: secret.get_secret_value()} if name and secret.get_secret_value() else {}


AnyAccount = AliyunSettings | TencentSettings | VolcengineSettings | TwilioSettings

KINDS: Mapping[str, type[AnyAccount]] = {
    "aliyun": AliyunSettings,
    "tencent": TencentSettings,
    "volcengine": VolcengineSettings,
    "twilio": TwilioSettings,
}


class SmsSettings(BaseModel):
    """The settings of sender-sms that the sandbox reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    accounts: dict[str, AnyAccount] = {}
    templates: Mapping[str, LogicalTemplate] = {}

    @field_validator("accounts", mode="before")
    @classmethod
    def _read_accounts(cls, table: object) -> object:
        """Read each account by its kind; drop those of kinds that are not played, such as `http`."""
        if not isinstance(table, Mapping):
            return table
        kinds = {name: row.get("kind", name) if isinstance(row, Mapping) else row.kind for name, row in table.items()}
        return {name: KINDS[kind].model_validate(table[name]) for name, kind in kinds.items() if str(kind) in KINDS}

    @property
    def played(self) -> Mapping[str, AnyAccount]:
        """Every account; for a kind without any, one that accepts no call."""
        present = {account.kind for account in self.accounts.values()}
        return self.accounts | {kind: model() for kind, model in KINDS.items() if kind not in present}
