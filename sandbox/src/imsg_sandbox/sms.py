"""The SMS providers that are played, each for an account that sender-sms has there, over one inbox."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, field_validator

from imsg_sandbox import tencent, twilio, volcengine
from imsg_sandbox.aliyun_account import AliyunSettings
from imsg_sandbox.sms_accounts import LogicalTemplate, TencentSettings, TwilioSettings, VolcengineSettings
from imsg_sandbox.sms_played import Ground, Played

AnyAccount = AliyunSettings | TencentSettings | VolcengineSettings | TwilioSettings

KINDS: Mapping[str, type[AnyAccount]] = {
    "aliyun": AliyunSettings,
    "tencent": TencentSettings,
    "volcengine": VolcengineSettings,
    "twilio": TwilioSettings,
}


class SmsSettings(BaseModel):
    """What of sender-sms the sandbox reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    accounts: dict[str, AnyAccount] = {}
    templates: Mapping[str, LogicalTemplate] = {}

    @field_validator("accounts", mode="before")
    @classmethod
    def _read_accounts(cls, given: object) -> object:
        """Read each account as its kind has it; of kinds that are not played, such as `http`, none."""
        if not isinstance(given, Mapping):
            return given
        kinds = {name: one.get("kind", name) if isinstance(one, Mapping) else one.kind for name, one in given.items()}
        return {name: KINDS[kind].model_validate(given[name]) for name, kind in kinds.items() if str(kind) in KINDS}

    @property
    def played(self) -> Mapping[str, AnyAccount]:
        """Every account; of a kind without any, one that knows nobody."""
        taken = {account.kind for account in self.accounts.values()}
        return self.accounts | {kind: model() for kind, model in KINDS.items() if kind not in taken}


Player = tencent.TencentSms | volcengine.VolcengineSms | twilio.TwilioSms


def play(
    name: str,
    account: TencentSettings | VolcengineSettings | TwilioSettings,
    templates: Mapping[str, LogicalTemplate],
    ground: Ground,
) -> Player:
    """Make the provider of an account, where it is not Aliyun."""
    hook = account.hook(ground.hooks, name)
    match account:
        case TencentSettings():
            signs, forms = account.signs(name, templates), account.forms(name, templates)
            at_tencent = tencent.Account(account.secrets, account.app_id, signs, forms, hook, account.pull)
            return tencent.TencentSms(name, at_tencent, ground)
        case VolcengineSettings():
            signs, forms = account.signs(name, templates), account.forms(name, templates)
            at_volcengine = volcengine.Account(account.secrets, account.sms_account, signs, forms, hook)
            return volcengine.VolcengineSms(name, at_volcengine, ground)
        case TwilioSettings():
            token, sender = account.auth_token.get_secret_value(), account.sender
            at_twilio = twilio.Account(
                account.account_sid, token, account.logins, sender, account.messaging_service_sid, hook
            )
            return twilio.TwilioSms(name, at_twilio, ground)


__all__ = ["AliyunSettings", "Ground", "Played", "SmsSettings", "play"]
