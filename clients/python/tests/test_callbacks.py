"""Callbacks are checked as Standard Webhooks says; its own library signs here."""

import json
import secrets
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from imsg_client.callbacks import PREFIX, verify
from imsg_client.errors import CallbackInvalid

SECRET = PREFIX + b64encode(secrets.token_bytes(32)).decode()
OTHER = PREFIX + b64encode(secrets.token_bytes(32)).decode()
AT = datetime(2026, 11, 26, 8, tzinfo=UTC)
BODY = json.dumps(
    {"id": "evt_1", "type": "message.failed", "timestamp": "2026-11-26T08:00:00Z", "data": {"to": "张三 <z@x.cn>"}},
    ensure_ascii=False,
)


def sign(body: str = BODY, secret: str = SECRET) -> dict[str, str]:
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(AT.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("evt_1", AT, body),
    }


def clock() -> float:
    return AT.timestamp() + 200


def test_what_the_specifications_library_signs_is_read() -> None:
    event = verify(BODY.encode(), sign(), SECRET, clock=clock)
    assert (event.id, event.type, event.data["to"]) == ("evt_1", "message.failed", "张三 <z@x.cn>")


def test_while_a_secret_is_changed_either_will_do() -> None:
    both = sign() | {"Webhook-Signature": f"v1a,x {sign(secret=OTHER)['Webhook-Signature']} nonsense"}
    assert verify(BODY.encode(), both, OTHER, clock=clock)
    assert verify(BODY.encode(), sign(), [OTHER, SECRET], clock=clock)


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (BODY + " ", sign(), "no signature"),
        (BODY, sign(secret=OTHER), "no signature"),
        (BODY, sign() | {"Webhook-Signature": "v1,ü"}, "no signature"),
        (BODY, sign() | {"Webhook-Signature": ""}, "no signature"),
        (BODY, sign() | {"Webhook-Timestamp": "²"}, "its time"),
        (BODY, sign() | {"Webhook-Timestamp": "1"}, "its time"),
        (BODY, {"Webhook-Id": "evt_1"}, "webhook-timestamp"),
        ("[]", sign("[]"), "no event"),
        ("{", sign("{"), "no event"),
    ],
)
def test_all_else_is_refused_with_the_reason(body: str, headers: dict[str, str], why: str) -> None:
    with pytest.raises(CallbackInvalid, match=why):
        verify(body.encode(), headers, SECRET, clock=clock)


def test_what_is_older_than_five_minutes_is_refused() -> None:
    with pytest.raises(CallbackInvalid, match="its time"):
        verify(BODY.encode(), sign(), SECRET, clock=lambda: AT.timestamp() + 301)


def test_an_invalid_secret_is_refused() -> None:
    with pytest.raises(CallbackInvalid, match="whsec_"):
        verify(BODY.encode(), sign(), "whsec_!", clock=clock)
