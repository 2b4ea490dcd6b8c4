"""The second step of a log-in, as an authenticator app of others computes it."""

import base64
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.api_versions import read_answer
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")

STEP_S = 30


def compute(secret: str, step: int) -> str:
    """Compute the one-time password of a time step by RFC 6238 and RFC 4226."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


class Phone:
    """An authenticator app, which never shows the same password twice: its clock may be a step ahead."""

    def __init__(self, uri: str) -> None:
        self.secret = parse_qs(urlsplit(uri).query)["secret"][0]
        self._used = 0

    def show(self) -> str:
        """Return a password that was not used; wait for the next step where the app has none."""
        wait(lambda: self._used < _now() + 1, within_s=3 * STEP_S)
        self._used = max(_now(), self._used + 1)  # not the step before, which may be two back when it is checked
        return compute(self.secret, self._used)


def _now() -> int:
    return int(time.time()) // STEP_S


def log_in(deployment: Deployment, name: str, **more: str) -> dict[str, Any]:
    """Log in, and return the answer."""
    return deployment.call("POST", "/api/v2/login", {"username": name, "password": PASSWORD, **more})


def set_up(deployment: Deployment, name: str) -> tuple[Phone, list[str]]:
    """Enable one-time passwords; return the app and the recovery codes."""
    token = log_in(deployment, name)["token"]
    phone = Phone(deployment.call("POST", "/api/v2/me/totp", {"token": token})["uri"])
    wrong = deployment.call("POST", "/api/v2/me/totp/confirm", {"token": token, "otp": "000000x"})
    assert wrong["reason"] == "otp_wrong"
    assert log_in(deployment, name)["errorCode"] == 0  # nothing counts before it is confirmed
    confirmed = deployment.call("POST", "/api/v2/me/totp/confirm", {"token": token, "otp": phone.show()})
    assert deployment.call("GET", "/api/v2/me", token=token)["totp"] is True
    return phone, confirmed["recovery_codes"]


def test_a_log_in_takes_the_password_of_another_library_once(deployment: Deployment) -> None:
    name = deployment.new_user()
    phone, _ = set_up(deployment, name)

    assert log_in(deployment, name)["reason"] == "otp_required"
    assert log_in(deployment, name, otp="12345")["reason"] == "otp_wrong"
    otp = phone.show()
    assert log_in(deployment, name, otp=otp)["errorCode"] == 0
    assert log_in(deployment, name, otp=otp)["reason"] == "otp_wrong"


def test_without_the_password_the_second_step_is_not_revealed(deployment: Deployment) -> None:
    name = deployment.new_user()
    set_up(deployment, name)

    answer = deployment.call("POST", "/api/v2/login", {"username": name, "password": "a wrong one"})

    assert answer["reason"] == "wrong_password"


def test_each_of_ten_recovery_codes_logs_in_once(deployment: Deployment) -> None:
    name = deployment.new_user()
    _, codes = set_up(deployment, name)

    assert len(set(codes)) == 10
    assert log_in(deployment, name, otp=codes[3].upper())["errorCode"] == 0
    assert log_in(deployment, name, otp=codes[3])["reason"] == "otp_wrong"
    assert log_in(deployment, name, otp=codes[4])["errorCode"] == 0


def test_v1_takes_no_password_of_such_a_user(deployment: Deployment) -> None:
    name = deployment.new_user()
    set_up(deployment, name)
    right = {"username": name, "password": PASSWORD}

    answer = deployment.client.post("/api/login", json=right)

    assert (answer.status_code, set(answer.json())) == (200, {"errorCode", "errorMessage"})
    told = read_answer(answer)
    assert (told["errorCode"], told["reason"]) == (10016, "use_key")
    assert deployment.call("POST", "/api/login", right | {"password": "wrong"})["errorCode"] == 10007


def test_guesses_of_the_second_step_are_limited(deployment: Deployment) -> None:
    name = deployment.new_user()
    set_up(deployment, name)

    reasons = [log_in(deployment, name, otp=f"{guess:06}x")["reason"] for guess in range(12)]

    assert reasons == ["otp_wrong"] * 10 + ["too_many_tries"] * 2


def test_an_administrator_removes_the_second_step_of_a_lost_phone(deployment: Deployment) -> None:
    name = deployment.new_user()
    set_up(deployment, name)
    other = deployment.new_user_token()
    path = f"/api/v2/users/{name}/totp"

    assert deployment.call("DELETE", path, token=other)["reason"] == "no_right"
    assert deployment.call("DELETE", path, token=deployment.token())["errorCode"] == 0
    assert deployment.wait_audited(action="totp_off", target=name)["actor"] == "admin"
    assert log_in(deployment, name)["errorCode"] == 0


def test_it_is_turned_off_by_its_user(deployment: Deployment) -> None:
    name = deployment.new_user()
    phone, _ = set_up(deployment, name)
    token = log_in(deployment, name, otp=phone.show())["token"]

    assert deployment.call("POST", "/api/v2/me/totp", {"token": token})["reason"] == "totp_on"
    assert deployment.call("DELETE", "/api/v2/me/totp", token=token)["errorCode"] == 0
    for action in ("totp_begun", "totp_on", "totp_off"):
        assert deployment.wait_audited(action=action, target=name)["actor"] == name
    assert log_in(deployment, name)["errorCode"] == 0
