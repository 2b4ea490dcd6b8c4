"""What a stranger meets who runs iMSG as containers."""

import base64
import hashlib
import json
from typing import Any

import pytest

from imsg_testing.compose import Containers

SERVICES = ("gateway", "auth", "history", "console", "sender-smtp", "sender-sms", "sender-wechat", "sandbox")
STORES = ("rabbitmq", "redis", "postgres")

pytestmark = pytest.mark.timeout(1_200)


def settled(stack: Containers, token: str, request: str, count: int) -> list[dict[str, Any]]:
    """Wait until all messages of a request are settled; return them."""
    found: list[dict[str, Any]] = []

    def all_are() -> bool:
        found[:] = stack.call("GET", "/api/query", id=request, token=token, limit="500")["messages"]
        return len(found) == count and all(message["status"] not in ("queued", "retrying") for message in found)

    stack.wait(all_are)
    return found


def test_a_user_of_the_administrator_sends_a_mail_with_an_attachment(stack: Containers) -> None:
    content = "一份中文附件\n".encode() * 1_000
    user = {"username": "小王", "password": "a-good-one", "email": "wang@example.com"}

    assert stack.call("POST", "/api/register", user | {"token": stack.token})["errorCode"] == 0
    token = stack.log_in("小王", "a-good-one")
    sent = stack.call(
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
    assert {message["status"] for message in settled(stack, token, sent["id"], 2)} == {"sent"}
    for to in ("zhang@example.com", "wang@example.com"):
        (mail,) = stack.call("GET", "/sandbox/inbox", to=to, token=stack.token)["messages"]
        assert (mail["subject"], mail["text"].strip()) == ("开会通知", "下午两点半")
        assert mail["attachments"] == [
            {"filename": "说明.txt", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        ]


def test_no_documented_account_and_no_open_sandbox(stack: Containers) -> None:
    codes = {
        name: stack.call("POST", "/api/login", {"username": name, "password": password})["errorCode"]
        for name, password in (("admin", "123"), ("天存-system-1001", "123456"))
    }

    assert codes == {"admin": 10007, "天存-system-1001": 10006}
    assert stack.call("GET", "/sandbox/inbox")["errorCode"] == 10002
    assert stack.client.get("/sandbox/inbox").status_code == 400


@pytest.mark.parametrize("path", ["/metrics", "/internal/contacts", "/api/../internal/mirror", "/hooks"])
def test_nothing_else_is_reachable_and_says_so_in_the_public_shape(stack: Containers, path: str) -> None:
    request = stack.client.build_request("POST", "/", json={})
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = stack.client.send(request)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json()["errorCode"] == 10001


@pytest.mark.parametrize("path", ["/", "/sandboxes"])
def test_what_is_nobody_else_s_is_the_page_s_which_wants_a_log_in_and_takes_nothing_from_strangers(
    stack: Containers, path: str
) -> None:
    shown = stack.client.get(path, headers={"Accept": "text/html"})
    posted = stack.client.post(path, json={}, headers={"Origin": "https://elsewhere.example"})

    assert (shown.status_code, shown.headers.get("location", "").partition("?")[0]) == (303, "/login")
    assert posted.status_code == 403


def test_a_path_in_raw_utf8_arrives(stack: Containers) -> None:
    body = {"token": stack.token, "per_day": 20, "per_hour": 5}

    assert stack.asked_raw("/api/modify/没有这个人", body)["errorCode"] == 10006


@pytest.mark.parametrize("service", [*SERVICES, *STORES, "caddy", "init", "roles"])
def test_a_container_has_no_more_rights_and_room_than_it_needs(stack: Containers, service: str) -> None:
    container = stack.inspected(service)
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


def test_every_container_is_healthy_or_has_done_its_work(stack: Containers) -> None:
    states = [json.loads(line) for line in stack.compose("ps", "--all", "--format", "json").splitlines()]
    health = {state["Service"]: state["Health"] or state["ExitCode"] for state in states}

    assert health == dict.fromkeys((*SERVICES, *STORES, "caddy"), "healthy") | {"init": 0, "roles": 0}


def test_the_stores_stop_below_the_limits_of_their_containers(stack: Containers) -> None:
    password = 'REDISCLI_AUTH="$(cat /run/imsg/redis_password)"'
    asked = f"{password} redis-cli --user imsg --raw config get maxmemory maxmemory-policy"
    maxmemory = stack.compose("exec", "-T", "redis", "sh", "-c", asked).split()
    status = json.loads(
        stack.compose("exec", "-T", "rabbitmq", "rabbitmq-diagnostics", "-q", "status", "--formatter", "json")
    )

    assert sorted(maxmemory) == ["536870912", "maxmemory", "maxmemory-policy", "noeviction"]
    assert status["vm_memory_high_watermark_limit"] == 700 * 1024**2
    assert stack.inspected("rabbitmq")["HostConfig"]["Memory"] == 1024**3


def test_an_owner_that_an_older_volume_lacks_is_made_at_the_next_start(stack: Containers) -> None:
    def roles() -> str:
        asked = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'imsg_%' ORDER BY 1"
        return stack.compose("exec", "-T", "postgres", "psql", "-Atq", "-U", "imsg", "-d", "imsg", "-c", asked)

    stack.compose("stop", "sender-wechat")
    removed = "DROP SCHEMA wechat CASCADE; DROP OWNED BY imsg_wechat; DROP ROLE imsg_wechat"
    stack.compose("exec", "-T", "postgres", "psql", "-q", "-U", "imsg", "-d", "imsg", "-c", removed)
    assert roles().split() == ["imsg_auth", "imsg_history"]

    stack.compose("up", "--detach", "--wait", "--no-build", timeout_s=300)

    assert roles().split() == ["imsg_auth", "imsg_history", "imsg_wechat"]


def test_no_secret_shows_from_outside_a_container(stack: Containers) -> None:
    names = set(stack.compose("exec", "-T", "auth", "ls", "/run/imsg").split()) - {"service"}  # which is its name
    secrets = [stack.secret("auth", name) for name in names]
    seen = stack.compose("config") + json.dumps([stack.inspected(name) for name in (*SERVICES, *STORES)])

    assert len(set(secrets)) == 6
    assert [secret for secret in secrets if secret in seen] == []


def test_what_was_accepted_outlives_a_restart_of_everything(stack: Containers) -> None:
    message = {
        "token": stack.token,
        "to": "late@example.com",
        "method": "smtp",
        "content": {"subject": "x", "text": "y"},
    }
    accepted = stack.call("POST", "/api/send", message)

    stack.compose("restart", "--timeout", "30", timeout_s=300)
    stack.compose("up", "--detach", "--wait", "--no-build", timeout_s=300)

    (one,) = settled(stack, stack.token, accepted["id"], 1)
    assert one["status"] == "sent"
