"""The signature is the one that Aliyun's own documentation prints."""

from datetime import UTC, datetime

from imsg_sms.providers.aliyun_signature import Request, encode, headers


def test_the_documented_example_is_signed_as_documented() -> None:
    """help.aliyun.com/document_detail/2593177.html, the fixed-parameter example."""
    request = Request(
        method="POST",
        host="ecs.cn-shanghai.aliyuncs.com",
        action="RunInstances",
        version="2014-05-26",
        query={"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"},
    )
    made = headers(
        request,
        "YourAccessKeyId",
        "YourAccessKeySecret",
        now=datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
        nonce="3156853299f313e23d1673dc12e1703d",
    )
    assert made["x-acs-date"] == "2023-10-26T10:22:32Z"
    assert made["authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,"
        "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_parameters_are_encoded_as_rfc_3986_has_it() -> None:
    """A space is %20, a tilde stays, Chinese is UTF-8, keys are sorted."""
    assert encode({"b": "a b~*", "a": "阿里"}) == "a=%E9%98%BF%E9%87%8C&b=a%20b~%2A"
