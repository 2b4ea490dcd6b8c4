"""Volcengine's signature, as its own SDK makes it."""

from datetime import UTC, datetime

from imsg_sms.providers.volcengine_signature import Request, headers


def test_an_sms_is_signed_as_the_providers_sdk_signs_it() -> None:
    """The body is signed by its hash, which travels as a header."""
    body = (
        '{"SmsAccount":"6df864b1","Sign":"天存","TemplateID":"ST_7a5b1c2d","TemplateParam":"{\\"code\\":\\"4370\\"}",'
        '"PhoneNumbers":"13711112222","Tag":"0192f1c2a0007000800000000000abcd-0"}'
    ).encode()
    request = Request("sms.volcengineapi.com", {"Version": "2020-01-01", "Action": "SendSms"}, body)
    made = headers(
        request,
        "AKLTEXAMPLE",
        "SECRETEXAMPLE",
        now=datetime(2025, 1, 1, 4, tzinfo=UTC),
        region="cn-north-1",
        service="volcSMS",
    )
    assert made["x-date"] == "20250101T040000Z"
    assert made["x-content-sha256"] == "1de2e475dc7b9cc855828543ecc844bb4d91548078ede1348c6fafc6eea571ad"
    assert made["authorization"] == (
        "HMAC-SHA256 Credential=AKLTEXAMPLE/20250101/cn-north-1/volcSMS/request, "
        "SignedHeaders=content-type;host;x-content-sha256;x-date, "
        "Signature=2d7109c8a76e77a83c4ac7d6e89f071406cd98622e95d7a7b7b4d5cbcd38cb26"
    )
