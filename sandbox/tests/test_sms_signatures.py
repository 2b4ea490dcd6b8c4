"""The sandbox's own signatures of Tencent, Volcengine and Twilio, by the vectors that their SDKs made."""

from imsg_sandbox import tencent, twilio, volcengine
from imsg_sandbox.signatures import Call

JSON = "application/json; charset=utf-8"


def test_tencents_is_that_of_its_sdk() -> None:
    body = (
        '{"PhoneNumberSet":["+8613711112222"],"SmsSdkAppId":"1400006666","SignName":"天存","TemplateId":"1110",'
        '"TemplateParamSet":["4370"],"SessionContext":"0192f1c2a0007000800000000000abcd-0"}'
    ).encode()
    headers = {"content-type": JSON, "host": "sms.tencentcloudapi.com", "x-tc-action": "SendSms"}
    call = Call("POST", "/", (), (), headers, body)
    key = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
    assert [tencent.sign(call, names, key, "1735704000", "/") for names in NAMES] == [
        "c1b3050432209e5e4138374e3e9d29e48f4bf598d027aafe164a21cd92176a26",
        "48365f79b7f26db98c2f02e93512ba5e8f47767c5bdd1f527b226b671c82156b",
    ]


NAMES = ("content-type;host", "content-type;host;x-tc-action")


def test_volcengines_is_that_of_its_sdk() -> None:
    body = (
        '{"SmsAccount":"6df864b1","Sign":"天存","TemplateID":"ST_7a5b1c2d","TemplateParam":"{\\"code\\":\\"4370\\"}",'
        '"PhoneNumbers":"13711112222","Tag":"0192f1c2a0007000800000000000abcd-0"}'
    ).encode()
    headers = {
        "content-type": JSON,
        "host": "sms.volcengineapi.com",
        "x-date": "20250101T040000Z",
        "x-content-sha256": "1de2e475dc7b9cc855828543ecc844bb4d91548078ede1348c6fafc6eea571ad",
    }
    call = Call("POST", "/", (("Action", "SendSms"), ("Version", "2020-01-01")), (), headers, body)
    names = "content-type;host;x-content-sha256;x-date"
    assert volcengine.sign(call, names, "SECRETEXAMPLE", "cn-north-1", "/") == (
        "2d7109c8a76e77a83c4ac7d6e89f071406cd98622e95d7a7b7b4d5cbcd38cb26"
    )


def test_twilios_is_that_of_its_document() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    assert twilio.sign("https://mycompany.com/myapp.php?foo=1&bar=2", form, "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
