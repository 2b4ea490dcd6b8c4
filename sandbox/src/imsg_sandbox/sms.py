"""The SMS providers that the sandbox plays, one for each account of sender-sms."""

from collections.abc import Mapping

from imsg_sandbox import aliyun, tencent, twilio, volcengine
from imsg_sandbox.sms_accounts import (
    AliyunSettings,
    AnyAccount,
    LogicalTemplate,
    TencentSettings,
    TwilioSettings,
    VolcengineSettings,
)
from imsg_sandbox.sms_provider import SmsContext, SmsProvider


class SmsProviders:
    """Makes the providers; `aliyun_limits` holds for all accounts at Aliyun."""

    def __init__(
        self, templates: Mapping[str, LogicalTemplate], context: SmsContext, aliyun_limits: aliyun.AliyunLimits
    ) -> None:
        self._templates = templates
        self._context = context
        self._aliyun_limits = aliyun_limits

    def make(self, name: str, account: AnyAccount) -> SmsProvider:
        """Make the provider of an account."""
        templates, context = self._templates, self._context
        hook = account.hook(context.hooks, name)
        match account:
            case AliyunSettings():
                signatures = account.find_signatures(name, templates)
                at_aliyun = aliyun.Account(account.secrets, signatures, account.approved, hook)
                return aliyun.AliyunSms(name, at_aliyun, context, self._aliyun_limits)
            case TencentSettings():
                signatures, approved = account.find_signatures(name, templates), account.find_templates(name, templates)
                at_tencent = tencent.Account(account.secrets, account.app_id, signatures, approved, hook, account.pull)
                return tencent.TencentSms(name, at_tencent, context)
            case VolcengineSettings():
                signatures, approved = account.find_signatures(name, templates), account.find_templates(name, templates)
                at_volcengine = volcengine.Account(account.secrets, account.sms_account, signatures, approved, hook)
                return volcengine.VolcengineSms(name, at_volcengine, context)
            case TwilioSettings():
                token, sender = account.auth_token.get_secret_value(), account.sender
                at_twilio = twilio.Account(
                    account.account_sid, token, account.logins, sender, account.messaging_service_sid, hook
                )
                return twilio.TwilioSms(name, at_twilio, context)
