"""Providers that an administrator sets up while iMSG runs: in force at once, and their secrets are nowhere."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.command_line import run_imsg
from imsg_testing.deployment import Deployment, running
from imsg_testing.file_search import search
from imsg_testing.http_stub import Asked, HttpStub, reply
from imsg_testing.mailbox import Mailbox
from imsg_testing.waiting import wait

USER = "noreply@example.com"


class Console:
    """What an administrator does about providers."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def call(self, verb: str, path: str = "", body: Any = None) -> dict[str, Any]:  # noqa: ANN401
        """Call below /providers."""
        return self.deployment.call(verb, f"/api/v2/providers{path}", body, token=self.deployment.token())

    def list(self) -> dict[str, dict[str, Any]]:
        """List the providers of mail by their names."""
        return {
            provider["name"]: provider for provider in self.call("GET")["providers"] if provider["method"] == "smtp"
        }


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Run iMSG as a newcomer does, with the sandbox for every provider."""
    with running(tmp_path_factory.mktemp("providers")) as deployment:
        deployment.open_wide()
        yield Console(deployment)


@pytest.fixture
def mailboxes() -> Iterator[tuple[Mailbox, Mailbox]]:
    """Run two mail servers that want a log-in."""
    first, second = Mailbox(), Mailbox()
    for mailbox in (first, second):
        mailbox.users = {USER: f"secret-{secrets.token_hex(12)}"}
    with first.running_apart(), second.running_apart():
        yield first, second


@pytest.fixture
def firm() -> Iterator[HttpStub]:
    """Run a stand-in of Chuanglan, which accepts one password."""

    def answer(asked: Asked) -> bytes:
        given = json.loads(asked.body)
        if given["password"] != "right":
            return reply({"code": "102", "errorMsg": "密码错误"})
        is_balance = asked.target.startswith("/msg/balance")
        return reply({"code": "0", "balance": "100"} if is_balance else {"code": "0", "msgId": secrets.token_hex(8)})

    stub = HttpStub(answer)
    with stub.running_apart():
        yield stub


def write(mailbox: Mailbox, **changed: object) -> dict[str, object]:
    """Return the settings of an account there."""
    password = mailbox.users[USER]
    own = {"host": mailbox.host, "port": mailbox.port, "security": "none", "username": USER, "password": password}
    return {**own, "sender": f"天存 <{USER}>", **changed}


def find(folder: Path, secret: str) -> list[str]:
    """Return the files that hold a secret."""
    return search(folder, secret)


def is_simulated(deployment: Deployment, request: str) -> list[bool]:
    """Return whether the sandbox took a request of one message: what the request says, and what the message says."""
    token = deployment.token()
    whole = deployment.call("GET", f"/api/v2/requests/{request}", token=token)
    (message,) = deployment.call("GET", "/api/v2/messages", id=request, token=token)["messages"]
    return [whole["simulated"], message["simulated"]]


def test_a_mail_server_is_set_up_and_restored_and_its_secret_is_nowhere(
    console: Console, mailboxes: tuple[Mailbox, Mailbox], tmp_path: Path
) -> None:
    first, second = mailboxes
    deployment = console.deployment
    assert [(provider["from"], provider["simulated"]) for provider in console.list().values()] == [("settings", True)]
    played = deployment.wait_settled(deployment.send("li@example.com")["id"])[0]["id"].partition("-")[0]

    wrong = {"method": "smtp", "name": "office", "kind": "smtp", "settings": write(first, password="wrong")}
    check = console.call("POST", "/check", wrong)
    assert (check["errorCode"], check["ok"]) == (0, False)
    assert "授权码" in check["remedy"]
    assert ("535" in check["why"], "IMSG_" in check["why"], "refused" in check["why"]) == (True, False, False), check
    closed = {**wrong, "settings": write(first, port=9)}
    assert "端口" in console.call("POST", "/check", closed)["remedy"]
    unfit = console.call("POST", "/check", {**wrong, "settings": {"host": first.host}})
    assert (unfit["reason"], "settings.sender" in unfit["detail"]) == ("missing", True)
    assert console.call("POST", "/check", {**wrong, "settings": write(first)})["ok"]
    assert not first.taken
    assert "office" not in console.list(), "a check keeps nothing"

    made = console.call("POST", "", {**wrong, "settings": write(first)})
    assert made["errorCode"] == 0, made
    assert (made["settings"]["password"], made["version"]) == ({"set": True}, 1)
    wait(lambda: list_running(deployment) == ["office"], 60)
    wait(lambda: list(console.list()) == ["office"], 60, why=lambda: "the sandbox gives way")
    single = deployment.send("li@example.com")
    (message,) = deployment.wait_settled(single["id"])
    assert message["status"] == "sent"
    assert first.counts("li@example.com").total() == 1
    marks = [is_simulated(deployment, request) for request in (played, single["id"])]
    assert marks == [[True, True], [False, False]], "also once the sandbox has given way"

    assert console.call("PATCH", "/smtp/office", {"settings": write(second)})["version"] == 2
    kept = console.call("PATCH", "/smtp/office", {"settings": {"sender": USER, "password": {"set": True}}})
    assert kept["errorCode"] == 0, kept
    assert console.call("POST", "/smtp/office/check")["ok"], "a secret that is left out stays"
    versions = console.call("GET", "/smtp/office/versions")["versions"]
    assert [(version["version"], version["settings"]["port"]) for version in versions] == [
        (3, second.port),
        (2, second.port),
        (1, first.port),
    ]
    assert console.call("POST", "/smtp/office/restore", {"version": 1})["settings"]["port"] == first.port
    wait(lambda: console.call("POST", "/smtp/office/check")["ok"])

    backup = tmp_path / "backup"
    made_backup = deployment.run("backup", str(backup))
    assert made_backup.returncode == 0, made_backup.stderr
    for mailbox in mailboxes:
        secret = mailbox.users[USER]
        assert find(deployment.folder, secret) == []
        assert find(backup, secret) == []
        assert secret not in str(console.call("GET")) + str(versions)
    for action in ("provider_added", "provider_changed", "provider_restored"):
        assert deployment.wait_audited(action=action, target="smtp/office")["actor"] == "admin"
    audit = deployment.call("GET", "/api/v2/audit", target="smtp/office", token=deployment.token())["audit"]
    assert USER not in str(audit)

    assert console.call("DELETE", "/smtp/office")["errorCode"] == 0
    assert deployment.wait_audited(action="provider_removed", target="smtp/office")["actor"] == "admin"
    wait(lambda: list(console.list()) != ["office"] and console.list() != {}, 60)
    assert console.call("GET", "/smtp/office/versions")["reason"] == "not_found"


def test_the_command_tries_the_accounts_of_the_page_and_the_doctor_puts_what_is_wrong_first(
    console: Console, mailboxes: tuple[Mailbox, Mailbox], tmp_path: Path
) -> None:
    deployment = console.deployment
    given = {"COLUMNS": "2000", "IMSG_USERNAME": "admin", "IMSG_PASSWORD": "123", "XDG_CONFIG_HOME": str(tmp_path)}
    known = {**deployment.environment, **given}
    closed = {"method": "smtp", "name": "closed", "kind": "smtp", "settings": write(mailboxes[0], port=9)}
    assert console.call("POST", "", closed)["errorCode"] == 0
    wait(lambda: bool(console.list()["closed"]["attention"]), 60)

    tried = run_imsg("providers", "check", env=known, cwd=deployment.folder)
    (row,) = [line for line in tried.stdout.splitlines() if " smtp " in line]
    assert tried.returncode == 1
    assert (row[0], "closed" in row, "can't be reached" in row) == ("✗", True, True), row

    doctor = run_imsg("doctor", env=known, cwd=deployment.folder)
    rows = doctor.stdout.partition("\n\n")[2].splitlines()[1:]
    assert doctor.returncode == 1
    assert (rows[0][0], "provider closed (E-mail)" in rows[0], "can't be reached" in rows[0]) == ("✗", True, True), rows
    assert not any(" E-mail " in line for line in rows), "the sandbox has given way"
    stranger = {**known, "IMSG_USERNAME": "", "IMSG_PASSWORD": ""}
    assert "imsg login" in run_imsg("providers", "check", env=stranger, cwd=deployment.folder).stdout

    assert console.call("DELETE", "/smtp/closed")["errorCode"] == 0
    wait(lambda: list(console.list()) == ["default"], 60)


def test_a_list_that_is_being_sent_goes_on_by_the_changed_server_and_nothing_is_lost_or_doubled(
    console: Console, mailboxes: tuple[Mailbox, Mailbox]
) -> None:
    first, second = mailboxes
    deployment = console.deployment
    made = {"method": "smtp", "name": "busy", "kind": "smtp", "settings": write(first)}
    assert console.call("POST", "", made)["errorCode"] == 0
    wait(lambda: list_running(deployment) == ["busy"], 60)

    first.latency_s = 0.5  # so that it is not sent before the sender has the other server
    people = [f"{number}@load.example.com" for number in range(2_000)]
    request = deployment.send(people)["id"]
    wait(lambda: first.counts("@load.example.com").total() > 10, 60)
    changed = console.call("PATCH", "/smtp/busy", {"settings": write(second)})
    assert (changed["errorCode"], changed["version"]) == (0, 2), changed
    wait(lambda: second.counts("@load.example.com").total() > 0, 60)
    deployment.wait_settled(request, len(people), within_s=120)
    arrived = first.counts("@load.example.com") + second.counts("@load.example.com")
    assert set(arrived) == set(people)
    assert set(arrived.values()) == {1}
    later = deployment.send("wang@example.com")["id"]
    deployment.wait_settled(later)
    assert second.counts("wang@example.com").total() == 1

    assert console.call("DELETE", "/smtp/busy")["errorCode"] == 0
    wait(lambda: list(console.list()) == ["default"], 60)


def list_running(deployment: Deployment) -> list[str]:
    """Return the mail servers that the sender reports."""
    channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
    (smtp,) = [channel for channel in channels if channel["method"] == "smtp"]
    return [provider["name"] for provider in smtp["providers"]]


def test_what_is_in_the_settings_is_not_changed(console: Console, mailboxes: tuple[Mailbox, Mailbox]) -> None:
    (name,) = console.list()
    assert console.call("DELETE", f"/smtp/{name}")["reason"] == "name_in_settings"
    assert console.call("PATCH", f"/smtp/{name}", {"settings": {"port": 26}})["reason"] == "name_in_settings"
    assert console.call("PATCH", f"/smtp/{name}", {"weight": 2})["weight"] == 2
    nobody = {"method": "smtp", "name": "nobody", "kind": "smtp", "settings": write(mailboxes[0], prot=25)}
    assert console.call("POST", "", nobody)["reason"] == "unknown_field"


def add(console: Console, method: str, name: str, kind: str, settings: dict[str, object]) -> None:
    """Check an account, and set it up."""
    body = {"method": method, "name": name, "kind": kind, "settings": settings}
    check = console.call("POST", "/check", body)
    assert check["ok"], check
    made = console.call("POST", "", body)
    assert made["errorCode"] == 0, made


def is_sent(console: Console, method: str, to: str, provider: str) -> bool:
    """Send a text; return whether it went out by this provider."""
    deployment = console.deployment
    body = {"method": method, "to": to, "content": "明天停电"}
    answer = deployment.call("POST", "/api/v2/messages", body, token=deployment.token())
    if answer["errorCode"]:
        return False
    (message,) = deployment.wait_settled(answer["id"])
    shown = deployment.call("GET", "/api/v2/messages", id=message["id"], token=deployment.token())
    assert message["status"] in {"sent", "delivered"}, shown
    return provider in str(shown)


def read_secret(console: Console, name: str) -> str:
    """Return a secret of the provider that the sandbox plays."""
    return (console.deployment.data / "secrets" / name).read_text().strip()


def test_an_sms_account_is_set_up_and_its_faults_are_shown_with_their_remedy(console: Console) -> None:
    settings: dict[str, object] = {
        "endpoint": f"{console.deployment.url}/sandbox/aliyun/",
        "access_key_id": "LTAI-imsg-sandbox",
        "access_key_secret": read_secret(console, "sms_access_key_secret"),
        "sign_name": "天存",
        "template": "SMS_100000001",
    }
    body = {"method": "sms", "name": "cloud", "kind": "aliyun"}
    for changed, word in (
        ({"access_key_secret": "wrong"}, "AccessKey Secret"),
        ({"access_key_id": "LTAI-nobody"}, "访问密钥"),
        ({"template": "SMS_999"}, "模板编号"),
        ({"endpoint": "http://127.0.0.1:9/"}, "防火墙"),
    ):
        check = console.call("POST", "/check", {**body, "settings": {**settings, **changed}})
        assert (check["ok"], word in check["remedy"]) == (False, True), check
    taken = console.call("POST", "/check", {**body, "name": "tencent", "settings": settings})
    assert taken["reason"] == "wrong_type", "a kind's name is no other kind's"

    add(console, "sms", "cloud", "aliyun", settings)
    wait(lambda: is_sent(console, "sms", "13800138000", "cloud"), 60)
    listed = [provider for provider in console.call("GET")["providers"] if provider["method"] == "sms"]
    assert [(provider["name"], provider["settings"]["access_key_secret"]) for provider in listed] == [
        ("cloud", {"set": True})
    ]
    assert find(console.deployment.data / "secrets", str(settings["access_key_secret"])), "the sandbox has it"

    deployment, hook = console.deployment, "/hooks/sms/cloud"
    for secret in ("the-first-secret", "the-second-secret"):
        assert console.call("PATCH", "/sms/cloud", {"settings": {"hook_secret": secret}})["errorCode"] == 0
        wait(lambda now=secret: deployment.client.post(f"{hook}/{now}", json=[]).status_code == 200, 60)  # type: ignore[misc]
    late = deployment.client.post(f"{hook}/the-first-secret", json=[])
    assert late.status_code == 200, "late receipts are taken for 7 days"
    assert deployment.client.post(f"{hook}/another-secret", json=[]).status_code == 404

    signatures = {
        signature["text"]: signature for signature in console.call("GET", "/sms/cloud/signatures")["signatures"]
    }
    assert (signatures["天存"]["review"], signatures["天存"]["filing"]) == ("approved", "filed")
    assert signatures["天存未报备"]["filing"] == "unfiled"
    templates = {template["id"]: template for template in console.call("GET", "/sms/cloud/templates")["templates"]}
    assert (templates["SMS_100000002"]["variables"], templates["SMS_100000002"]["review"]) == (["code"], "approved")
    robots = console.call("GET", "/sms/nobody/signatures")
    assert robots["reason"] == "not_found"
    assert console.call("GET", "/smtp/default/templates")["reason"] == "not_listed"
    assert console.call("DELETE", "/sms/cloud")["errorCode"] == 0
    wait(lambda: not any(provider["name"] == "cloud" for provider in console.call("GET")["providers"]), 60)
    for secret in ("the-first-secret", "the-second-secret"):
        assert deployment.client.post(f"{hook}/{secret}", json=[]).status_code == 200, (
            "its messages are still on their way"
        )
    assert deployment.client.post(f"{hook}/another-secret", json=[]).status_code == 404


def test_a_described_firm_is_set_up_by_its_own_form(console: Console, firm: HttpStub) -> None:
    """Its secrets are asked for by their names; the check asks for the balance."""
    kinds = {(kind["method"], kind["kind"]): kind for kind in console.call("GET", "/kinds")["kinds"]}
    fields = {field["name"]: field for field in kinds["sms", "chuanglan"]["fields"]}
    assert [name for name, field in fields.items() if field["required"]] == ["account", "password"]
    assert (fields["account"]["secret"], fields["password"]["secret"]) == (False, True)

    settings: dict[str, object] = {"account": "N1234567", "password": "wrong", "signature": "【天存】"}
    settings["url"] = f"{firm.url}/msg/v1/send/json"
    body = {"method": "sms", "name": "lan", "kind": "chuanglan"}
    check = console.call("POST", "/check", {**body, "settings": settings})
    assert (check["ok"], check["code"]) == (False, "secret"), check
    settings["password"] = "right"
    wrong = console.call("POST", "", {**body, "settings": settings, "routes": {"numbers": "86x"}})
    assert (wrong["reason"], "routes.numbers" in wrong["detail"]) == ("wrong_type", True), wrong
    add(console, "sms", "lan", "chuanglan", settings)
    wait(lambda: is_sent(console, "sms", "13800138000", "lan"), 60)
    (shown,) = (provider for provider in console.call("GET")["providers"] if provider["name"] == "lan")
    assert (shown["kind"], shown["settings"]["account"]) == ("chuanglan", "N1234567")
    assert shown["settings"]["password"] == {"set": True}
    used_for = {"routes": {"numbers": "+86139", "categories": "notice"}}
    assert console.call("PATCH", "/sms/lan", used_for)["routes"] == used_for["routes"]
    assert console.call("PATCH", "/sms/lan", {"routes": {"categories": None}})["routes"] == {"numbers": "+86139"}
    (shown,) = (provider for provider in console.call("GET")["providers"] if provider["name"] == "lan")
    assert "numbers" not in shown["settings"]
    assert console.call("DELETE", "/sms/lan")["errorCode"] == 0


def test_a_group_robot_is_set_up_and_reached_by_its_name(console: Console) -> None:
    settings: dict[str, object] = {"endpoint": f"{console.deployment.url}/sandbox/wecom"}
    body = {"method": "wecom", "name": "duty", "kind": "robot", "settings": {**settings, "key": "nobody"}}
    assert "Webhook" in console.call("POST", "/check", body)["remedy"]
    add(console, "wecom", "duty", "robot", {**settings, "key": read_secret(console, "wecom_key")})
    wait(lambda: is_sent(console, "wecom", "duty", "duty"), 60)
    assert console.call("DELETE", "/wecom/duty")["errorCode"] == 0


def test_an_account_that_stops_working_asks_for_attention_until_it_is_mended(
    console: Console, mailboxes: tuple[Mailbox, Mailbox]
) -> None:
    mailbox, _ = mailboxes
    deployment = console.deployment
    since = deployment.call("GET", "/api/v2/events", token=deployment.token())["next"]
    body = {"method": "smtp", "name": "stale", "kind": "smtp", "settings": write(mailbox, password="expired")}
    assert console.call("POST", "", body)["errorCode"] == 0
    wait(lambda: console.list().get("stale", {}).get("attention", []) != [], 60)
    (found,) = console.list()["stale"]["attention"]
    assert "拒绝登录" in found["what"]
    assert "授权码" in found["remedy"]

    def read_told() -> list[tuple[str, str]]:
        heard = deployment.call("GET", "/api/v2/events", token=deployment.token(), after=since, limit="500")["events"]
        told = [event["data"] for event in heard if event["type"] == "provider.attention"]
        return [(finding["provider"], finding["what"]["zh"]) for finding in told]

    wait(lambda: read_told() == [("stale", found["what"])], 60, why=lambda: str(read_told()))
    mended = console.call("PATCH", "/smtp/stale", {"settings": {"password": mailbox.users[USER]}})
    assert mended["errorCode"] == 0, mended
    wait(lambda: console.list()["stale"]["attention"] == [], 60)
    assert console.call("DELETE", "/smtp/stale")["errorCode"] == 0
    wait(lambda: list(console.list()) == ["default"], 60)


def test_an_official_account_is_set_up_and_known_to_gateways(console: Console) -> None:
    settings: dict[str, object] = {
        "endpoint": f"{console.deployment.url}/sandbox/wechat/api",
        "appid": "wx5a2d8c1e0f3b7a94",
        "secret": read_secret(console, "wechat_secret"),
        "token": read_secret(console, "wechat_token"),
        "aes_key": read_secret(console, "wechat_aes_key"),
        "template": "imsg-sandbox-template",
    }
    body = {"method": "wechat", "name": "school", "kind": "wechat"}
    for changed, word in (({"secret": "wrong"}, "AppSecret"), ({"appid": "wx0000000000000000"}, "AppID")):
        check = console.call("POST", "/check", {**body, "settings": {**settings, **changed}})
        assert (check["ok"], word in check["remedy"]) == (False, True), check
    add(console, "wechat", "school", "wechat", settings)

    def has_account() -> bool:
        answer = console.deployment.call("GET", "/api/v2/followers", account="school", token=console.deployment.token())
        return bool(answer["errorCode"] == 0)

    wait(has_account, 60)
    listed = [provider for provider in console.call("GET")["providers"] if provider["method"] == "wechat"]
    assert [(provider["name"], provider["settings"]["token"]) for provider in listed] == [("school", {"set": True})]

    def is_known() -> bool:
        sent = {"method": "wechat", "to": "7K3M9Q2XF", "account": "school", "content": "明天停电"}
        answer = console.deployment.call("POST", "/api/v2/messages/check", sent, token=console.deployment.token())
        return bool(answer.get("reason") != "no_such_account")

    wait(is_known, 60)
    assert console.call("DELETE", "/wechat/school")["errorCode"] == 0
