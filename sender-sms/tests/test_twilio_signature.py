"""Twilio's signature on callbacks, by its documented example and by its own library."""

from urllib.parse import parse_qs, urlencode

import pytest

from imsg_sms.providers.twilio_signature import is_signed, sign

TOKEN = "12345"
URL = "https://sms.example.com/hooks/sms/twilio"
FIELDS = {
    "AccountSid": "AC00000000000000000000000000000001",
    "ApiVersion": "2010-04-01",
    "From": "+15005550006",
    "MessageSid": "SM00000000000000000000000000000001",
    "SmsSid": "SM00000000000000000000000000000001",
    "MessageStatus": "delivered",
    "To": "+8613711112222",
}
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
BY_KEY = {"x-twilio-webhooks-signature-settings": "key=1,algorithm=HMAC_SHA256"}
JSON_URL = (
    "https://mycompany.com/myapp.php?bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620&foo=1"
)
JSON = b'{"property": "value", "boolean": true}'


def test_the_documented_example_is_signed_alike() -> None:
    form = parse_qs("CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212")
    assert sign("https://mycompany.com/myapp.php?foo=1&bar=2", form, TOKEN) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("signature", "more"),
    [
        ("TdjjIRyTKFuncYF/Jbr80lWmW+I=", {}),
        ("TZtvnfCyMxmULRRy7dlaNaw5Dd0=", {}),
        ("rqxzEHSBjrhiks4VzcPIy3cOXLjcgbuAmdog6jBx4V0=", BY_KEY),
    ],
    ids=["without a port", "with a port", "by SHA-256"],
)
def test_a_callback_is_known_by_its_signature(signature: str, more: dict[str, str]) -> None:
    """Twilio signs the URL with its port or without, and newer accounts by another algorithm and key."""
    headers = {**FORM, "x-twilio-signature": signature, **more}
    assert is_signed(URL, headers, urlencode(FIELDS).encode(), TOKEN, TOKEN)
    assert is_signed(f"{URL}".replace(".com", ".com:443"), headers, urlencode(FIELDS).encode(), TOKEN, TOKEN)
    changed = urlencode({**FIELDS, "MessageStatus": "failed"}).encode()
    assert not is_signed(URL, headers, changed, TOKEN, TOKEN)
    assert not is_signed(f"{URL}/", headers, urlencode(FIELDS).encode(), TOKEN, TOKEN)
    assert not is_signed(URL, headers, urlencode(FIELDS).encode(), "54321", "54321")


@pytest.mark.parametrize(
    ("signature", "more"),
    [("3oVQNJy2+NY/2v/wk1Abfpnn8ME=", {}), ("2sa4bVXFm+mODlTn64x1gbsBpFtuyPw2IOLkCVn7dEo=", BY_KEY)],
)
def test_json_is_signed_by_its_hash_in_the_url(signature: str, more: dict[str, str]) -> None:
    headers = {"content-type": "application/json", "x-twilio-signature": signature, **more}
    assert is_signed(JSON_URL, headers, JSON, TOKEN, TOKEN)
    assert not is_signed(JSON_URL, headers, JSON + b" ", TOKEN, TOKEN)


def test_json_that_the_url_does_not_name_is_never_signed() -> None:
    """Else any body would pass with the signature of the bare URL."""
    url = "https://mycompany.com/myapp.php?foo=1"
    headers = {"content-type": "application/json", "x-twilio-signature": sign(url, {}, TOKEN)}
    assert not is_signed(url, headers, JSON, TOKEN)


def test_without_the_shared_key_the_other_algorithm_is_not_taken() -> None:
    headers = {**FORM, **BY_KEY, "x-twilio-signature": sign(URL, parse_qs(urlencode(FIELDS)), TOKEN, "sha256")}
    assert not is_signed(URL, headers, urlencode(FIELDS).encode(), TOKEN)
