"""Two SMS accounts of one kind are used, reported, switched and checked by their own names."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from imsg_testing.command_line import Ended
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # accounts that take over from each other

SIGNS = {"main": "天存", "spare": "天存科技"}
TEMPLATES = """
[sms.templates.code]
text = "您的验证码为${code}，五分钟内有效。"
providers.main = { id = "SMS_code_main" }
providers.spare = { id = "SMS_code_spare" }
"""


@dataclass(frozen=True, slots=True)
class Accounts:
    """iMSG with both accounts."""

    deployment: Deployment

    def send(self, **more: object) -> dict[str, Any]:
        """Send a code; return its message once its receipt has come."""
        content = {"template": "code", "params": {"code": "4370"}}
        body = {"to": f"137{secrets.randbelow(10**8):08d}", "method": "sms", "content": content, **more}
        answer = self.deployment.call("POST", "/api/v2/messages", body, token=self.deployment.token())
        assert answer["errorCode"] == 0, answer
        return self.wait_delivered(answer["id"])

    def wait_delivered(self, request: str) -> dict[str, Any]:
        """Wait for the receipt of a request's one message; return the message."""
        found: dict[str, Any] = {}

        def is_delivered() -> bool:
            answer = self.deployment.call("GET", "/api/v2/messages", id=request, token=self.deployment.token())
            found.update(answer["messages"][0] if answer["messages"] else {})
            return found.get("status") == "delivered"

        wait(is_delivered, within_s=60, why=lambda: str(found))
        return found

    def switch(self, name: str, *, enabled: bool) -> None:
        """Switch an account, and wait until it is in force."""
        path, token = f"/api/v2/providers/sms/{name}", self.deployment.token()
        assert self.deployment.call("PATCH", path, {"enabled": enabled}, token=token)["errorCode"] == 0
        wait(lambda: (self.state(name) == "disabled") is not enabled, within_s=60)

    def state(self, name: str) -> str:
        """Return an account's state."""
        listed = self.deployment.call("GET", "/api/v2/channels", token=self.deployment.token())["channels"]
        (sms,) = [provider for provider in listed if provider["method"] == "sms"]
        return next((str(provider["state"]) for provider in sms["providers"] if provider["name"] == name), "")

    def run(self, *words: str) -> Ended:
        """Run a verb of the command line."""
        return self.deployment.run(*words, COLUMNS="240")


def write_account(name: str, sign: str, url: str) -> str:
    """Write an account at Aliyun."""
    return f"""
[sms.accounts.{name}]
kind = "aliyun"
endpoint = "{url}/sandbox/{name}"
access_key_id = "LTAI-{name}"
access_key_secret = "secret of {name}"
hook_secret = "hook-of-{name}"
sign_name = "{sign}"
template = "SMS_{name}"
[sms.accounts.{name}.templates.SMS_code_{name}]
text = "您的验证码为${{code}}，五分钟内有效。"
"""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    """Run iMSG with a sandbox that simulates both accounts."""
    deployment = Deployment(tmp_path_factory.mktemp("accounts"))
    written = "".join(write_account(name, sign, deployment.url) for name, sign in SIGNS.items())
    (deployment.folder / "imsg.toml").write_text(written + TEMPLATES)
    with closing(deployment):
        deployment.start()
        deployment.open_wide()
        yield Accounts(deployment)


def test_one_account_takes_over_from_another_of_its_kind(accounts: Accounts) -> None:
    """By its own key, template and signature; its receipt comes by its own hook."""
    first = accounts.send()
    accounts.switch("main", enabled=False)
    second = accounts.send()
    accounts.switch("main", enabled=True)

    assert (first["provider"], second["provider"]) == ("main", "spare")
    kept = [(message["provider"], message["from"]) for message in accounts.deployment.inbox(method="sms")]
    assert kept == [("main", "天存"), ("spare", "天存科技")]


def test_each_account_is_tried_and_checked_by_its_name(accounts: Accounts) -> None:
    assert accounts.run("login", "admin", "--password", "123").returncode == 0
    sent = accounts.run("providers", "test", "sms", "spare", f"137{secrets.randbelow(10**8):08d}")
    assert "Accepted for spare alone" in sent.stdout, sent.stderr

    checked = accounts.run("providers", "check")
    said = {line.split()[2]: line for line in checked.stdout.splitlines() if len(line.split()) > 2}
    assert "2 templates approved" in said["main"], checked.stdout + checked.stderr
    assert "2 templates approved" in said["spare"]
