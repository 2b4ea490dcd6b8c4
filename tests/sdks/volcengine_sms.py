"""Sends by Volcengine's own SDK, to an account that the sandbox plays."""

import json
import sys

from volcengine.sms.SmsService import SmsService

host, key_id, secret, group, sign = sys.argv[1:]
service = SmsService()
service.set_ak(key_id)
service.set_sk(secret)
service.set_host(host)
service.set_scheme("http")

asked = {
    "SmsAccount": group,
    "Sign": sign,
    "TemplateID": "ST_1",
    "TemplateParam": json.dumps({"vcode": "4370"}),
    "PhoneNumbers": "13800138000,13800138001",
    "Tag": "request/0",
}
print(json.dumps(service.send_sms(json.dumps(asked))))  # noqa: T201  the answer of this program
