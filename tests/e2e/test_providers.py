"""Providers as administrators see them: their shares, fallbacks, switches, weights, tests and queries.

Four SMS providers are played by a sandbox of its own. Aliyun's account has no money, so that it says "blocked".
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from imsg_testing.command_line import Ended
from imsg_testing.deployment import Deployment
from imsg_testing.sandbox_process import SandboxProcess, run_sandbox
from imsg_testing.servers import accepts
from imsg_testing.sms_accounts import write_accounts, write_endpoints
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # an installation with every SMS provider

VISIT = """
[sms.templates.visit]
text = "${name}您好，您预约的${time}已确认。"
[sms.templates.visit.parameters.name]
[sms.templates.visit.parameters.time]
[sms.templates.visit.providers.tencent]
id = "1111"
[sms.templates.visit.providers.twilio]
"""
BROKE = "isv.AMOUNT_NOT_ENOUGH"


@dataclass(frozen=True, slots=True)
class Firms:
    """iMSG, and the sandbox that plays its providers."""

    deployment: Deployment
    sandbox: SandboxProcess

    def send(self, content: Any = "明天下雨", to: object = None, **more: object) -> dict[str, Any]:  # noqa: ANN401
        """Send an SMS; return the answer."""
        body = {"to": to or make_number(), "method": "sms", "content": content, **more}
        answer = self.deployment.call("POST", "/api/v2/messages", body, token=self.deployment.token())
        assert answer["errorCode"] == 0, answer
        return answer

    def settle(self, request: str) -> dict[str, Any]:
        """Wait until the one message of a request is settled; return it with its timeline."""
        self.deployment.wait_settled(request)
        return self.read_message(request)

    def read_message(self, request: str) -> dict[str, Any]:
        """Return the one message of a request with its timeline."""
        name, token = f"{request}-0", self.deployment.token()
        results: list[dict[str, Any]] = []

        def is_recorded() -> bool:
            results[:] = self.deployment.call("GET", "/api/v2/messages", id=name, token=token)["messages"]
            return bool(results)

        wait(is_recorded)
        return results[0]

    def change(self, name: str, **fields: object) -> dict[str, Any]:
        """Change a provider as an administrator does."""
        path = f"/api/v2/providers/sms/{name}"
        return self.deployment.call("PATCH", path, fields, token=self.deployment.token())

    def provider(self, name: str) -> dict[str, Any]:
        """Return a provider's state."""
        listed = self.deployment.call("GET", "/api/v2/channels", token=self.deployment.token())["channels"]
        (sms,) = [provider for provider in listed if provider["method"] == "sms"]
        return next((provider for provider in sms["providers"] if provider["name"] == name), {})

    def count_arrived(self) -> Counter[str]:
        """Count what the sandbox has received, by provider."""
        return Counter(message["provider"] for message in self.sandbox.inbox() if message["method"] == "sms")

    def run(self, *words: str, **settings: str) -> Ended:
        """Run a verb of the command line, with these settings changed."""
        return self.deployment.run(*words, **{"COLUMNS": "2000", **settings})


def make_number() -> str:
    """Choose a number that no other story sends to."""
    return f"137{secrets.randbelow(10**8):08d}"


@pytest.fixture(scope="module")
def firms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firms]:
    """Run both; Twilio is for one template alone, the others are tried in their order."""
    folder = tmp_path_factory.mktemp("providers")
    (folder / "imsg.toml").write_text(VISIT)
    accounts = write_accounts()
    with ExitStack() as stack:
        sandbox = stack.enter_context(run_sandbox(folder, {**accounts, "IMSG_SANDBOX__SMS_BALANCE": "0"}))
        routes = {"IMSG_SMS__ROUTES__TWILIO__TEMPLATES": "visit"}
        deployment = Deployment(folder, {**accounts, **write_endpoints(sandbox.port), **routes})
        stack.callback(deployment.close)
        deployment.start()
        deployment.open_wide()
        yield Firms(deployment, sandbox)


@pytest.fixture(autouse=True)
def as_set(firms: Firms) -> Iterator[None]:
    """Reset every provider to the settings afterwards; empty the inbox before."""
    httpx.delete(f"http://127.0.0.1:{firms.sandbox.port}/sandbox/inbox", timeout=60)
    yield
    for name, weight in (("aliyun", 1), ("tencent", 0), ("volcengine", 0)):
        assert firms.change(name, enabled=True, weight=weight)["errorCode"] == 0


def test_the_next_provider_sends_what_the_first_refuses_and_the_timeline_shows_it(firms: Firms) -> None:
    message = firms.settle(firms.send()["id"])

    assert (message["status"], message["provider"], message["attempts"]) == ("sent", "tencent", 1)
    hop = next(line for line in message["timeline"] if line["provider"] == "aliyun")
    assert (hop["status"], hop["code"]) == ("retrying", BROKE)
    assert "余额不足" in hop["detail"]
    statuses = [(line["provider"], line["status"]) for line in message["timeline"]]
    assert statuses.index(("aliyun", "retrying")) < statuses.index(("tencent", "sent"))

    def is_shown() -> bool:
        aliyun = firms.provider("aliyun")
        return aliyun.get("state") == "blocked" and BROKE in str(aliyun["why"])

    wait(is_shown, why=lambda: str(firms.provider("aliyun")))


def test_a_template_goes_by_the_provider_that_is_for_it_and_nothing_else_does(firms: Firms) -> None:
    visit = {"template": "visit", "params": {"name": "张三", "time": "三点"}}
    assert firms.settle(firms.send(visit)["id"])["provider"] == "twilio"
    assert firms.settle(firms.send()["id"])["provider"] == "tencent"
    assert firms.count_arrived() == {"twilio": 1, "tencent": 1}


def test_a_text_is_refused_by_the_limits_of_those_that_may_carry_it_alone(firms: Firms) -> None:
    """Twilio takes any text, and its route takes this one by name only."""
    long, token = "a" * 36, firms.deployment.token()
    body = {"to": make_number(), "method": "sms", "content": long}
    refused: list[dict[str, Any]] = []

    def is_refused() -> bool:
        refused[:] = [
            firms.deployment.call("POST", path, body, token=token)
            for path in ("/api/v2/messages/check", "/api/v2/messages")
        ]
        return all(answer["errorCode"] == 10009 for answer in refused)

    wait(is_refused, within_s=60, why=lambda: str(refused))
    assert all("35" in answer["detail"] for answer in refused)
    assert firms.settle(firms.send(long, provider="twilio")["id"])["provider"] == "twilio"


def test_weights_and_switches_are_in_force_within_seconds_and_kept(firms: Firms) -> None:
    changed = firms.change("aliyun", enabled=False)
    assert (changed["errorCode"], changed["enabled"]) == (0, False)
    assert firms.change("tencent", weight=1)["weight"] == 1
    assert firms.change("volcengine", weight=3)["weight"] == 3

    def is_in_force() -> bool:
        told = firms.provider("volcengine")["share"], firms.provider("aliyun")["state"]
        return told == (0.75, "disabled")

    wait(is_in_force, within_s=60, why=lambda: str(firms.provider("volcengine")))
    everybody = [make_number() for _ in range(60)]
    answer = firms.send(to=everybody)
    wait(lambda: sum(firms.count_arrived().values()) == len(everybody), why=lambda: str(firms.count_arrived()))
    arrived = firms.count_arrived()
    assert set(arrived) == {"tencent", "volcengine"}
    assert 30 <= arrived["volcengine"] <= 57, "three of four, more or less"
    found = firms.deployment.wait_settled(answer["id"], len(everybody))
    assert Counter(price["provider"] for price in found) == arrived, "query names the provider of each"

    firms.change("tencent", enabled=False)
    wait(lambda: firms.provider("tencent")["state"] == "disabled", within_s=60)
    assert firms.settle(firms.send()["id"])["provider"] == "volcengine"
    rows = read_audit(firms.deployment)
    assert ("admin", "provider_switched", "sms/tencent") in rows


def test_what_came_while_all_were_off_goes_within_seconds_of_one_that_is_switched_on(firms: Firms) -> None:
    """And nothing goes by one that is off, from the moment in which that is answered."""
    for name in ("aliyun", "tencent", "volcengine", "twilio"):
        assert firms.change(name, enabled=False)["errorCode"] == 0
    requests = [firms.send()["id"] for _ in range(3)]
    wait(lambda: all(firms.read_message(request)["status"] == "queued" for request in requests))
    assert not firms.count_arrived()
    assert firms.change("tencent", enabled=True)["errorCode"] == 0
    wait(lambda: firms.count_arrived() == {"tencent": 3}, within_s=60, why=lambda: str(firms.count_arrived()))
    assert firms.change("twilio", enabled=True)["errorCode"] == 0


def read_audit(deployment: Deployment) -> list[tuple[str, str, str]]:
    """Return the users who changed a provider, once the audit has them."""
    results: list[tuple[str, str, str]] = []

    def is_written() -> bool:
        found = deployment.call("GET", "/api/v2/audit", token=deployment.token(), action="provider_switched")["audit"]
        results[:] = [(line["actor"], line["action"], line["target"]) for line in found]
        return bool(results)

    wait(is_written, within_s=60)
    return results


def test_one_is_sent_by_a_named_provider_even_one_that_is_switched_off(firms: Firms) -> None:
    firms.change("volcengine", enabled=False)
    to = make_number()
    path, token = "/api/v2/providers/sms/volcengine/test", firms.deployment.token()
    answer = firms.deployment.call("POST", path, {"to": to}, token=token)
    assert answer["errorCode"] == 0, answer
    message = firms.settle(answer["id"])
    assert (message["status"], message["provider"], message["to"]) == ("sent", "volcengine", to)
    assert [line["provider"] for line in message["timeline"] if line["provider"]] == ["volcengine"]


def test_an_unknown_provider_or_a_wrong_weight_is_refused_by_name(firms: Firms) -> None:
    assert firms.change("nobody", enabled=False)["errorCode"] != 0
    refused = firms.change("tencent", weight=-1)
    assert refused["errorCode"] != 0
    assert "weight" in str(refused)


def test_the_command_line_lists_switches_weighs_and_tries(firms: Firms) -> None:
    assert firms.run("login", "admin", "--password", "123").returncode == 0
    off = firms.run("providers", "disable", "sms", "tencent")
    assert (off.returncode, "sms tencent is switched off" in off.stdout) == (0, True), off.stderr
    weighed = firms.run("providers", "weight", "sms", "volcengine", "5")
    assert "weight 5" in weighed.stdout, weighed.stderr
    wait(lambda: firms.provider("tencent")["state"] == "disabled", within_s=60)
    listed = firms.run("providers").stdout.splitlines()
    (line,) = [line for line in listed if " tencent " in line]
    assert "disabled" in line
    assert "sms tencent is on" in firms.run("providers", "enable", "sms", "tencent").stdout
    sent = firms.run("providers", "test", "sms", "tencent", make_number())
    assert "Accepted for tencent alone" in sent.stdout, sent.stderr
    wait(lambda: firms.count_arrived()["tencent"] == 1)


def test_every_provider_is_asked_for_its_log_in_its_templates_and_what_is_left(firms: Firms) -> None:
    checked = firms.run("providers", "check")
    said = {line.split()[2]: line for line in checked.stdout.splitlines() if len(line.split()) > 2}
    assert "1 templates approved" in said["aliyun"], checked.stdout + checked.stderr
    assert "2 templates approved" in said["tencent"]
    assert "left in its packages" in said["tencent"]
    assert "balance 100.00 USD" in said["twilio"]
    assert "1 templates approved" in said["volcengine"]
    assert checked.returncode == 0


def test_a_wrong_key_and_a_wrong_template_are_explained_in_words(firms: Firms) -> None:
    wrong = {
        "IMSG_SMS__ACCOUNTS__TENCENT__SECRET_KEY": "another",
        "IMSG_SMS__ACCOUNTS__ALIYUN__TEMPLATE": "SMS_9",
        "IMSG_SMS__ACCOUNTS__TWILIO__AUTH_TOKEN": "another",
    }
    checked = firms.run("providers", "check", **wrong)
    assert checked.returncode == 1
    assert "AuthFailure.SignatureFailure" in checked.stdout
    assert "Template SMS_9 is unknown there" in checked.stdout
    assert "20003 Authenticate" in checked.stdout


def test_mail_servers_are_tried_beside_them(firms: Firms) -> None:
    second = {"HOST": "127.0.0.1", "PORT": "1", "SECURITY": "none"}
    settings = {f"IMSG_SMTP__SERVERS__SECOND__{name}": value for name, value in second.items()}
    checked = firms.run("providers", "check", **firms.sandbox.settings, **settings)
    said = {line.split()[2]: line for line in checked.stdout.splitlines() if len(line.split()) > 2}
    assert checked.returncode == 1
    assert "answers without a log-in" in said["default"], checked.stdout + checked.stderr
    assert said["second"].startswith("✗")
    assert "127.0.0.1" in said["second"]


@pytest.mark.timeout(300)
def test_messages_wait_through_an_outage_of_all_providers_and_use_up_no_attempts(firms: Firms) -> None:
    """The first find out; what comes later waits where it is, and goes within seconds once one is back."""
    firms.change("aliyun", enabled=False)
    firms.change("volcengine", enabled=False)
    wait(lambda: firms.provider("volcengine")["state"] == "disabled", within_s=60)
    firms.sandbox.kill()
    wait(lambda: not accepts(firms.sandbox.port))  # what dies may take one more, and never say so
    first = [firms.send()["id"] for _ in range(6)]

    def is_out() -> bool:
        tencent = firms.provider("tencent")
        return bool(tencent["state"] == "blocked" and "can't be reached" in str(tencent["why"]))

    wait(is_out, within_s=60, why=lambda: str(firms.provider("tencent")))
    later = firms.send()
    firms.sandbox.start()
    message = firms.settle(later["id"])
    assert (message["status"], message["provider"], message["attempts"]) == ("sent", "tencent", 1)
    for request in first:  # they were tried, and wait their step
        (found,) = firms.deployment.wait_settled(request, within_s=150)
        assert found["status"] == "sent"
