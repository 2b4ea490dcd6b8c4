"""Tencent Cloud's signature, by its documented example and by its own SDK."""

from datetime import UTC, datetime

from imsg_sms.providers.tencent_signature import Request, canonical, headers, sign

STARS = "*" * 32


def test_the_documented_example_is_signed_alike() -> None:
    """Its payload keeps its escapes: the very bytes that are sent are signed."""
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    request = Request("cvm.tencentcloudapi.com", "cvm", "DescribeInstances", "2017-03-12", body)
    made = headers(request, f"AKID{STARS}", STARS, now=datetime.fromtimestamp(1551113065, UTC), region="ap-guangzhou")
    assert made["authorization"] == (
        f"TC3-HMAC-SHA256 Credential=AKID{STARS}/2019-02-25/cvm/tc3_request, "
        "SignedHeaders=content-type;host;x-tc-action, "
        "Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
    )
    assert (made["x-tc-timestamp"], made["x-tc-version"]) == ("1551113065", "2017-03-12")


def test_an_sms_is_signed_as_the_providers_sdk_signs_it() -> None:
    """The SDK leaves the action out of what is signed: both forms are right."""
    body = (
        '{"PhoneNumberSet":["+8613711112222"],"SmsSdkAppId":"1400006666","SignName":"天存","TemplateId":"1110",'
        '"TemplateParamSet":["4370"],"SessionContext":"0192f1c2a0007000800000000000abcd-0"}'
    ).encode()
    request = Request("sms.tencentcloudapi.com", "sms", "SendSms", "2021-01-11", body)
    key_id, key = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
    made = headers(request, key_id, key, now=datetime(2025, 1, 1, 4, tzinfo=UTC))
    assert made["authorization"].endswith("Signature=48365f79b7f26db98c2f02e93512ba5e8f47767c5bdd1f527b226b671c82156b")
    signed = {"content-type": made["content-type"], "host": made["host"]}
    assert sign(canonical(request, signed, "content-type;host"), key, 1735704000, "2025-01-01/sms/tc3_request") == (
        "c1b3050432209e5e4138374e3e9d29e48f4bf598d027aafe164a21cd92176a26"
    )
