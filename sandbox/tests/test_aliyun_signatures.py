"""Aliyun's signatures are the ones that its documents print, recomputed by code of the sandbox's own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from imsg_sandbox.signatures import AuthenticationError, Authenticator, Call, canonical, escape, read_pairs, v1, v3

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

DOCUMENTED = Call(
    "POST",
    "/",
    [("RegionId", "cn-shanghai"), ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd")],
    [],
    {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-version": "2014-05-26",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-content-sha256": EMPTY,
    },
)


def test_the_first_documented_example_of_version_1() -> None:
    given = {
        "Action": "DescribeRegions",
        "Format": "XML",
        "Version": "2014-05-26",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Timestamp": "2016-02-23T12:46:24Z",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "AccessKeyId": "testid",
    }
    assert v1("GET", given, "testsecret") == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_the_documented_example_of_version_1_for_sms() -> None:
    given = {
        "AccessKeyId": "testId",
        "Action": "SendSms",
        "Format": "XML",
        "OutId": "123",
        "PhoneNumbers": "15300000001",
        "RegionId": "cn-hangzhou",
        "SignName": "阿里云短信测试专用",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "45e25e9b-0a6f-4070-8c85-2956eda1b466",
        "SignatureVersion": "1.0",
        "TemplateCode": "SMS_71390007",
        "TemplateParam": '{"customer":"test"}',
        "Timestamp": "2017-07-12T02:42:19Z",
        "Version": "2017-05-25",
        "Signature": "is no part of itself",
    }
    assert v1("GET", given, "testSecret") == "zJDF+Lrzhj/ThnlvIToysFRq6t4="


def test_the_documented_example_of_v3() -> None:
    signature = v3(DOCUMENTED, sorted(DOCUMENTED.headers), "YourAccessKeySecret", "/")
    assert signature == "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"


def sign(**changed: str) -> Call:
    """Sign a call for SMS as a client does."""
    headers = {
        **DOCUMENTED.headers,
        "x-acs-action": "SendSms",
        "x-acs-version": "2017-05-25",
        "x-acs-date": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        **changed,
    }
    names = sorted(headers)
    call = replace(DOCUMENTED, headers=headers)
    value = (
        f"ACS3-HMAC-SHA256 Credential=key,SignedHeaders={';'.join(names)},Signature={v3(call, names, 'secret', '/')}"
    )
    return replace(call, headers={**headers, "authorization": value})


def gatekeeper() -> Authenticator:
    """Make one that knows one key."""
    return Authenticator({"key": "secret"}, lambda: NOW)


def test_what_is_signed_right_is_let_in_once() -> None:
    keeper = gatekeeper()
    assert keeper.check(sign()) == "SendSms"
    with pytest.raises(AuthenticationError) as refused:
        keeper.check(sign())
    assert refused.value.code == "SignatureNonceUsed"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (replace(sign(), query=[("RegionId", "cn-beijing")]), "SignatureDoesNotMatch"),
        (replace(sign(), body=b"PhoneNumbers=1"), "InvalidContentSha256"),
        (replace(sign(), method="GET"), "SignatureDoesNotMatch"),
        (sign(**{"x-acs-date": f"{NOW - timedelta(minutes=16):%Y-%m-%dT%H:%M:%SZ}"}), "InvalidTimeStamp.Expired"),
        (sign(**{"x-acs-date": "yesterday"}), "InvalidTimeStamp.Format"),
        (sign(**{"x-acs-version": "2014-05-26"}), "InvalidVersion"),
        (replace(sign(), headers={**sign().headers, "x-acs-new": "1"}), "IncompleteSignature"),
        (replace(sign(), headers={}), "MissingAccessKeyId"),
    ],
)
def test_what_is_not_signed_right_is_refused(call: Call, code: str) -> None:
    with pytest.raises(AuthenticationError) as refused:
        gatekeeper().check(call)
    assert refused.value.code == code


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(AuthenticationError) as refused:
        Authenticator({}, lambda: NOW).check(sign())
    assert (refused.value.code, refused.value.status) == ("InvalidAccessKeyId.NotFound", 404)


def test_version_1_is_let_in_too() -> None:
    given = {
        "Action": "SendSms",
        "Version": "2017-05-25",
        "AccessKeyId": "key",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": "n",
        "Timestamp": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
    }
    call = Call("GET", "/", [*given.items(), ("Signature", v1("GET", given, "secret"))], [], {})
    assert gatekeeper().check(call) == "SendSms"
    with pytest.raises(AuthenticationError) as refused:
        gatekeeper().check(replace(call, query=[*call.query, ("PhoneNumbers", "1")]))
    assert refused.value.code == "SignatureDoesNotMatch"


def test_a_query_is_read_and_written_as_rfc_3986_has_it() -> None:
    assert read_pairs("a=%E9%98%BF+b&c&&d=1=2") == [("a", "阿 b"), ("c", ""), ("d", "1=2")]
    assert escape("阿 b~*+") == "%E9%98%BF%20b~%2A%2B"
    assert canonical(DOCUMENTED, ["host"], "/").startswith("POST\n/\nImageId=win2019")
