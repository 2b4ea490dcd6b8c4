"""iMSG as containers, as a stranger runs it."""

import base64
import hashlib
import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg import secrets
from imsg_channels import CHANNELS
from imsg_testing.compose import Containers

SERVICES = (
    "gateway",
    "auth",
    "history",
    "catalog",
    "callbacks",
    "console",
    *(channel.service for channel in CHANNELS),
    "sandbox",
)
STORES = ("rabbitmq", "redis", "postgres")

pytestmark = pytest.mark.timeout(1_200)


def wait_settled(containers: Containers, token: str, request: str, count: int) -> list[dict[str, Any]]:
    """Wait until all messages of a request are settled; return them."""
    results: list[dict[str, Any]] = []

    def all_are() -> bool:
        results[:] = containers.call("GET", "/api/query", id=request, token=token, limit="500")["messages"]
        return len(results) == count and all(message["status"] not in ("queued", "retrying") for message in results)

    containers.wait(all_are)
    return results


def test_a_user_of_the_administrator_sends_a_mail_with_an_attachment(containers: Containers) -> None:
    content = "一份中文附件\n".encode() * 1_000
    user = {"username": "小王", "password": "a-good-one", "email": "wang@example.com"}

    assert containers.call("POST", "/api/register", user | {"token": containers.token})["errorCode"] == 0
    token = containers.log_in("小王", "a-good-one")
    sent = containers.call(
        "POST",
        "/api/send",
        {
            "token": token,
            "to": ["zhang@example.com", "小王"],
            "method": "smtp",
            "content": {"subject": "开会通知", "text": "下午两点半"},
            "attachment": {"filename": "说明.txt", "file": base64.b64encode(content).decode()},
        },
    )

    assert (sent["errorCode"], sent["count"]) == (0, 2), sent
    assert {message["status"] for message in wait_settled(containers, token, sent["id"], 2)} == {"sent"}
    for to in ("zhang@example.com", "wang@example.com"):
        (mail,) = containers.call("GET", "/sandbox/inbox", to=to, token=containers.token)["messages"]
        assert (mail["subject"], mail["text"].strip()) == ("开会通知", "下午两点半")
        assert mail["attachments"] == [
            {"filename": "说明.txt", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        ]


@pytest.mark.parametrize("file", ["", "deploy/parted.yml"], ids=["with catalog", "by itself"])
def test_scheduler_keeps_what_is_sent_later_moves_it_and_releases_it(containers: Containers, file: str) -> None:
    headers = {"Authorization": f"Bearer {containers.token}"}
    message = {"method": "smtp", "to": "later@example.com", "content": {"subject": "x", "text": "y"}}
    with containers.adding(file, {}) if file else nullcontext():
        assert len(containers.replicas("catalog")) == 1
        assert ("scheduler" in containers.compose("ps", "--services").split()) == bool(file)
        due = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        sent = containers.client.post("/api/v2/messages", json=message | {"send_at": due}, headers=headers)
        assert sent.status_code == 202, sent.text
        url = f"/api/v2/requests/{sent.json()['id']}"

        def move() -> bool:
            moved = containers.client.patch(url, json={"send_at": datetime.now(UTC).isoformat()}, headers=headers)
            return moved.status_code == 200

        containers.wait(move)  # it is kept once scheduler has it
        (settled,) = wait_settled(containers, containers.token, sent.json()["id"], 1)
    assert settled["status"] == "sent"


def test_no_documented_account_and_no_open_sandbox(containers: Containers) -> None:
    codes = {
        name: containers.call("POST", "/api/login", {"username": name, "password": password})["errorCode"]
        for name, password in (("admin", "123"), ("天存-system-1001", "123456"))
    }

    assert codes == {"admin": 10007, "天存-system-1001": 10006}
    assert containers.call("GET", "/sandbox/inbox")["errorCode"] == 10002
    assert containers.client.get("/sandbox/inbox").status_code == 400


@pytest.mark.parametrize("path", ["/metrics", "/internal/contacts", "/api/../internal/user-cache", "/hooks"])
def test_nothing_else_is_reachable_and_the_refusal_has_the_public_shape(containers: Containers, path: str) -> None:
    request = containers.client.build_request("POST", "/", json={})
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = containers.client.send(request)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json()["errorCode"] == 10001


@pytest.mark.parametrize("path", ["/", "/sandboxes"])
def test_every_other_path_is_the_pages_which_needs_a_log_in(containers: Containers, path: str) -> None:
    shown = containers.client.get(path, headers={"Accept": "text/html"})
    posted = containers.client.post(path, json={}, headers={"Origin": "https://elsewhere.example"})

    assert (shown.status_code, shown.headers.get("location", "").partition("?")[0]) == (303, "/login")
    assert posted.status_code == 403


def test_a_path_in_raw_utf8_arrives(containers: Containers) -> None:
    body = {"token": containers.token, "per_day": 20, "per_hour": 5}

    assert containers.call_raw("/api/modify/没有这个人", body)["errorCode"] == 10006


@pytest.mark.parametrize("service", [*SERVICES, *STORES, "caddy", "init", "roles", "upgrade"])
def test_a_container_has_no_more_rights_and_room_than_it_needs(containers: Containers, service: str) -> None:
    container = containers.inspect(service)
    host = container["HostConfig"]

    assert container["Config"]["User"] in (
        "imsg",
        service.removesuffix("mq"),
        service,
        "10001:10001",
        "postgres",
        "0:0",
    )
    assert (container["Config"]["User"] == "0:0") == (service == "init"), "which has no network and no capability"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    added = [capability.removeprefix("CAP_") for capability in host["CapAdd"] or ()]  # engines differ in the prefix
    assert added == (["NET_BIND_SERVICE"] if service == "caddy" else [])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert 0 < host["Memory"] <= 1024**3
    assert host["NanoCpus"] > 0
    assert 0 < host["PidsLimit"] <= 512
    assert bool(host["PortBindings"]) == (service == "caddy")


def test_every_container_is_healthy_or_has_done_its_work(containers: Containers) -> None:
    states = [json.loads(line) for line in containers.compose("ps", "--all", "--format", "json").splitlines()]
    health = {state["Service"]: state["Health"] or state["ExitCode"] for state in states}

    assert health == dict.fromkeys((*SERVICES, *STORES, "caddy"), "healthy") | {"init": 0, "roles": 0, "upgrade": 0}
    assert len(health) - len({"init", "roles", "upgrade", "sandbox"}) == 14, "what production runs"


def test_the_stores_stop_below_the_limits_of_their_containers(containers: Containers) -> None:
    password = 'REDISCLI_AUTH="$(cat /run/imsg/redis_password)"'
    command = f"{password} redis-cli --user imsg --raw config get maxmemory maxmemory-policy"
    maxmemory = containers.compose("exec", "-T", "redis", "sh", "-c", command).split()
    status = json.loads(
        containers.compose("exec", "-T", "rabbitmq", "rabbitmq-diagnostics", "-q", "status", "--formatter", "json")
    )

    assert sorted(maxmemory) == ["536870912", "maxmemory", "maxmemory-policy", "noeviction"]
    assert status["vm_memory_high_watermark_limit"] == 700 * 1024**2
    assert containers.inspect("rabbitmq")["HostConfig"]["Memory"] == 1024**3


def test_an_owner_that_an_older_volume_lacks_is_made_at_the_next_start(containers: Containers) -> None:
    def roles() -> str:
        query = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'imsg_%' ORDER BY 1"
        return containers.compose("exec", "-T", "postgres", "psql", "-Atq", "-U", "imsg", "-d", "imsg", "-c", query)

    containers.compose("stop", "sender-wechat")
    removed = "DROP SCHEMA wechat CASCADE; DROP OWNED BY imsg_wechat; DROP ROLE imsg_wechat"
    containers.compose("exec", "-T", "postgres", "psql", "-q", "-U", "imsg", "-d", "imsg", "-c", removed)
    others = ["imsg_audit", "imsg_auth", "imsg_callbacks", "imsg_catalog", "imsg_history", "imsg_scheduler"]
    assert roles().split() == others

    containers.compose("up", "--detach", "--wait", "--no-build", timeout_s=300)

    assert roles().split() == [*others, "imsg_wechat"]


def test_a_roll_gives_the_services_their_rights_first(containers: Containers) -> None:
    """An upgrade may bring a new user, or a right that an older version did not need."""
    redis = 'REDISCLI_AUTH="$(cat /run/imsg/redis_password)" redis-cli --user imsg acl'

    def list_users() -> str:
        rabbit = containers.compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "list_users")
        return rabbit + containers.compose("exec", "-T", "redis", "sh", "-c", f"{redis} getuser imsg-sender-wecom")

    containers.compose("exec", "-T", "redis", "sh", "-c", f"{redis} deluser imsg-sender-wecom")
    containers.compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "delete_user", "imsg-sender-wecom")
    assert "wecom" not in list_users()

    containers.run("scripts/roll", "sender-wecom", timeout_s=600)

    assert "imsg-sender-wecom" in list_users()
    assert "imsg:ledger:*" in list_users()


def test_a_roll_replaces_nothing_where_the_tables_cannot_be_brought_up(containers: Containers) -> None:
    def set_version(number: str) -> None:
        statement = f"UPDATE catalog.catalog_version SET version_num = '{number}'"  # noqa: S608  our own number
        containers.compose("exec", "-T", "postgres", "psql", "-q", "-U", "imsg", "-d", "imsg", "-c", statement)

    before = containers.replicas("gateway")
    set_version("9901")  # of a version on which this one cannot work
    try:
        with pytest.raises(AssertionError, match=r"later version(.|\n)*the replicas of gateway go on"):
            containers.run("scripts/roll", "gateway", timeout_s=600)
    finally:
        set_version("0001")

    assert containers.replicas("gateway") == before
    assert containers.inspect("gateway")["State"]["Health"]["Status"] == "healthy"


def test_no_secret_shows_from_outside_a_container(containers: Containers) -> None:
    names = set(containers.compose("exec", "-T", "auth", "ls", "/run/imsg").split()) - {"service"}  # which is its name
    handed = [containers.secret("auth", name) for name in names]
    seen = containers.compose("config") + json.dumps([containers.inspect(name) for name in (*SERVICES, *STORES)])

    assert len(set(handed)) == 14
    assert [secret for secret in handed if secret in seen] == []


WITHOUT_SECRETS = ("console", "caddy")


def test_the_root_of_the_secrets_is_in_no_container_that_goes_on(containers: Containers) -> None:
    init = ("run", "--rm", "--no-deps", "-T", "init")
    root = containers.compose(*init, "cat", f"/run/imsg/all/{secrets.ROOT}").strip()
    kept = set(containers.compose(*init, "ls", "/run/imsg/all").split())

    assert kept >= set(secrets.KEPT)
    for service in (*SERVICES, *STORES):
        if service in WITHOUT_SECRETS:
            containers.compose("exec", "-T", service, "test", "!", "-e", "/run/imsg")
            continue
        held = containers.compose("exec", "-T", service, "sh", "-c", "find /run/imsg -type f -exec cat {} +")
        assert held, service
        assert root not in held, service


def test_what_was_accepted_outlives_a_restart_of_everything(containers: Containers) -> None:
    message = {
        "token": containers.token,
        "to": "late@example.com",
        "method": "smtp",
        "content": {"subject": "x", "text": "y"},
    }
    accepted = containers.call("POST", "/api/send", message)

    containers.compose("restart", "--timeout", "30", timeout_s=300)
    containers.compose("up", "--detach", "--wait", "--no-build", timeout_s=300)

    (settled,) = wait_settled(containers, containers.token, accepted["id"], 1)
    assert settled["status"] == "sent"
