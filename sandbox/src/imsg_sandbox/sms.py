"""The SMS providers that are played, each for the account that sender-sms has there, over one inbox."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.types import ASGIApp

from imsg_sandbox import tencent, twilio, volcengine
from imsg_sandbox.aliyun_account import AliyunSettings
from imsg_sandbox.aliyun_signatures import Call
from imsg_sandbox.faults import Faults
from imsg_sandbox.sms_accounts import LogicalTemplate, TencentSettings, TwilioSettings, VolcengineSettings
from imsg_sandbox.sms_api import SmsApi
from imsg_sandbox.sms_played import Ground, Played


class SmsSettings(BaseModel):
    """What of sender-sms the sandbox reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    aliyun: AliyunSettings = AliyunSettings()
    tencent: TencentSettings = TencentSettings()
    volcengine: VolcengineSettings = VolcengineSettings()
    twilio: TwilioSettings = TwilioSettings()
    templates: Mapping[str, LogicalTemplate] = {}


Others = tencent.TencentSms | volcengine.VolcengineSms | twilio.TwilioSms


def play(sms: SmsSettings, ground: Ground) -> Sequence[Others]:
    """Make the providers beside Aliyun."""
    return (
        tencent.TencentSms(
            tencent.Account(
                sms.tencent.secrets,
                sms.tencent.app_id,
                sms.tencent.signs(tencent.NAME, sms.templates),
                sms.tencent.forms(tencent.NAME, sms.templates),
                sms.tencent.hook(ground.hooks, tencent.NAME),
                sms.tencent.pull,
            ),
            ground,
        ),
        volcengine.VolcengineSms(
            volcengine.Account(
                sms.volcengine.secrets,
                sms.volcengine.sms_account,
                sms.volcengine.signs(volcengine.NAME, sms.templates),
                sms.volcengine.forms(volcengine.NAME, sms.templates),
                sms.volcengine.hook(ground.hooks, volcengine.NAME),
            ),
            ground,
        ),
        twilio.TwilioSms(
            twilio.Account(
                sms.twilio.account_sid,
                sms.twilio.auth_token.get_secret_value(),
                sms.twilio.logins,
                sms.twilio.sender,
                sms.twilio.messaging_service_sid,
                sms.twilio.hook(ground.hooks, twilio.NAME),
            ),
            ground,
        ),
    )


def serve(played: Sequence[Others], faults: Faults) -> dict[str, ASGIApp]:
    """Make their APIs, by their names."""
    answers: Mapping[str, Callable[[Call], Awaitable[Response]]] = {one.name: one.answer for one in played}
    return {name: SmsApi(answer, faults) for name, answer in answers.items()}


__all__ = ["Ground", "Played", "SmsSettings", "play", "serve"]
