"""v2 refuses an unknown field by its name, in every object of every body."""

import copy
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")

OWN_CODES = {"content": 10009, "attachment": 10010}
"""Fields that answer a defect of theirs with a code of their own, where nothing in them can be read."""

ROWS = "/api/v2/groups/{name}/members"
"""It names an invalid row in its answer, and keeps the others."""

FREE = ("params", "languages", "providers", "variables", "holidays")
"""Objects whose names are the client's own."""


def list_examples(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each body that v2 takes, as its description gives it by example."""
    schemas = document["components"]["schemas"]
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if not path.startswith("/api/v2/"):
                    continue
                results = [content, *list_schemas(content["schema"], schemas)]
                examples = [example for schema in results for example in schema.get("examples", ())]
                for example in examples or [{}]:
                    yield verb.upper(), path, example


def list_schemas(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a body's schema, and each that it may be."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    yield schema
    for choice in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from list_schemas(choice, schemas)


def list_objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401  any JSON
    """Yield the way to every object in a body whose names are ours."""
    if isinstance(value, dict) and not (path and path[-1] in FREE):
        yield path
        for name, inner in value.items():
            yield from list_objects(inner, (*path, name))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            yield from list_objects(inner, (*path, at))


def add_field(body: dict[str, Any], path: tuple[Any, ...], name: str) -> dict[str, Any]:
    """Return the body with one field more in the object at a path."""
    changed = copy.deepcopy(body)
    at: Any = changed
    for step in path:
        at = at[step]
    at[name] = 1
    return changed


def test_every_object_of_every_body_refuses_a_field_that_nothing_reads(deployment: Deployment) -> None:
    document = deployment.client.get("/openapi.json").json()
    deployment.call("POST", "/api/v2/groups", {"token": deployment.token(), "name": "name"})
    tried, wrong = [], []
    for verb, path, example in list_examples(document):
        for place in list_objects(example):
            body = add_field(example, place, "categorx") | {"token": deployment.token()}
            answer = deployment.client.request(verb, path.replace("{", "").replace("}", ""), json=body).json()
            field = ".".join(map(str, (*place, "categorx")))
            tried.append((path, field))
            if path == ROWS and place:
                details = [problem["detail"] for problem in answer.get("problems", ())]
                if not any("categorx" in detail for detail in details):
                    wrong.append((verb, path, field, answer))
                continue
            is_named = f" {field} " in answer["detail"]
            if (answer["errorCode"], answer.get("reason")) != (10017, "unknown_field") or not is_named:
                wrong.append((verb, path, field, answer))

    assert wrong == []
    assert ("/api/v2/suppressions", "scope.categorx") in tried
    assert ("/api/v2/messages", "content.categorx") in tried
    assert ("/api/v2/quotas", "quotas.0.categorx") in tried


def suppress(deployment: Deployment, scope: dict[str, Any]) -> dict[str, Any]:
    """Try to suppress a number within a scope, which suppresses nothing; return the answer."""
    number, token = f"+86138{secrets.randbelow(10**8):08d}", deployment.token()
    body = {"token": token, "method": "sms", "to": number, "scope": scope}
    answer = deployment.call("POST", "/api/v2/suppressions", body)
    assert deployment.call("GET", "/api/v2/suppressions", token=token, to=number)["suppressions"] == []
    return answer


@pytest.mark.parametrize(
    ("scope", "meant"),
    [
        ({"foo": 1}, "可用的有：category、sender"),
        ({"signature": "【天存】"}, "可用的有：category、sender"),
        ({"categories": "code"}, "您要写的大概是 scope.category"),
        ({"sender": "news", "Category": "marketing"}, "您要写的大概是 scope.category"),
    ],
)
def test_a_scope_of_other_names_suppresses_nothing(deployment: Deployment, scope: dict[str, Any], meant: str) -> None:
    answer = suppress(deployment, scope)

    assert (answer["errorCode"], answer["reason"]) == (10017, "unknown_field")
    assert meant in answer["detail"]


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ({"sender": "*"}, "参数 scope.sender 不正确：若对所有发件方生效，请不要写 sender。"),
        ({"category": "news"}, "参数 scope.category 不正确：只能是 'code'、'notice'或'marketing'。"),
    ],
)
def test_a_scope_that_cannot_be_meant_suppresses_nothing(
    deployment: Deployment, scope: dict[str, Any], said: str
) -> None:
    answer = suppress(deployment, scope)

    assert (answer["reason"], answer["detail"]) == ("wrong_type", said)


@pytest.mark.parametrize(
    ("field", "value"), [("content", {"subjekt": "x"}), ("attachment", {"name": "x"}), ("attachment", [{"name": "x"}])]
)
def test_where_nothing_can_be_read_the_fields_own_code_is_returned(
    deployment: Deployment, field: str, value: object
) -> None:
    body = {
        "token": deployment.token(),
        "method": "smtp",
        "to": "a@example.com",
        "content": {"subject": "s", "text": "t"},
    }

    answer = deployment.call("POST", "/api/v2/messages", body | {field: value})

    assert answer["errorCode"] == OWN_CODES[field]


def test_v1_ignores_them_and_lists_which(deployment: Deployment) -> None:
    content = {"subject": "s", "text": "t", "foo": 1}
    body = {"token": deployment.token(), "method": "smtp", "to": "a@example.com", "content": content, "bar": 2}

    answer = deployment.client.post("/api/send", json=body)

    assert answer.json()["errorCode"] == 0
    assert "bar" in answer.headers["x-imsg-ignored"]
