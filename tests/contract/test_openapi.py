"""The OpenAPI document: committed, valid, closed, with true examples, and confirmed by a fuzzer."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import Case
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from imsg_contract.errors import REASONS
from imsg_gateway.openapi import language
from imsg_testing import fuzz
from imsg_testing.api import PASSWORD
from imsg_testing.api_versions import read_answer
from imsg_testing.deployment import Deployment, running
from imsg_testing.openapi import DOCUMENT, PERMISSIONS, RENEW, read_served, write_permissions

EXAMPLES = 20
"""Requests drawn for a URL, sound and broken ones, beside those that try every limit of its schema."""

ALONE = {"/api/v2/logout", "/api/v2/password"}
"""URLs that end the token they are called with, or slow their user down: each sound call gets a user of its own."""

UNTAKEN = {"/api/v2/me/totp/confirm": {"totp_not_begun"}, "/api/v2/sessions/resume": {"token_invalid"}}
"""URLs whose example wants what only a call before it gives."""

committed: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def truthful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up` with one user who is known."""
    with running(tmp_path_factory.mktemp("up")) as deployment:
        deployment.open_wide()
        codes = {"token": deployment.token(), "may_send_codes": True}
        assert deployment.call("PATCH", "/api/v2/users/admin", codes)["errorCode"] == 0
        known = {"username": fuzz.KNOWN, "password": PASSWORD, "email": "li.wei@example.com", "phone": "13800138000"}
        assert deployment.call("POST", "/api/register", known | {"token": deployment.token()})["errorCode"] == 0
        yield deployment


def test_the_committed_document_is_what_the_services_generate(truthful: Deployment) -> None:
    served = read_served(truthful)
    assert DOCUMENT.read_text(encoding="utf-8") == served, f"{DOCUMENT.name} is not as served: {RENEW}"
    assert PERMISSIONS.read_text(encoding="utf-8") == write_permissions(served), f"{PERMISSIONS.name}: {RENEW}"


def test_the_document_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(committed).iter_errors()) == []


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, verbs in committed["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def objects(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  any JSON
    """Find every schema of an object that has properties."""
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield node
        for item in node.values():
            yield from objects(item)
    elif isinstance(node, list):
        for item in node:
            yield from objects(item)


def answers() -> Iterator[dict[str, Any]]:
    """Find every schema of an object that is answered."""
    schemas = committed["components"]["schemas"]
    waiting = [operation["responses"] for _, operation in operations()]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        yield from objects(node)
        names = {name for name in schemas if f'"#/components/schemas/{name}"' in json.dumps(node)} - seen
        seen |= names
        waiting += [schemas[name] for name in names]


NO_CONTENT = 204

SOMETIMES = {
    "id",
    "segments",
    "due_at",
    "held_until",
    "held_by",
    "without_address",
    "legs",
    "timeline",
    "body",
    "body_base64",
    "quota",
    "cap",
    "left",
    "opens_at",
}
"""Fields of answers that are there only at times."""


def test_every_answer_is_closed_and_lists_what_is_always_there() -> None:
    found = list(answers())
    assert found
    for each in found:
        assert each["additionalProperties"] is False, each
        missing = set(each["properties"]) - set(each["required"])
        assert missing <= SOMETIMES, each


def is_v1(name: str) -> bool:
    """Return whether an operation is of the interface document: 200 to everything."""
    return "/api/v2/" not in name


@pytest.mark.parametrize(("name", "operation"), [each for each in operations() if is_v1(each[0])])
def test_every_answer_of_v1_is_200(name: str, operation: dict[str, Any]) -> None:
    del name
    assert set(operation["responses"]) == {"200"}
    assert "too_large" in operation["responses"]["200"]["description"]


@pytest.mark.parametrize(("name", "operation"), [each for each in operations() if not is_v1(each[0])])
def test_every_refusal_has_its_codes_and_reasons_from_the_table(name: str, operation: dict[str, Any]) -> None:
    statuses = set(operation["responses"]) - {"200", "202", "204"}
    assert {"400", "413", "500", "503"} <= statuses
    gives_token = name in {"POST /api/v2/login", "POST /api/v2/sessions/resume"}
    assert ("401" in statuses) == bool(operation["security"] or gives_token)
    for status in statuses:
        refusal = operation["responses"][status]["content"]["application/json"]["schema"]["properties"]
        rows = [REASONS[reason] for reason in refusal["reason"]["enum"]]
        assert {row.http for row in rows} == {int(status)}
        assert {row.code for row in rows} == set(refusal["errorCode"]["enum"])


@pytest.mark.parametrize(("name", "operation"), [each for each in operations() if each[1]["security"]])
def test_every_url_that_wants_a_token_states_it(name: str, operation: dict[str, Any], truthful: Deployment) -> None:
    verb, path = name.split()
    url = path.replace("{", "").replace("}", "")
    absent = truthful.client.request(verb, url)
    assert (absent.status_code, read_answer(absent)["reason"]) in {
        (200 if is_v1(name) else 400, "token_missing"),
        (200 if is_v1(name) else 400, "not_json"),
    }
    for headers, params in (({"Authorization": "Bearer forged"}, {}), ({}, {"token": "forged"})):
        forged = truthful.client.request(verb, url, json={}, headers=headers, params=params)
        assert (forged.status_code, read_answer(forged)["reason"]) == (200 if is_v1(name) else 401, "token_invalid")
    assert {"bearer": []} in operation["security"]


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every example of a body, required or optional, and those of a choice of bodies."""
    schemas = committed["components"]["schemas"]
    for name, operation in operations():
        if body := operation.get("requestBody"):
            schema = body["content"]["application/json"]["schema"]
            (model,) = [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema]) if "$ref" in each]
            choices = [each["$ref"].rpartition("/")[2] for each in schemas[model].get("oneOf", [])] or [model]
            for choice in choices:
                yield from ((name, example) for example in schemas[choice].get("examples", []))


@pytest.mark.parametrize(("name", "example"), list(examples()))
def test_every_example_is_taken(name: str, example: dict[str, Any], truthful: Deployment) -> None:
    verb, path = name.split()
    url = path.format(
        username=fuzz.KNOWN, method="smtp", id="0193643f5a7c7d3e8f1a2b3c4d5e6f70", tag="7K3-M9Q-2XH", name="default"
    )
    if "send_at" in example:  # its date is fixed, and once past it would be refused
        example = example | {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    token = truthful.new_user_token() if path in ALONE else truthful.token()
    answer = truthful.client.request(
        verb, url, json=example, headers={"Authorization": f"Bearer {token}", "If-Match": "*"}
    )
    # A user that exists, a request that does not, and an unknown tag (or no official account to ask).
    expected = {"username_taken", "not_found", "name_in_settings"} | UNTAKEN.get(path, set())
    if "account" in example:
        expected.add("no_such_account")
    if example.get("method") == "wechat":
        expected |= {"no_such_account", "recipients_invalid"}
    assert (
        answer.status_code == NO_CONTENT or answer.json()["errorCode"] == 0 or read_answer(answer)["reason"] in expected
    ), answer.text


def find_success(operation: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Find the schema of an operation's success and the examples of it."""
    success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    content = success["content"]["application/json"]
    return content["schema"], [example["value"] for example in content.get("examples", {}).values()]


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_every_operation_shows_a_request_and_an_answer(name: str, operation: dict[str, Any]) -> None:
    del name
    if body := operation.get("requestBody"):
        assert body["content"]["application/json"]["examples"]
    for parameter in operation.get("parameters", ()):
        assert parameter["in"] != "path" or "example" in parameter or "enum" in parameter["schema"]
    if "204" in operation["responses"]:
        return
    schema, shown = find_success(operation)
    assert shown
    for example in shown:
        OAS31Validator({**schema, "components": committed["components"]}).validate(example)


def test_every_text_of_the_document_is_there_in_chinese() -> None:
    texts = language.catalogue()
    wanted = language.lines(committed)
    assert wanted <= set(texts), wanted - set(texts)
    assert set(texts) <= wanted, set(texts) - wanted
    chinese = json.dumps(language.translate(committed, texts), ensure_ascii=False)
    for line in wanted:
        assert json.dumps(line, ensure_ascii=False)[1:-1] not in chinese or texts[line] == line


@pytest.fixture(scope="module")
def api() -> Any:  # noqa: ANN401  the fuzzer's own kind of schema
    """Read the document for the fuzzer."""
    return schemathesis.openapi.from_dict(committed)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_a_fuzzer_finds_nothing(name: str, api: Any, truthful: Deployment) -> None:  # noqa: ANN401  as above
    url = api.find_operation_by_label(name)
    standing = truthful.new_user_token() if url.path in ALONE else truthful.token()

    def hold(case: Case[Any]) -> None:
        # This check wants 401 or 403 of a request without a token; the interface says 10002 (400), as tested above.
        excluded, token = ["ignored_auth"], standing
        if is_v1(name):
            # 200 to everything: what is refused there shows in errorCode alone.
            excluded += ["negative_data_rejection", "missing_required_header", "unsupported_method"]
        if (case.method.upper(), url.path) == ("DELETE", "/api/v2/followers/bind"):
            excluded.append("unsupported_method")  # it is that of /api/v2/followers/{tag}
        if url.path == "/api/v2/messages/check":
            excluded.append("negative_data_rejection")  # a wrong recipient is reported there, not refused
        if case.meta is not None and case.meta.generation.mode.is_positive:
            fuzz.mend(case)
            if fuzz.is_out_of_reach(case):
                excluded.append("positive_data_acceptance")
            if case.path in ALONE:
                token = truthful.new_user_token()
        else:
            fuzz.hasten(case)
        headers = {"Authorization": f"Bearer {token}"}
        left_out: list[Any] = CHECKS.get_by_names(excluded)
        case.call_and_validate(truthful.url, headers=headers, excluded_checks=left_out)

    modes = list(GenerationMode)
    for case in api.iter_coverage_cases(url, generation_modes=modes, generation_config=api.config.generation):
        hold(case)
    drawn = st.one_of([url.as_strategy(generation_mode=mode) for mode in modes])
    unhurried = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    unhurried(given(drawn)(hold))()
    assert "Traceback" not in truthful.logs, truthful.logs
