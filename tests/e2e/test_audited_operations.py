"""Each operation that changes something, and each that reads what is of others, writes its action into the audit."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imsg_contract.audit import ACTIONS, FIELDS, UNAUDITED
from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment
from imsg_testing.receiver import receiving
from imsg_testing.stacks import CALLING
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group(CALLING)

STORIES = Path(__file__).parent

ELSEWHERE: Mapping[str, str] = {
    "POST /providers": "test_provider_accounts.py",
    "PATCH /providers/{method}/{name}": "test_providers.py test_provider_accounts.py",
    "POST /providers/{method}/{name}/restore": "test_provider_accounts.py",
    "DELETE /providers/{method}/{name}": "test_provider_accounts.py",
    "POST /senders": "test_senders.py",
    "PATCH /senders/{name}": "test_senders.py",
    "DELETE /senders/{name}": "test_senders.py",
    "POST /me/totp": "test_totp.py",
    "POST /me/totp/confirm": "test_totp.py",
    "DELETE /me/totp": "test_totp.py",
    "DELETE /users/{username}/totp": "test_totp.py",
    "DELETE /sessions/{id}": "test_page_sessions.py",
    "POST /followers/bind": "test_wechat.py",
    "POST /followers/bind/{id}/confirm": "test_wechat.py",
    "POST /followers/{tag}/renew": "test_wechat.py",
    "DELETE /followers/{tag}": "test_wechat.py",
    "GET /dead/{id}": "test_operation.py",
    "DELETE /dead/{id}": "test_operation.py",
    "POST /dead/{id}/resend": "test_operation.py",
}
"""Operation → the stories that do it and look for its actions."""


@pytest.fixture
def deployment(calling_stack: Deployment) -> Deployment:
    """`imsg up`, which may call this machine."""
    return calling_stack


class Caller:
    """Does operations by their names in the table, and remembers what each was about."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.done: dict[str, str] = {}

    def call(self, operation: str, target: str | None = None, /, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
        """Call an operation on a target, by default the id that it returns; fields also fill in the path."""
        verb, path = operation.split()
        for name in ("username", "method", "name", "event", "id"):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", str(fields.pop(name)))
        url = f"/api{path}" if path.startswith("/modify") else f"/api/v2{path}"
        headers = {"authorization": f"Bearer {self._deployment.token()}"}
        if verb == "PUT":
            headers["if-match"] = self._deployment.client.get(url, headers=headers).headers["etag"]
        given: Any = {"params": fields} if verb == "GET" else {"json": fields}
        answer = self._deployment.client.request(verb, url, headers=headers, **given)
        found: dict[str, Any] = answer.json() if answer.content else {"errorCode": 0}
        assert found.get("errorCode", 0) == 0, (operation, found)
        self.done[operation] = str(target or found["id"])
        return found


def manage(deployment: Deployment, caller: Caller) -> None:
    """Call the administrators' operations on users, keys, limits and channels."""
    do, name, leaver = caller.call, deployment.new_user(), deployment.new_user()
    do("POST /register", "registered", username="registered", password=PASSWORD)
    do("POST /modify/{username}", name, username=name, per_day=50, per_hour=50, available=True)
    do("PATCH /users/{username}", name, username=name, per_hour=50)
    do("DELETE /users/{username}", leaver, username=leaver)
    row = {"id": "r", "counts": "requests", "per": "day", "limit": 10_000}
    do("PUT /users/{username}/quotas", name, username=name, quotas=[row])
    do("PUT /quotas", "imsg:installation", quotas=[row])
    do("PUT /caps", "imsg:installation", caps=[])
    price = {"method": "smtp", "provider": "smtp", "per": "message", "amount": "0.01", "currency": "CNY"}
    do("PUT /prices", "prices", prices=[{**price, "from": "2026-01-01"}])
    key = do("POST /keys", "admin", name="one", kind="live", scopes=["query"])
    do("PATCH /keys/{id}", "admin", id=key["id"], name="two")
    newer = do("POST /keys/{id}/rotate", "admin", id=key["id"], old_valid_s=60)
    do("DELETE /keys/{id}", "admin", id=key["id"])
    do("POST /keys/leaked", "admin", key=newer["key"])
    names: list[str] = []

    def has_provider() -> bool:
        channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
        (sms,) = (channel for channel in channels if channel["method"] == "sms")
        names[:] = [provider["name"] for provider in sms["providers"]]
        return bool(names)

    wait(has_provider, 60)
    provider = names[0]
    named = {"method": "sms", "name": provider}
    do("POST /providers/{method}/{name}/test", f"sms/{provider}", **named, to="13800138000")
    for paused in (True, False):
        do("PATCH /channels/{method}", "wecom", method="wecom", paused=paused)
    do("PUT /windows", "imsg:installation", windows=[])
    do("PUT /holidays", "imsg:installation", holidays={"2027-05-03": "holiday"})
    words = {"zh": {"smtp": {"subject": "通知", "text": "{{ name }}您好"}}}
    template = {"category": "notice", "default_language": "zh", "languages": words}
    do("POST /templates", "greeting", name="greeting", **template)
    do("PATCH /templates/{name}", "greeting", name="greeting", **template)
    do("POST /templates/{name}/publish", "greeting", name="greeting")
    do("DELETE /templates/{name}", "greeting", name="greeting")
    do("POST /groups", "people", name="people")
    member = {"to": "li.si@example.com"}
    do("POST /groups/{name}/members", "people", name="people", members=[member])
    do("POST /groups/{name}/members/remove", "people", name="people", to=["li.si@example.com"])
    do("PATCH /groups/{name}", "people", name="people", note="of the audit")
    do("DELETE /groups/{name}", "people", name="people")
    do("POST /erasures", method="smtp", to="gone@example.com")


def read_and_resend(deployment: Deployment, caller: Caller) -> None:
    """Read what others wrote, send it again, suppress, report and export."""
    do, name = caller.call, deployment.new_user()
    message = {"to": "bounce@example.com", "method": "smtp", "content": {"subject": "s", "text": "t"}}
    message["token"] = deployment.token(name, PASSWORD)
    sent = deployment.call("POST", "/api/v2/messages", message)["id"]
    deployment.wait_settled(sent)
    do("GET /messages", "*")
    do("GET /requests", name, username=name)
    do("GET /requests/{id}", sent, id=sent)
    do("GET /replies", "*")
    do("GET /audit", "*")
    do("POST /resend", sent, id=sent)
    do("POST /suppressions", "to be replaced", method="smtp", to="no@example.com")
    token = deployment.token()
    (entry,) = deployment.call("GET", "/api/v2/suppressions", token=token, to="no@example.com")["suppressions"]
    do("DELETE /suppressions/{id}", entry["id"], id=entry["id"])
    caller.done["POST /suppressions"] = entry["id"]
    for kind, fields in (
        ("reports", {"kind": "usage", "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}),
        ("exports", {"username": name}),
    ):
        made = do(f"POST /{kind}", **fields)["id"]
        wait(partial(is_ready, deployment, f"/api/v2/{kind}/{made}"))
        do(f"GET /{kind}/{{id}}/file", made, id=made)


def hold(deployment: Deployment, caller: Caller) -> None:
    """Move, release and cancel what another user sends later."""
    do, token = caller.call, deployment.new_user_token(per_day=100, per_hour=100)
    later = datetime.now(UTC) + timedelta(hours=2)

    def schedule() -> str:
        message = {"to": "a@example.com", "method": "smtp", "content": {"subject": "s", "text": "t"}, "token": token}
        wanted = message | {"send_at": later.isoformat(), "reference": "held back"}
        request: str = deployment.call("POST", "/api/v2/messages", wanted)["id"]
        wait(lambda: deployment.call("GET", f"/api/v2/requests/{request}", token=token)["errorCode"] == 0)
        return request

    moved, released, cancelled, message = (schedule() for _ in range(4))
    do("PATCH /requests/{id}", moved, id=moved, send_at=(later + timedelta(hours=1)).isoformat())
    do("POST /requests/{id}/release", released, id=released)
    do("POST /requests/{id}/cancel", cancelled, id=cancelled)
    do("POST /messages/{id}/cancel", f"{message}-0", id=f"{message}-0")
    do("POST /requests/cancel", "held back", reference="held back")
    do("POST /requests/release", "night", held_by="night")


def is_ready(deployment: Deployment, path: str) -> bool:
    """Return whether a file can be fetched."""
    return bool(deployment.call("GET", path, token=deployment.token())["url"])


def call_back(deployment: Deployment, caller: Caller) -> None:
    """Call the users' operations on callbacks."""
    do = caller.call
    with receiving() as receiver:
        callback = do("POST /callbacks", url=receiver.url("/"), events=["message.sent"])["id"]
        deployment.send("told@example.com")
        wait(lambda: bool(receiver.calls), 60)
        event = receiver.calls[0].event
        do("PATCH /callbacks/{id}", callback, id=callback, description="of the audit")
        do("POST /callbacks/{id}/rotate", callback, id=callback)
        do("POST /callbacks/{id}/test", callback, id=callback)
        do("POST /callbacks/{id}/recover", callback, id=callback, since=event["timestamp"])
        do("POST /callbacks/{id}/deliveries/{event}/resend", callback, id=callback, event=event["id"])
        do("DELETE /callbacks/{id}", callback, id=callback)


def come_and_go(deployment: Deployment, caller: Caller) -> None:
    """Log in and out, wrongly too, and change the password."""
    name = deployment.new_user()

    def log_in(password: str = PASSWORD) -> dict[str, Any]:
        return deployment.call("POST", "/api/v2/login", {"username": name, "password": password})

    log_in("a wrong one")
    for path, body in (
        ("logout", {}),
        ("logout", {"everywhere": True}),
        ("password", {"old": PASSWORD, "new": "another battery"}),
    ):
        answer = deployment.call("POST", f"/api/v2/{path}", {"token": log_in()["token"], **body})
        assert answer["errorCode"] == 0, answer
    caller.done |= {"POST /login": name, "POST /logout": name, "POST /password": name}


def list_fields(written: object) -> Iterator[str]:
    """Yield the names of the fields in the audit's records, at any depth."""
    if isinstance(written, list):
        for element in written:
            yield from list_fields(element)
    elif isinstance(written, dict) and "masked" not in written:
        for name, value in written.items():
            if not name.startswith("20"):  # the date of a holiday
                yield name
            yield from list_fields(value)


def test_every_operation_of_the_table_writes_its_action(deployment: Deployment) -> None:
    caller = Caller(deployment)
    for use in (manage, read_and_resend, hold, call_back, come_and_go):
        use(deployment, caller)

    assert caller.done.keys() ^ ELSEWHERE.keys() == ACTIONS.keys()
    for operation, target in caller.done.items():
        for action in ACTIONS[operation]:
            written = deployment.wait_audited(action=action, target=target)
            assert set(list_fields([written["before"], written["after"]])) <= FIELDS, written
    for operation, stories in ELSEWHERE.items():
        text = "".join((STORIES / story).read_text(encoding="utf-8") for story in stories.split())
        assert all(f'"{action}"' in text for action in ACTIONS[operation]), operation


def test_every_operation_that_changes_something_is_in_the_table() -> None:
    document = json.loads((STORIES.parents[1] / "docs" / "openapi.json").read_text(encoding="utf-8"))
    changing = {
        f"{verb.upper()} {path.removeprefix('/api/v2')}"
        for path, verbs in document["paths"].items()
        for verb in verbs
        if path.startswith("/api/v2/") and verb != "get"
    }
    listed = {operation for operation in ACTIONS if not operation.startswith(("GET ", "POST /modify"))}

    assert listed.isdisjoint(UNAUDITED)
    assert changing - listed == UNAUDITED.keys(), "enter it in imsg_contract.audit"
    assert listed <= changing
