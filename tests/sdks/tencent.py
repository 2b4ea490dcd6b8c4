"""Sends by Tencent's own SDK, to an account that the sandbox plays, and pulls what became of it."""

import json
import sys

from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20210111 import models, sms_client

host, secret_id, secret_key, app_id, sign = sys.argv[1:]
profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host, reqTimeout=60))
client = sms_client.SmsClient(credential.Credential(secret_id, secret_key), "ap-guangzhou", profile)

asked = models.SendSmsRequest()
asked.PhoneNumberSet = ["+8613800138000", "+8619900000002"]
asked.SmsSdkAppId = app_id
asked.SignName = sign
asked.TemplateId = "1110"
asked.TemplateParamSet = ["4370"]
asked.SessionContext = "request/0"
sent = client.SendSms(asked)

pulling = models.PullSmsSendStatusRequest()
pulling.Limit = 10
pulling.SmsSdkAppId = app_id
pulled = client.PullSmsSendStatus(pulling)

counting = models.SmsPackagesStatisticsRequest()
counting.SmsSdkAppId = app_id
counting.Limit, counting.Offset = 10, 0
counting.BeginTime, counting.EndTime = "2024010100", "2024010101"
(package,) = client.SmsPackagesStatistics(counting).SmsPackagesStatisticsSet

print(  # noqa: T201  the answer of this program
    json.dumps(
        {
            "codes": [status.Code for status in sent.SendStatusSet],
            "serials": [status.SerialNo for status in sent.SendStatusSet],
            "package": (package.PackageAmount, package.CurrentUsage),
            "pulled": [
                (status.SerialNo, status.ReportStatus, status.SessionContext) for status in pulled.PullSmsSendStatusSet
            ],
        }
    )
)
