"""The SMS providers that are played, each for the account that sender-sms has there, over one inbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp

from imsg_sandbox import tencent, twilio, volcengine
from imsg_sandbox.aliyun_account import AliyunSettings
from imsg_sandbox.faults import Faults
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.sms_accounts import LogicalTemplate, TencentSettings, TwilioSettings, VolcengineSettings
from imsg_sandbox.sms_api import SmsApi
from imsg_sandbox.sms_callbacks import Callbacks


class SmsSettings(BaseModel):
    """What of sender-sms the sandbox reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    aliyun: AliyunSettings = AliyunSettings()
    tencent: TencentSettings = TencentSettings()
    volcengine: VolcengineSettings = VolcengineSettings()
    twilio: TwilioSettings = TwilioSettings()
    templates: Mapping[str, LogicalTemplate] = {}


@dataclass(frozen=True, slots=True)
class Ground:
    """What the providers share."""

    inbox: Inbox
    faults: Faults
    callbacks: Callbacks
    hooks: str
    """Below which URL receipts go."""
    now: Callable[[], datetime]


def play(sms: SmsSettings, ground: Ground) -> dict[str, ASGIApp]:
    """Make the APIs of the providers beside Aliyun, by their names."""
    given = (ground.inbox, ground.faults, ground.callbacks, ground.now)
    tencent_sms = tencent.TencentSms(
        tencent.Account(
            sms.tencent.secrets,
            sms.tencent.app_id,
            sms.tencent.signs(tencent.NAME, sms.templates),
            sms.tencent.forms(tencent.NAME, sms.templates),
            sms.tencent.hook(ground.hooks, tencent.NAME),
            sms.tencent.pull,
        ),
        *given,
    )
    volcengine_sms = volcengine.VolcengineSms(
        volcengine.Account(
            sms.volcengine.secrets,
            sms.volcengine.sms_account,
            sms.volcengine.signs(volcengine.NAME, sms.templates),
            sms.volcengine.forms(volcengine.NAME, sms.templates),
            sms.volcengine.hook(ground.hooks, volcengine.NAME),
        ),
        *given,
    )
    twilio_sms = twilio.TwilioSms(
        twilio.Account(
            sms.twilio.account_sid,
            sms.twilio.auth_token.get_secret_value(),
            sms.twilio.logins,
            sms.twilio.sender,
            sms.twilio.messaging_service_sid,
        ),
        *given,
    )
    answers = {
        tencent.NAME: tencent_sms.answer,
        volcengine.NAME: volcengine_sms.answer,
        twilio.NAME: twilio_sms.answer,
    }
    return {name: SmsApi(answer, ground.faults) for name, answer in answers.items()}
