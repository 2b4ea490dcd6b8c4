"""Sends by Alibaba Cloud's own SDK, to an account that the sandbox plays, and asks what became of it."""

import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

from alibabacloud_dysmsapi20170525 import models
from alibabacloud_dysmsapi20170525.client import Client
from alibabacloud_tea_openapi.utils_models import Config

host, key_id, secret, sign, template = sys.argv[1:]
client = Client(Config(access_key_id=key_id, access_key_secret=secret, endpoint=host, protocol="http"))


def send(numbers: str) -> Any:  # noqa: ANN401  the SDK's own
    """Send one text to these numbers."""
    asked = models.SendSmsRequest(
        phone_numbers=numbers,
        sign_name=sign,
        template_code=template,
        template_param=json.dumps({"content": "明天下雨"}, ensure_ascii=False),
        out_id="request/0",
    )
    return client.send_sms(asked).body


sent, refused = send("13800138000,13800138001"), send("19900000002")
today = f"{datetime.now(timezone(timedelta(hours=8))):%Y%m%d}"
listed = client.query_send_details(
    models.QuerySendDetailsRequest(phone_number="13800138000", send_date=today, page_size=10, current_page=1)
).body
found = listed.sms_send_detail_dtos.sms_send_detail_dto
print(  # noqa: T201  the answer of this program
    json.dumps(
        {
            "code": sent.code,
            "has_id": bool(sent.biz_id),
            "refused": refused.code,
            "listed": [(detail.phone_num, detail.out_id, detail.template_code) for detail in found],
        }
    )
)
