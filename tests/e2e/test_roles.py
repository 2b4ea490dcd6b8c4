"""Each operation of the API is tried by each role: the document says who may, and that is what holds."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from imsg_contract.roles import ROLES
from imsg_testing.api import PASSWORD
from imsg_testing.api_versions import read_answer
from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")

ENDS_THE_LOG_IN = {"/api/v2/logout", "/api/v2/password"}


MESSAGE = {"method": "smtp", "to": "wang.wu@example.com", "content": {"subject": "s", "text": "t"}}


@pytest.fixture(scope="module")
def deployment(shared_stack: Deployment) -> Deployment:
    """Register a user of each role."""
    for role in ROLES:
        fields = {"username": f"a-{role}", "password": PASSWORD, "role": role, "per_hour": 10_000, "per_day": 10_000}
        made = shared_stack.call("POST", "/api/v2/register", fields | {"token": shared_stack.token()})
        assert made["errorCode"] == 0, made
    return shared_stack


def log_in(deployment: Deployment, role: str) -> str:
    """Return a token of the user with a role."""
    return deployment.token(f"a-{role}", PASSWORD)


def list_operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield verb, path and operation of all that needs a token."""
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            if operation["security"]:
                yield verb.upper(), path, operation


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_document_grants_and_nothing_else(deployment: Deployment, role: str) -> None:
    document = deployment.client.get("/openapi.json").json()
    token, tried, wrong = log_in(deployment, role), 0, []
    for verb, path, operation in list_operations(document):
        if path in ENDS_THE_LOG_IN:
            assert set(operation["x-imsg-roles"]) == set(ROLES)
            continue
        reason = find_reason(deployment, verb, path, token, operation)
        tried += 1
        if (reason == "no_right") == (role in operation["x-imsg-roles"]):
            wrong.append((verb, path, operation["x-imsg-roles"], reason))

    assert wrong == []
    assert tried > 50


def find_reason(deployment: Deployment, verb: str, path: str, token: str, operation: dict[str, Any]) -> str | None:
    """Call an operation about things that do not exist, and return the reason of its refusal."""
    url = path.replace("{method}", "smtp").replace("{", "no-").replace("}", "")
    body: dict[str, Any] | None = {} if "requestBody" in operation else None
    if path == "/api/send":
        body = MESSAGE  # v1 names what is missing before it looks at who sends
    answer = deployment.client.request(verb, url, headers={"authorization": f"Bearer {token}"}, json=body)
    return read_answer(answer).get("reason") if answer.headers["content-type"].startswith("application/json") else None


def test_a_key_may_do_what_the_document_grants_and_nothing_else(deployment: Deployment) -> None:
    document = deployment.client.get("/openapi.json").json()
    granted = {
        (verb, path): next((right["key"] for right in operation["security"] if "key" in right), None)
        for verb, path, operation in list_operations(document)
    }
    scopes = {scope for needed in granted.values() for scope in needed or () if not scope.startswith("send:")}
    wrong = []
    for held in (scopes, {"followers"}):
        body = {"token": log_in(deployment, "admin"), "name": "a program", "kind": "live", "scopes": sorted(held)}
        key = deployment.call("POST", "/api/v2/keys", body)["key"]
        for verb, path, operation in list_operations(document):
            needed = granted[verb, path]
            if needed is not None and any(scope.startswith("send:") for scope in needed):
                continue  # the method, and the scope with it, is read from the body
            missing = "not_by_key" if needed is None else "no_scope"
            expected = None if needed is not None and held.issuperset(needed) else missing
            reason = find_reason(deployment, verb, path, key, operation)
            if (reason if reason in ("not_by_key", "no_scope") else None) != expected:
                wrong.append((verb, path, needed, reason))

    assert wrong == []


def test_an_auditor_sees_every_message_and_the_content_of_none(deployment: Deployment) -> None:
    secret = "the figures of the third quarter"
    content = {"subject": secret, "text": secret, "html": f"<p>{secret}</p>"}
    files = [{"filename": f"{secret}.txt", "file": "YQ=="}]
    message = {"method": "smtp", "to": "wang.wu@example.com", "content": content, "attachment": files}
    accepted = deployment.call("POST", "/api/v2/messages", message | {"token": log_in(deployment, "user")})
    assert accepted["errorCode"] == 0, accepted
    auditor, operator = log_in(deployment, "auditor"), log_in(deployment, "operator")
    deployment.wait_settled(accepted["id"])
    for path in ("/api/v2/messages", "/api/v2/requests", "/api/query"):
        assert secret in str(deployment.call("GET", path, id=accepted["id"], token=operator))
        seen = deployment.call("GET", path, id=accepted["id"], token=auditor)
        assert "wang.wu@example.com" in str(seen)
        assert secret not in str(seen)
    document, asked = deployment.client.get("/openapi.json").json(), 0
    for verb, path, operation in list_operations(document):
        if verb != "GET" or "auditor" not in operation["x-imsg-roles"]:
            continue
        url = path.replace("{id}", accepted["id"]).replace("{method}", "smtp").replace("{", "no-").replace("}", "")
        for given in ({}, {"id": accepted["id"]}):
            headers = {"authorization": f"Bearer {auditor}"}
            answer = deployment.client.get(url, params=given, headers=headers)
            asked += answer.is_success
            assert secret not in answer.text, (url, given)
    assert asked > 20


def test_whoever_looks_at_anothers_request_leaves_a_line_in_the_audit(deployment: Deployment) -> None:
    accepted = deployment.call("POST", "/api/v2/messages", MESSAGE | {"token": log_in(deployment, "user")})
    deployment.wait_settled(accepted["id"])
    url = f"/api/v2/requests/{accepted['id']}"
    for role in ("user", "auditor", "operator"):
        assert deployment.call("GET", url, token=log_in(deployment, role))["errorCode"] == 0
    deployment.wait_audited(action="content_read", target=accepted["id"])
    lines = deployment.call("GET", "/api/v2/audit", target=accepted["id"], token=deployment.token())["audit"]
    assert {(line["actor"], line["action"]) for line in lines} == {
        ("a-operator", "content_read"),
        ("admin", "content_read"),  # who waited for it to be settled
    }


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("admin", "/send /audit /users"),
        ("operator", "/send /audit /users"),
        ("auditor", "/audit /users"),
        ("user", "/send"),
    ],
)
def test_the_web_page_shows_each_role_its_pages(deployment: Deployment, role: str, shown: str) -> None:
    form = {"username": f"a-{role}", "password": PASSWORD}
    with httpx.Client(base_url=deployment.url, timeout=60, headers={"accept": "text/html"}) as browser:
        assert browser.post("/login", data=form, headers={"origin": deployment.url}).status_code == 303
        statuses = {path: browser.get(path).status_code for path in ("/send", "/audit", "/users")}

    assert {path for path, status in statuses.items() if status == 200} == set(shown.split())
    assert {status for status in statuses.values() if status != 200} <= {403}


def test_an_auditor_sends_nothing_by_either_version(deployment: Deployment) -> None:
    token = log_in(deployment, "auditor")

    for path in ("/api/v2/messages", "/api/v2/messages/check"):
        for wrong in ({}, {"method": "pigeon"}, {"no_such_field": 1}):
            refused = deployment.call("POST", path, {**MESSAGE, **wrong, "token": token})
            assert refused["reason"] == "no_right"
            assert refused["detail"] == "此操作需要管理员或操作员或普通用户的 token。"
    assert deployment.call("POST", "/api/send", MESSAGE | {"token": token})["errorCode"] == 10016


def test_v1_knows_the_roles_of_its_document_alone(deployment: Deployment) -> None:
    fields = {"username": "by-v1", "password": PASSWORD, "token": deployment.token()}

    for role in ("operator", "auditor", "king", 5):
        refused = deployment.call("POST", "/api/register", fields | {"role": role})
        assert (refused["errorCode"], refused["detail"]) == (10017, "参数 role 不正确：只能是 'user'或'admin'。")
    nameless = deployment.call("POST", "/api/register", {"role": "king", "token": fields["token"]})
    assert (nameless["errorCode"], nameless["detail"]) == (10002, "缺少参数 username。")
    assert deployment.call("POST", "/api/register", fields | {"role": "admin"})["errorCode"] == 0


def test_a_key_has_no_scope_beyond_the_role_of_its_user(deployment: Deployment) -> None:
    def make(role: str, scope: str) -> Any:  # noqa: ANN401  any JSON
        body = {"token": log_in(deployment, role), "name": "a program", "kind": "live", "scopes": [scope]}
        return deployment.call("POST", "/api/v2/keys", body)

    assert make("auditor", "send:smtp")["reason"] == "wrong_type"
    assert make("user", "audit")["reason"] == "wrong_type"
    assert make("operator", "send:smtp")["errorCode"] == 0
    assert make("auditor", "audit")["errorCode"] == 0


def test_no_operator_makes_themselves_an_administrator(deployment: Deployment) -> None:
    token = log_in(deployment, "operator")

    assert (
        deployment.call("PATCH", "/api/v2/users/a-operator", {"role": "admin", "token": token})["reason"] == "no_right"
    )
    assert deployment.call("GET", "/api/v2/me", token=token)["role"] == "operator"
