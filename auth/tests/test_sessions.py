"""Log-in, log-out and passwords, as the gateway relays them, and what the user cache makes of the tokens."""

import asyncio
import base64
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from imsg_contract.tokens import make
from imsg_runtime.redis import Redis
from imsg_testing.auth import SERVICE_KEY, Visitor, holds, read_cached, running, settings
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def token_holds(redis: Redis, visitor: Visitor, who: Visitor) -> bool:
    """Return whether a gateway accepts a token; it loads a missing user into the cache first."""
    await visitor.post("/internal/user-cache", username=who.name)
    return await holds(redis, who.token)


async def test_a_log_in_gives_a_token_of_twelve_hours_in_the_documents_form(visitor: Visitor) -> None:
    """`{token, expires_in}`."""
    answer = await visitor.post("/api/login", username="天存-system-1001", password="123456")
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"errorCode", "errorMessage", "token", "expires_in"}
    assert (body["errorCode"], body["errorMessage"], body["expires_in"]) == (0, "OK", 43_200)
    assert base64.b64decode(body["token"]).decode().split(":")[2] == "天存-system-1001"


WRONG_LOG_INS: tuple[tuple[object, int, int, str], ...] = (
    ({"username": "nobody", "password": "123"}, 404, 10006, "no_such_user"),
    ({"username": "", "password": "123"}, 404, 10006, "no_such_user"),
    ({"username": "x" * 100_000, "password": "123"}, 404, 10006, "no_such_user"),
    ({"username": "Admin", "password": "123"}, 404, 10006, "no_such_user"),
    ({"username": "admin", "password": "124"}, 401, 10007, "wrong_password"),
    ({"username": "admin", "password": ""}, 401, 10007, "wrong_password"),
    ({"username": "admin", "password": "长" * 100_000}, 401, 10007, "wrong_password"),
    ({"username": "admin"}, 400, 10002, "missing"),
    ({"password": "123"}, 400, 10002, "missing"),
    ({"username": "admin", "password": None}, 400, 10002, "missing"),
    ({}, 400, 10002, "missing"),
    ({"username": "admin", "password": 123}, 400, 10017, "wrong_type"),
    ({"username": ["admin"], "password": "123"}, 400, 10017, "wrong_type"),
    ({"username": "admin", "password": "123\0"}, 400, 10017, "wrong_type"),
    ({"username": "adm\0in", "password": "123"}, 400, 10017, "wrong_type"),
    ([], 400, 10001, "not_an_object"),
    ("admin", 400, 10001, "not_an_object"),
    (None, 400, 10001, "not_an_object"),
)


async def test_a_log_in_that_fails_returns_the_reason(visitor: Visitor) -> None:
    """Nothing is coerced, and no length breaks it."""
    for body, status, code, reason in WRONG_LOG_INS:
        answer = await visitor.call("POST", "/api/login", body)
        told = (answer.status_code, answer.json()["errorCode"], answer.json()["reason"])
        assert told == (status, code, reason), str(body)[:80]


async def test_a_lone_surrogate_is_a_wrong_name_and_never_a_crash(visitor: Visitor) -> None:
    """JSON can write what UTF-8 can't."""
    body = b'{"username": "\\ud800", "password": "123"}'
    answer = await visitor.http.post("/api/login", content=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 10017)


async def test_a_name_is_found_however_its_letters_were_composed(admin: Visitor, visitor: Visitor) -> None:
    """A keyboard composes, a file name may not."""
    assert (await admin.post("/api/register", username="Jose\u0301", password="battery staple")).status_code == 200
    await visitor.log_in("Jos\u00e9", "battery staple")
    assert (await visitor.post("/api/login", username="Jose\u0301", password="battery staple")).status_code == 200


async def test_details_are_in_the_language_the_client_prefers(visitor: Visitor) -> None:
    """Chinese unless English is preferred."""
    body = {"username": "admin", "password": 1}
    chinese = await visitor.call("POST", "/api/login", body)
    english = await visitor.call("POST", "/api/login", body, language="en-GB,zh;q=0.5")
    assert chinese.json()["detail"] == "参数 password 不正确：必须是字符串。"
    assert english.json()["detail"] == "password is not right: it must be a string."


async def test_five_wrong_passwords_do_not_keep_the_right_one_out(visitor: Visitor, user: Visitor) -> None:
    """It waits half a second, for real."""
    for _ in range(5):
        assert (await visitor.post("/api/login", username=user.name, password="no")).json()["errorCode"] == 10007
    await visitor.log_in(user.called, "battery staple")


async def test_failed_log_ins_are_counted_and_once_a_minute_in_the_audit(
    visitor: Visitor, user: Visitor, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """With the user and the network, never the password, nor a name that may be one."""
    await redis.call("DEL", "none", *(await redis.call("KEYS", "imsg:tally:login*")))
    for _ in range(3):
        await visitor.post("/api/login", username=user.name, password="my-secret-guess")
    await visitor.post("/api/login", username="typed-into-the-wrong-field", password="x")
    metrics = (await visitor.http.get("/metrics")).text
    assert 'imsg_logins_total{result="wrong_password"}' in metrics
    assert 'imsg_logins_total{result="no_such_user"}' in metrics
    await visitor.log_in(user.called, "battery staple")

    async def list_published(action: str) -> list[str]:
        entries = map(repr, await redis.call("XRANGE", "imsg.history", "-", "+"))
        return [text for text in entries if f'"action":"{action}"' in text and user.called.split("-")[1] in text]

    async def is_complete() -> bool:  # with the log-ins before and after
        return len(await list_published("login")) == 2

    await eventually(is_complete)
    assert len(await list_published("login_failed")) == 1
    told = repr(await redis.call("XRANGE", "imsg.history", "-", "+")) + caplog.text
    assert "my-secret-guess" not in told
    assert "typed-into" not in told


async def test_too_many_guesses_answer_10016_with_retry_after(visitor: Visitor, user: Visitor, redis: Redis) -> None:
    """The count is Redis', here as if the waits were over; another address is not concerned."""
    await redis.call("FLUSHDB")
    await visitor.post("/api/login", username=user.name, password="no")
    (key,) = await redis.call("KEYS", "imsg:tally:login:*")
    await redis.call("SET", key, 10, "KEEPTTL")
    answer = await visitor.post("/api/login", username=user.name, password="battery staple")
    assert (answer.status_code, answer.json()["errorCode"]) == (429, 10016)
    assert answer.json()["reason"] == "too_many_tries"
    assert 0 < int(answer.headers["retry-after"]) <= 300
    await Visitor(visitor.http, address="198.51.100.1").log_in(user.called, "battery staple")


async def test_a_second_log_in_never_ends_the_first_token(visitor: Visitor, user: Visitor, redis: Redis) -> None:
    """Many clients share one account."""
    first, second = user, await visitor.log_in(user.called, "battery staple")
    assert first.token != second.token
    assert await token_holds(redis, visitor, first)
    assert await token_holds(redis, visitor, second)


async def test_a_log_out_ends_this_token_alone(visitor: Visitor, user: Visitor, redis: Redis) -> None:
    """In the cache before the answer."""
    first, second = user, await visitor.log_in(user.called, "battery staple")
    assert (await first.post("/api/logout")).status_code == 200
    assert not await holds(redis, first.token)
    assert await holds(redis, second.token)
    assert (await second.post("/api/logout", everywhere=None)).status_code == 200
    assert not await holds(redis, first.token)
    assert not await holds(redis, second.token)


async def test_a_log_out_may_be_repeated(user: Visitor) -> None:
    """Two clicks."""
    for _ in range(2):
        assert (await user.post("/api/logout")).status_code == 200


async def test_a_log_out_everywhere_ends_every_token_of_the_user(
    visitor: Visitor, user: Visitor, admin: Visitor, redis: Redis
) -> None:
    """And no other user's."""
    mine, other = [user, await visitor.log_in(user.called, "battery staple")], admin
    assert (await mine[0].post("/api/logout", everywhere=True)).status_code == 200
    assert not any([await token_holds(redis, visitor, me) for me in mine])
    assert await token_holds(redis, visitor, other)
    assert await token_holds(redis, visitor, await visitor.log_in(user.called, "battery staple"))


async def test_everywhere_is_true_or_false(admin: Visitor) -> None:
    """Not 1."""
    answer = await admin.post("/api/logout", everywhere=1)
    assert answer.json()["errorCode"] == 10017


async def test_a_new_password_ends_every_token_and_gives_a_new_one(
    visitor: Visitor, user: Visitor, redis: Redis
) -> None:
    """The old password is no longer right."""
    me, elsewhere = user, await visitor.log_in(user.called, "battery staple")
    answer = await me.post("/api/password", old="battery staple", new="correct horse")
    assert answer.status_code == 200
    assert not await token_holds(redis, visitor, me)
    assert not await token_holds(redis, visitor, elsewhere)
    me.token = answer.json()["token"]
    assert await token_holds(redis, visitor, me)
    assert (await visitor.post("/api/login", username=me.name, password="battery staple")).json()["errorCode"] == 10007
    await visitor.log_in(me.called, "correct horse")


async def test_a_password_is_not_changed_by_a_wrong_request(user: Visitor) -> None:
    """The old one goes on."""
    for body, code in (
        ({"old": "124", "new": "correct horse"}, 10007),
        ({"old": "battery staple", "new": "short"}, 10017),
        ({"old": "battery staple", "new": "x" * 257}, 10017),
        ({"old": "battery staple"}, 10002),
        ({"old": 123, "new": "correct horse"}, 10017),
    ):
        assert (await user.call("POST", "/api/password", body)).json()["errorCode"] == code
    await user.log_in(user.called, "battery staple")


async def test_who_was_removed_meanwhile_has_a_void_token(user: Visitor, admin: Visitor) -> None:
    """The gateway checked the token a moment before."""
    await admin.delete(f"/api/users/{user.name}")
    for answer in (
        await user.get("/api/me"),
        await user.post("/api/logout"),
        await user.post("/api/logout", everywhere=True),
        await user.post("/api/password", old="battery staple", new="second battery"),
    ):
        assert (answer.status_code, answer.json()["errorCode"]) == (401, 10005)


async def test_tokens_survive_a_change_of_keys(url: str, tmp_path: Path, redis: Redis) -> None:
    """The new key in front signs; the old one still verifies."""
    async with running(settings(url, tmp_path)) as visitor:
        me = await visitor.log_in("admin", "123")
    async with running(settings(url, tmp_path, token_key="another,the-auth-test's-token-key")) as visitor:
        assert await token_holds(redis, visitor, me)
        assert not await token_holds(redis, visitor, await visitor.log_in("admin", "123"))


async def test_without_the_service_key_nothing_is_answered(visitor: Visitor) -> None:
    """Also not log-in: the gateway alone speaks to the world."""
    for key in ("", "wrong", SERVICE_KEY.get_secret_value() + "x"):
        for path in ("/api/login", "/internal/user-cache", "/internal/contacts", "/api/register"):
            body = {"username": "admin", "password": "123", "method": "smtp", "names": []}
            answer = await visitor.http.post(path, json=body, headers={"x-imsg-key": key})
            assert answer.status_code == 403
            assert answer.json()["reason"] == "no_right"


async def test_a_user_is_cached_when_a_gateway_asks(visitor: Visitor, user: Visitor, redis: Redis) -> None:
    """With every field that the step of a charge reads."""
    await redis.call("FLUSHDB")
    assert (await visitor.post("/internal/user-cache", username=user.name)).status_code == 200
    cached = await read_cached(redis, user.called)
    assert int(cached.pop("epoch")) > 0
    me = (await user.get("/api/me")).json()
    assert cached.pop("id") == me["id"]
    assert datetime.fromtimestamp(int(cached.pop("since")) / 1_000, UTC) == datetime.fromisoformat(me["created_at"])
    limits = {"per_hour": "5", "per_day": "20", "recipients_per_day": ""}
    rights = {"role": "user", "available": "1", "may_send_codes": "0", "senders": "*"}
    rights |= {"sms_countries": "CN", "default_category": "notice", "department": ""}
    assert cached == {**rights, "events": "0", **limits}


async def test_a_forged_token_costs_no_database_lock(
    visitor: Visitor, user: Visitor, redis: Redis, database: Path
) -> None:
    """While another writes, the answers differ for a forged token and for an unknown user."""
    await redis.call("FLUSHDB")
    me = (await user.get("/api/me")).json()
    stranger = SecretStr("never ours")
    forged = make(user.called, me["id"], 1, expiry=9_999_999_999, nonce="0" * 32, key=stranger)
    nobodys = make("nobody", me["id"], 1, expiry=9_999_999_999, nonce="0" * 32, key=stranger)
    with closing(sqlite3.connect(database, isolation_level=None, timeout=60, check_same_thread=False)) as other:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")  # auth itself may be writing, in this loop
        async with asyncio.timeout(60):  # who wanted the lock would be refused for want of it
            told = await visitor.post("/internal/user-cache", username=user.name, token=forged)
            assert (told.status_code, told.json()["reason"]) == (401, "token_invalid")
            told = await visitor.post("/internal/user-cache", username="nobody", token=nobodys)
            assert (told.status_code, told.json()["reason"]) == (404, "no_such_user")
        assert await read_cached(redis, user.called) == {}
        other.execute("ROLLBACK")
    assert (await visitor.post("/internal/user-cache", username=user.name, token=user.token)).status_code == 200
    assert await holds(redis, user.token)


async def test_an_unknown_user_is_not_cached(visitor: Visitor) -> None:
    """404, so that the gateway knows that the token is void."""
    for name in ("nobody", "", "x" * 1000, "a\0b"):
        answer = await visitor.post("/internal/user-cache", username=name)
        assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_user")


async def test_cached_users_are_forgotten_at_start(url: str, tmp_path: Path, redis: Redis) -> None:
    """The database may have been restored from a backup meanwhile."""
    async with running(settings(url, tmp_path)) as visitor:
        await visitor.post("/internal/user-cache", username="admin")
        await redis.call("HSET", "imsg:user:ghost", "epoch", 1)
    async with running(settings(url, tmp_path)):
        assert await read_cached(redis, "admin") == {}
        assert await read_cached(redis, "ghost") == {}
