"""Providers that are set up where each service is a process with its own rights, on RabbitMQ and PostgreSQL."""

import secrets
from collections.abc import Iterator

import pytest

from imsg_testing.mailbox import Mailbox
from imsg_testing.services import Plan, Services, deploy
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # servers of its own

USER = "noreply@example.com"
KEY = secrets.token_hex(32)


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Run two senders of mail that share a key with auth."""
    common = {"IMSG_PROVIDER_KEY": KEY, "IMSG_PROVIDER_KEYS__SMTP": KEY, "IMSG_SECRET_KEY": secrets.token_hex(32)}
    plan = Plan(senders=2, has_sandbox=True, has_accounts=True, common=common)
    with deploy(tmp_path_factory.mktemp("apart"), plan) as opened:
        yield opened


def test_senders_keep_an_account_while_auth_is_away_also_when_they_start_anew(services: Services) -> None:
    mailbox = Mailbox()
    mailbox.users = {USER: secrets.token_hex(12)}
    settings = {"host": mailbox.host, "username": USER, "password": mailbox.users[USER], "sender": USER}
    with mailbox.running_apart():
        body = {"method": "smtp", "name": "office", "kind": "smtp", "settings": {**settings, "port": mailbox.port}}
        check = services.call("POST", "/api/v2/providers/check", body, token=services.token())
        assert check["ok"], check
        made = services.call("POST", "/api/v2/providers", body, token=services.token())
        assert made["errorCode"] == 0, made
        listed = services.call("GET", "/api/v2/providers", token=services.token())["providers"]
        assert {one["name"]: one["from"] for one in listed} == {"default": "settings", "office": "page"}

        def is_sent(to: str) -> bool:
            test = "/api/v2/providers/smtp/office/test"
            return "id" in services.call("POST", test, {"to": to}, token=services.token())

        wait(lambda: is_sent("before@example.com"))
        wait(lambda: mailbox.counts("before@example.com").total() > 0)
        services.auth.process.kill()
        for sender in services.senders:
            sender.process.kill()
            sender.start()
        wait(lambda: is_sent("after@example.com"))
        wait(lambda: mailbox.counts("after@example.com").total() > 0)
        services.auth.start()
        wait(lambda: services.call("GET", "/api/v2/providers", token=services.token())["errorCode"] == 0)
