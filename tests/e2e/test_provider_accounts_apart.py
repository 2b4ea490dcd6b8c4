"""Providers that are set up where each service is a process with its own rights, on RabbitMQ and PostgreSQL."""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsg_testing.fault_clients import Clients
from imsg_testing.file_search import search
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
        assert {provider["name"]: provider["from"] for provider in listed} == {"default": "settings", "office": "page"}

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


def test_a_server_that_is_changed_at_500_messages_a_second_loses_and_doubles_none(services: Services) -> None:
    first, second = Mailbox(), Mailbox()
    for mailbox in (first, second):
        mailbox.users = {USER: secrets.token_hex(12)}
    with first.running_apart(), second.running_apart():
        servers = [
            {"host": server.host, "port": server.port, "username": USER, "password": server.users[USER], "sender": USER}
            for server in (first, second)
        ]
        body = {"method": "smtp", "name": "busy", "kind": "smtp", "settings": servers[0]}
        assert services.call("POST", "/api/v2/providers", body, token=services.token())["errorCode"] == 0
        clients = Clients(services)

        def count(mailbox: Mailbox) -> int:
            return mailbox.counts(f"@{clients.name}.example.com").total()

        def is_first_in_force() -> bool:
            clients.send()
            return count(first) > 0

        wait(is_first_in_force, 60, every_s=1.0)
        # What the sandbox took before the account was in force stands there.
        played = {message["to"] for message in services.received()}
        with clients.sending(threads=5, size=25, pause_s=0.25):
            wait(lambda: count(first) >= 500, 120)
            changed = services.call(
                "PATCH", "/api/v2/providers/smtp/busy", {"settings": servers[1]}, token=services.token()
            )
            assert changed["errorCode"] == 0, changed
            wait(lambda: count(second) >= 500, 120)
        assert clients.wrong == []
        for request, to in clients.accepted.items():
            services.wait_settled(request, len(to), 240)
        accepted = {to for people in clients.accepted.values() for to in people}
        arrived = first.counts(".example.com") + second.counts(".example.com")
        played |= {message["to"] for message in services.received()}
        assert accepted == {*arrived, *(to for to in played if clients.name in to)}
        assert set(arrived.values()) == {1}
        drained = count(first)
        for request in [clients.send(25) for _ in range(4)]:
            services.wait_settled(request, 25, 60)
        assert count(first) == drained, "the old server gets nothing more"


def test_no_secret_is_in_any_store_or_log(services: Services, tmp_path: Path) -> None:
    """Redis' file, what RabbitMQ keeps and defines, PostgreSQL's files and dump, and the logs of every service."""
    planted = {kind: secrets.token_hex(24) for kind in ("mail", "mail later", "mail wrong", "person", "person wrong")}
    public = {"host": "127.0.0.1", "port": 9, "username": USER, "sender": USER}
    path, token = "/api/v2/providers", services.token()
    body = {"method": "smtp", "name": "planted", "kind": "smtp", "settings": {**public, "password": planted["mail"]}}
    assert services.call("POST", path, body, token=token)["errorCode"] == 0
    changed = {"settings": {"password": planted["mail later"]}}
    assert services.call("PATCH", f"{path}/smtp/planted", changed, token=token)["errorCode"] == 0
    wrong = {**body, "settings": {**public, "password": planted["mail wrong"]}}
    assert services.call("POST", f"{path}/check", wrong, token=token)["ok"] is False
    assert services.call("POST", f"{path}/smtp/planted/restore", {"version": 1}, token=token)["errorCode"] == 0
    person = {"username": "planted", "password": planted["person"]}
    assert services.call("POST", "/api/v2/register", person, token=token)["errorCode"] == 0
    refused = services.call("POST", "/api/v2/login", {**person, "password": planted["person wrong"]})
    assert refused["errorCode"] != 0
    own = services.token("planted", planted["person"])
    planted["one-time password"] = services.call("POST", "/api/v2/me/totp", token=own)["secret"]
    planted["key"] = services.new_key("query").rpartition("_")[2]
    services.wait_audited(action="provider_restored")

    canary = f"canary-{secrets.token_hex(8)}"
    sent = services.send("li@example.com", subject=canary, text=canary)
    assert sent["errorCode"] == 0, sent
    stores = {"redis": services.valkey.folder, "rabbitmq": services.rabbit.folder, "postgres": services.postgres.folder}
    wait(lambda: search(services.rabbit.folder, canary) != [], 60)
    services.rabbit.control("export_definitions", str(services.rabbit.folder / "definitions.json"))
    for name in ("auth", "history"):
        command = [services.postgres.program("pg_dump"), f"--dbname={services.postgres.url_of(name)}"]
        (tmp_path / name).write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    assert search(services.valkey.folder, "imsg:provider-accounts:smtp") != []
    assert search(tmp_path, "provider_accounts") != []
    stores |= {"dump": tmp_path, "logs": services.auth.log.parent}
    found = {store: search(folder, *planted.values()) for store, folder in stores.items()}
    assert {store: places for store, places in found.items() if places} == {}
