"""Each decision of the interface that is not about sending, in v1 and v2: conventions, users, query."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.api_checks import VersionedApi
from imsg_testing.api_versions import read_answer
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("decisions")

MESSAGE_KEYS = {
    *("id", "username", "method", "to", "subject", "content", "attachments", "status", "attempts", "provider"),
    *("provider_id", "resend_of", "error", "created_at", "updated_at"),
}


def test_the_body_is_read_whatever_its_content_type(decided: VersionedApi) -> None:
    body = json.dumps({"username": "admin", "password": "123"}).encode()
    for kind in (None, "application/x-www-form-urlencoded", "text/plain; charset=gbk", "no type at all"):
        decided.check_ok(decided.ask("POST", "/api/login", body, {"Content-Type": kind} if kind else None))
    decided.check_ok(decided.ask("POST", "/api/login", b"\xef\xbb\xbf" + body))


@pytest.mark.parametrize("path", ["login", "send", "register", "query", "modify/x"])
def test_a_trailing_slash_answers_the_same_without_a_redirect(decided: VersionedApi, path: str) -> None:
    verb = "GET" if path == "query" else "POST"
    plain, slashed = decided.ask(verb, f"/api/{path}", {}), decided.ask(verb, f"/api/{path}/", {})
    assert (plain.status_code, read_answer(plain)) == (slashed.status_code, read_answer(slashed))


def test_404_405_and_413_have_the_shape_of_every_answer(decided: VersionedApi) -> None:
    decided.check_refused(decided.ask("GET", "/nothing"), 10001, 404, "no_such_url")
    allowed = decided.ask("DELETE", "/api/send").headers["allow"]
    assert allowed == ("GET, POST" if decided.is_v2 else "POST")
    decided.check_refused(decided.ask("DELETE", "/api/send"), 10001, 405, "no_such_method")
    decided.check_refused(decided.ask("POST", "/api/send", b" " * (16 * 1024 * 1024 + 1)), 10001, 413, "too_large")


def test_detail_is_chinese_and_english_where_that_is_preferred(decided: VersionedApi) -> None:
    for language, word in (
        ("", "缺少"),
        ("en", "missing"),
        ("zh;q=0.4, en;q=0.5", "missing"),
        ("fr, zh;q=0.1", "缺少"),
    ):
        answer = decided.ask("POST", "/api/login", {}, {"Accept-Language": language})
        assert word in decided.check_refused(answer, 10002, 400, "missing")["detail"]


def test_urls_beyond_the_document_always_use_the_column(decided: VersionedApi) -> None:
    for verb, path in (("GET", "me"), ("GET", "users"), ("GET", "stats"), ("GET", "channels"), ("GET", "dead")):
        assert decided.ask(verb, f"/api/v2/{path}").status_code == 400
        assert decided.ask(verb, f"/api/v2/{path}", token="x").status_code == 401


def test_a_token_comes_in_the_body_of_a_get_too_in_the_header_or_in_the_query(decided: VersionedApi) -> None:
    token = decided.user()
    decided.check_ok(decided.ask("GET", "/api/query", {"token": token}))
    decided.check_ok(decided.ask("GET", "/api/query", None, {"Authorization": f"Bearer {token}"}))
    decided.check_ok(decided.ask("GET", f"/api/query?token={token}"))
    decided.check_ok(decided.ask("GET", f"/api/query?token={quote(token)}"))
    both = {"Authorization": f"Bearer {token}"}
    decided.check_refused(decided.ask("GET", "/api/query", {"token": "forged"}, both), 10005, 401)
    decided.check_ok(decided.ask("GET", "/api/query", {"token": None}, both))


def test_a_space_in_the_query_s_token_is_read_as_a_plus(decided: VersionedApi) -> None:
    name = f"~~~{time.time_ns()}"  # of three tildes one ends a triplet, which base64 writes with a plus
    body = {"token": decided.api.token(), "username": name, "password": PASSWORD}
    decided.check_ok(decided.ask("POST", "/api/register", body))
    token = decided.api.token(name, PASSWORD)
    assert "+" in token
    decided.check_ok(decided.ask("GET", f"/api/query?token={token}"))


def test_no_token_is_10002_and_one_that_does_not_hold_10005(decided: VersionedApi) -> None:
    for absent in ({}, {"token": None}):
        decided.check_refused(decided.ask("GET", "/api/query", absent), 10002, 400, "token_missing")
    voids: list[Any] = ["", " ", "forged", 5, []]
    for void in voids:
        decided.check_refused(decided.ask("GET", "/api/query", {"token": void}), 10005, 401, "token_invalid")


def test_register_and_modify_want_an_administrator(decided: VersionedApi) -> None:
    token = decided.user()
    decided.check_refused(decided.ask("POST", "/api/register", {"token": token}), 10016, 403, "no_right")
    decided.check_refused(decided.ask("POST", "/api/modify/admin", {"token": token}), 10016, 403, "no_right")


@pytest.mark.parametrize("value", ["5", True, 5.0, -1, 1_000_001, 10**30, [], {}, ""])
def test_nothing_is_coerced_and_limits_are_integers_from_0_to_1_000_000(decided: VersionedApi, value: object) -> None:
    body = {"token": decided.api.token(), "per_day": value, "per_hour": 5}
    assert "per_day" in decided.check_refused(decided.ask("POST", "/api/modify/admin", body), 10017, 400)["detail"]


def test_null_in_an_optional_field_is_absent_and_unknown_fields_are_ignored(decided: VersionedApi) -> None:
    optional = {"phone": None, "email": None, "role": None, "per_hour": None, "available": None, "unknown": [1]}
    token = decided.api.new_user_token(**optional)
    made = decided.check_ok(decided.ask("GET", "/api/v2/me", {"token": token}))
    assert {key: made[key] for key in ("role", "per_hour", "per_day", "available", "email")} == {
        "role": "user",
        "per_hour": 5,
        "per_day": 20,
        "available": True,
        "email": None,
    }


def test_u0000_is_refused_in_every_field(decided: VersionedApi) -> None:
    token = decided.api.token()
    decided.check_refused(decided.ask("POST", "/api/login", {"username": "a\0", "password": "x"}), 10017, 400)
    decided.check_refused(
        decided.ask("POST", "/api/login", {"username": "a", "password": "x", "other": "\0"}), 10017, 400
    )
    for field in ("username", "password", "email", "phone", "wechat", "role"):
        body = {"token": token, "username": "nul", "password": PASSWORD, field: "a\0b"}
        decided.check_refused(decided.ask("POST", "/api/register", body), 10017, 400)
    for field in ("username", "to", "status", "since", "cursor", "unknown"):
        decided.check_refused(decided.ask("GET", "/api/query", {"token": token}, **{field: "a\0"}), 10017, 400)
    decided.check_refused(decided.ask("POST", "/api/v2/resend", {"token": token, "id": "\0"}), 10017, 400)


def test_10003_a_contact_in_its_normal_form_belongs_to_another(decided: VersionedApi) -> None:
    name = decided.api.new_user(email=f"{time.time_ns()}@Example.com")
    email = decided.check_ok(decided.ask("GET", f"/api/v2/users/{name}", {"token": decided.api.token()}))["email"]
    body = {"token": decided.api.token(), "username": f"{name}2", "password": PASSWORD, "email": email.upper()}
    assert "email" in decided.check_refused(decided.ask("POST", "/api/register", body), 10003, 409)["detail"]


def test_10004_the_username_exists(decided: VersionedApi) -> None:
    body = {"token": decided.api.token(), "username": decided.api.new_user(), "password": PASSWORD}
    decided.check_refused(decided.ask("POST", "/api/register", body), 10004, 409)


def test_10006_on_login_modify_and_users(decided: VersionedApi) -> None:
    token = decided.api.token()
    decided.check_refused(decided.ask("POST", "/api/login", {"username": "nobody", "password": "x"}), 10006, 404)
    modified = decided.ask("POST", "/api/modify/nobody", {"token": token, "per_day": 1, "per_hour": 1})
    decided.check_refused(modified, 10006, 404)
    decided.check_refused(decided.ask("GET", "/api/v2/users/nobody", {"token": token}), 10006, 404)


def test_10007_a_wrong_password_of_any_length(decided: VersionedApi) -> None:
    name = decided.api.new_user()
    for password in ("", "x", "x" * 300):
        decided.check_refused(decided.ask("POST", "/api/login", {"username": name, "password": password}), 10007, 401)


def test_a_token_has_the_outer_form_of_the_document(decided: VersionedApi) -> None:
    answer = decided.check_ok(decided.ask("POST", "/api/login", {"username": "天存-system-1001", "password": "123456"}))
    nonce, expiry, name, mac = base64.b64decode(answer["token"], validate=True).decode().split(":")
    assert (len(nonce), len(mac), name, answer["expires_in"]) == (32, 64, "天存-system-1001", 12 * 3600)
    assert int(nonce, 16) >= 0 <= int(mac, 16)
    assert abs(float(expiry) - time.time() - 12 * 3600) < 60


def test_a_second_login_never_ends_the_first_and_logout_only_its_own_token(decided: VersionedApi) -> None:
    who = {"username": decided.api.new_user(), "password": PASSWORD}
    tokens = [decided.check_ok(decided.ask("POST", "/api/login", who))["token"] for _ in range(3)]
    decided.check_ok(decided.ask("POST", "/api/v2/logout", {"token": tokens[0]}))
    decided.check_refused(decided.ask("GET", "/api/query", {"token": tokens[0]}), 10005, 401)
    decided.check_ok(decided.ask("GET", "/api/query", {"token": tokens[1]}))
    decided.check_ok(decided.ask("POST", "/api/v2/logout", {"token": tokens[1], "everywhere": True}))
    decided.check_refused(decided.ask("GET", "/api/query", {"token": tokens[2]}), 10005, 401)


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "a:b", "a/b", "a\nb", "x@example.com", "13800138000", "84G-7ZW-YRB", ".."]
)
def test_a_username_that_can_be_none(decided: VersionedApi, name: str) -> None:
    body = {"token": decided.api.token(), "username": name, "password": PASSWORD}
    assert "username" in decided.check_refused(decided.ask("POST", "/api/register", body), 10017, 400)["detail"]


@pytest.mark.parametrize("name", ["שלום", "a b", "x" * 64, "é", "😀", "100%", "?#&+", "…", " "])
def test_a_username_of_any_script_registers_logs_in_and_is_modified(decided: VersionedApi, name: str) -> None:
    token = decided.api.token()
    body = {"token": token, "username": name, "password": "正确的马电池订书钉"}
    decided.check_ok(decided.ask("POST", "/api/register", body))
    decided.check_ok(decided.ask("POST", "/api/login", {"username": name, "password": "正确的马电池订书钉"}))
    path = f"/api/modify/{quote(name, safe='')}"
    decided.check_ok(decided.ask("POST", path, {"token": token, "per_day": 0, "per_hour": 1_000_000}))
    decided.check_ok(decided.ask("DELETE", f"/api/v2/users/{quote(name, safe='')}", {"token": token}))


def test_a_password_has_8_to_256_characters(decided: VersionedApi) -> None:
    for password in ("1234567", "x" * 257, "", 123456):
        body = {"token": decided.api.token(), "username": "short", "password": password}
        assert "password" in decided.check_refused(decided.ask("POST", "/api/register", body), 10017, 400)["detail"]


def test_modify_takes_these_three_only_wants_the_first_two_and_leaves_what_is_omitted(decided: VersionedApi) -> None:
    name, token = decided.api.new_user(available=False), decided.api.token()
    limits = {"token": token, "per_day": 7, "per_hour": 3}
    for field in ("per_day", "per_hour"):
        answer = decided.ask("POST", f"/api/modify/{name}", {**limits, field: None})
        assert field in decided.check_refused(answer, 10002, 400)["detail"]
    more = decided.ask("POST", f"/api/modify/{name}", {**limits, "role": "admin", "password": "changed"})
    decided.check_ok(more)
    now = decided.check_ok(decided.ask("GET", f"/api/v2/users/{name}", {"token": token}))
    assert (now["per_day"], now["per_hour"], now["available"], now["role"]) == (7, 3, False, "user")
    decided.check_ok(decided.ask("POST", "/api/login", {"username": name, "password": PASSWORD}))


def test_a_new_password_ends_every_token_and_wants_the_old(decided: VersionedApi) -> None:
    token = decided.user()
    body: dict[str, Any] = {"token": token, "old": "wrong", "new": "another-horse"}
    decided.check_refused(decided.ask("POST", "/api/v2/password", body), 10007, 401)
    fresh = decided.check_ok(decided.ask("POST", "/api/v2/password", {**body, "old": PASSWORD}))["token"]
    decided.check_refused(decided.ask("GET", "/api/query", {"token": token}), 10005, 401)
    decided.check_ok(decided.ask("GET", "/api/query", {"token": fresh}))


def test_the_last_administrator_can_not_be_removed(decided: VersionedApi) -> None:
    token = decided.api.token()
    decided.check_refused(
        decided.ask("DELETE", "/api/v2/users/admin", {"token": token}), 10016, 409, "last_administrator"
    )
    demoted = decided.ask("PATCH", "/api/v2/users/admin", {"token": token, "role": "user"})
    decided.check_refused(demoted, 10016, 409, "last_administrator")


def test_users_come_page_by_page_and_each_once(decided: VersionedApi) -> None:
    made = {decided.api.new_user() for _ in range(3)}
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = decided.check_ok(
            decided.ask("GET", "/api/v2/users", {"token": decided.api.token()}, limit="2", **cursor)
        )
        seen += [user["username"] for user in page["users"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert made <= set(seen)
    assert len(seen) == len(set(seen))


def test_query_shows_own_messages_newest_first_page_by_page(decided: VersionedApi) -> None:
    token, other = decided.user(), decided.user()
    ids = [decided.check_ok(decided.send(token))["id"] for _ in range(3)]
    everybody = {"token": token, "limit": "2"}
    wait(lambda: len(decided.ask("GET", "/api/query", {"token": token}).json()["messages"]) == 3, 60)
    first = decided.check_ok(decided.ask("GET", "/api/query", **everybody))
    second = decided.check_ok(decided.ask("GET", "/api/query", **everybody, cursor=first["next"]))
    shown = first["messages"] + second["messages"]
    assert [message["id"] for message in shown] == [f"{name}-0" for name in reversed(ids)]
    assert second["next"] is None
    added = {
        "reference",
        "resent_as",
        "category",
        "cost",
        "key",
        "test",
        "leg",
        "leg_of",
        "due_at",
        "held_until",
        "held_by",
        "simulated",
    }
    keys = MESSAGE_KEYS | (added if decided.is_v2 else set())
    assert [sorted(set(message) ^ keys) for message in shown] == [[]] * 3
    assert decided.check_ok(decided.ask("GET", "/api/query", token=other, id=ids[0]))["messages"] == []
    assert decided.check_ok(decided.ask("GET", "/api/query", token=decided.api.token(), id=ids[0]))["messages"]
    (message,) = decided.check_ok(decided.ask("GET", "/api/query", token=token, id=f"{ids[0]}-0"))["messages"]
    assert set(message) == keys | {"timeline"}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        *(("limit", value, 10017) for value in ("0", "501", "x", "5.0", "")),
        *(("since", value, 10017) for value in ("yesterday", "2026-02-30T00:00:00Z", "-1", "1e400")),
        *(("until", value, 0) for value in ("2026-11-25T08:00:00+08:00", "2026-11-25T00:00:00Z", "1764000000")),
        ("cursor", "made up", 10017),
        ("id", "made up", 10017),
        ("status", "done", 10017),
        ("method", "fax", 10008),
        ("to", "nobody", 0),
        ("unknown", "x", None),
    ],
)
def test_a_filter_of_query_is_checked(decided: VersionedApi, field: str, value: str, code: int | None) -> None:
    code = (10017 if decided.is_v2 else 0) if code is None else code
    answer = decided.ask("GET", "/api/query", token=decided.api.token(), **{field: value})
    if code:
        assert field in decided.check_refused(answer, code, 400)["detail"]
    else:
        decided.check_ok(answer)


def test_only_administrators_filter_by_username(decided: VersionedApi) -> None:
    answer = decided.ask("GET", "/api/query", token=decided.user(), username="admin")
    decided.check_refused(answer, 10016, 403, "no_right")


@pytest.mark.parametrize(
    "path", ["/internal/user-cache", "/metrics", "/api/../internal/user-cache", "/internal/contacts"]
)
def test_what_is_not_for_outside_is_not_there(decided: VersionedApi, path: str) -> None:
    decided.check_refused(decided.ask("GET", path), 10001, 404)
