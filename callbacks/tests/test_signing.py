"""Signatures (checked by the library of Standard Webhooks), secrets under rotated keys, and the retry schedule."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from imsg_callbacks.endpoint_client import read_retry_after
from imsg_callbacks.schedule import DISABLED_AFTER, STEPS_S, EndpointReply, must_disable, next_in_s
from imsg_callbacks.signatures import make_secret, sign, write_headers
from imsg_callbacks.vault import Unreadable, Vault

OLD, NEW, OTHER = (SecretStr(f"{name} key of the tests, long enough") for name in ("the old", "the new", "another"))
DAY_MS = 86_400_000


def test_the_test_vector_of_the_standard_is_signed_alike() -> None:
    signed = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_and_the_library_accepts_either() -> None:
    first, second = make_secret(), make_secret()
    body = '{"到":"了"}'.encode()

    headers = write_headers([first, second], "evt_1", int(datetime.now(UTC).timestamp()), body)

    for secret in (first, second):
        Webhook(secret).verify(body, headers)


def test_secrets_are_read_under_every_key_of_the_list_and_sealed_under_its_first() -> None:
    sealed = Vault([OLD]).seal("whsec_x", "owner")
    rotating = Vault([NEW, OLD])

    assert "whsec_x" not in sealed
    assert rotating.open(sealed, "owner") == "whsec_x"
    assert not rotating.is_fresh(sealed)
    assert Vault([NEW]).open(rotating.seal("whsec_x", "owner"), "owner") == "whsec_x"
    for vault, owner in ((Vault([OTHER]), "owner"), (rotating, "another's row")):
        with pytest.raises(Unreadable):
            vault.open(sealed, owner)


def test_a_cursor_outlives_a_change_of_keys_and_can_not_be_made_up() -> None:
    cursor = Vault([OLD]).write_cursor(7)

    assert Vault([NEW, OLD]).read_cursor(cursor) == 7
    assert Vault([OLD]).write_cursor(7) == cursor
    for made_up in ("", "Nw", "张三", cursor[:-2] + "AA", Vault([OTHER]).write_cursor(7)):
        assert Vault([NEW, OLD]).read_cursor(made_up) is None


def test_a_delivery_is_tried_ten_times_over_76_hours() -> None:
    waits = [next_in_s(failures, 0.0) for failures in range(1, 11)]

    assert waits == [*STEPS_S, None]
    assert 75 < sum(STEPS_S) / 3_600 < 76
    assert next_in_s(1, 0.999) == pytest.approx(5.5, rel=0.01)


def test_a_retry_after_counts_up_to_twice_the_step() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)

    assert next_in_s(2, 0.0, read_retry_after(b"400", now)) == 400
    assert next_in_s(2, 0.0, read_retry_after(b"86400", now)) == 600
    assert next_in_s(2, 0.0, read_retry_after(b"1", now)) == 300
    assert next_in_s(2, 0.0, read_retry_after(b"Wed, 25 Nov 2026 00:07:00 GMT", now)) == 420
    assert read_retry_after("很快".encode(), now) is None


def test_gone_disables_at_once_and_five_days_of_failures_do_too() -> None:
    days_ms = DISABLED_AFTER // timedelta(milliseconds=1)

    assert must_disable(EndpointReply(410), None, DAY_MS) == "gone"
    assert must_disable(EndpointReply(500), DAY_MS, DAY_MS + days_ms) == "failing"
    assert must_disable(EndpointReply(500), DAY_MS, DAY_MS + days_ms - 1) is None
    assert not EndpointReply(302).is_success
    assert not EndpointReply(None, "no answer").is_success
    assert EndpointReply(204).is_success
