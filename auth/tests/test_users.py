"""What administrators do with users, row by row of the interface."""

import asyncio
import re
import secrets
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from imsg_contract.addresses import make_tag
from imsg_runtime.quota import Charged, Quota
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor, holds, read_cached

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORD = {
    "id", "username", "role", "phone", "email", "wechat", "available", "per_hour", "per_day", "recipients_per_day",
    "may_send_codes", "senders", "used_hour", "left_hour", "used_day", "left_day", "used_recipients", "created_at",
    "twins",
}  # fmt: skip


def unique(text: str) -> str:
    """Make a text of this test's own."""
    return f"{text}-{secrets.token_hex(6)}"


def some_phone() -> str:
    """Make a mobile number of mainland China."""
    return f"138{secrets.randbelow(10**8):08}"


def at(name: str) -> str:
    """Write a user's URL."""
    return f"/api/users/{quote(name, safe='')}"


async def register(admin: Visitor, username: str, **fields: object) -> None:
    """Register a user, which must succeed."""
    answer = await admin.post("/api/register", **{"username": username, "password": "secret", **fields})
    assert answer.json() == {"errorCode": 0, "errorMessage": "OK"}


async def record(admin: Visitor, username: str) -> dict[str, Any]:
    """Read a user."""
    answer = await admin.get(at(username))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_new_user_starts_with_the_documents_defaults(admin: Visitor) -> None:
    """20 a day, 5 an hour, available."""
    name = unique("张三")
    await register(admin, name)
    found = await record(admin, name)
    assert set(found) == RECORD | {"errorCode", "errorMessage"}
    assert found["created_at"].endswith("Z")
    wanted = {"role": "user", "per_day": 20, "per_hour": 5, "available": True, "recipients_per_day": None}
    wanted["may_send_codes"] = False
    assert found.items() >= wanted.items()
    assert (found["used_hour"], found["left_hour"], found["used_day"], found["left_day"]) == (0, 5, 0, 20)
    assert (found["phone"], found["email"], found["wechat"]) == (None, None, None)


async def test_what_is_given_at_registration_is_kept(admin: Visitor) -> None:
    """Contacts in their normal form; null is absent; unknown fields are ignored."""
    name, phone = unique("李四"), some_phone()
    await register(
        admin, name, phone=phone, email=f"{phone}@Example.com", wechat=None, role="admin", per_hour=0,
        per_day=1_000_000, available=False, colour="red",
    )  # fmt: skip
    wanted = {
        "phone": f"+86{phone}", "email": f"{phone}@example.com", "wechat": None, "role": "admin", "per_hour": 0,
        "per_day": 1_000_000, "available": False,
    }  # fmt: skip
    assert (await record(admin, name)).items() >= wanted.items()
    await admin.delete(at(name))


WRONG_REGISTRATIONS: tuple[tuple[dict[str, Any], int], ...] = (
    ({"username": None}, 10002),
    ({"password": None}, 10002),
    ({"username": "a:b"}, 10017),
    ({"username": "a@example.com"}, 10017),
    ({"username": "a＠example.com"}, 10017),
    ({"username": "１３８００１３８０００"}, 10017),
    ({"username": "138-0013-8000"}, 10017),
    ({"username": 5}, 10017),
    ({"password": "12345"}, 10017),
    ({"password": 123456}, 10017),
    ({"phone": "123"}, 10017),
    ({"phone": 13800138000}, 10017),
    ({"email": "nobody"}, 10017),
    ({"wechat": "ABC"}, 10017),
    ({"role": "root"}, 10017),
    ({"role": True}, 10017),
    ({"per_hour": "5"}, 10017),
    ({"per_hour": True}, 10017),
    ({"per_hour": 5.0}, 10017),
    ({"per_hour": -1}, 10017),
    ({"per_day": 1_000_001}, 10017),
    ({"per_day": 10**400}, 10017),
    ({"available": 1}, 10017),
    ({"available": "true"}, 10017),
    ({"username": "admin"}, 10004),
)


async def test_a_registration_that_is_wrong_adds_nobody(admin: Visitor) -> None:
    """And says which field."""
    for fields, code in WRONG_REGISTRATIONS:
        answer = await admin.post("/api/register", **{"username": "new", "password": "secret", **fields})
        assert answer.json()["errorCode"] == code, fields
        if code in (10002, 10017):
            assert next(iter(fields)) in answer.json()["detail"]
    assert (await admin.get(at("new"))).json()["errorCode"] == 10006


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("email", " zhang@163.com ", "前后有空白，请写成 zhang@163.com"),
        ("email", "zhang＠163.com", "含有全角字符，请写成 zhang@163.com"),
        ("phone", "159 1234 1256", "中间有空白，请写成 15912341256"),
        ("phone", "１５９１２３４１２５６", "含有全角字符，请写成 15912341256"),
        ("phone", "8615912341256", "国家号前要有 +，请写成 +8615912341256"),
        ("phone", "1591234125", "不是电话号码：应为 11 位手机号或+开头的国际号码"),
    ],
)
async def test_a_contact_written_otherwise_is_told_with_the_form_wanted(
    admin: Visitor, field: str, text: str, said: str
) -> None:
    name = unique("fourth")
    await register(admin, name)
    for answer in (
        await admin.post("/api/register", username="fifth", password="secret", **{field: text}),
        await admin.patch(at(name), **{field: text}),
    ):
        assert (answer.status_code, answer.json()["errorCode"]) == (400, 10017)
        assert answer.json()["detail"] == f"参数 {field} 不正确：{said}。"


async def test_a_contact_belongs_to_one_user_whatever_its_spelling(admin: Visitor) -> None:
    """10003 names the field."""
    tag, phone = make_tag(Random()), some_phone()  # noqa: S311  any tag
    await register(admin, unique("first"), phone=phone, email=f"{phone}@Example.com", wechat=tag)
    for field, spelling in (
        ("phone", f"+86{phone}"), ("email", f"{phone}@EXAMPLE.COM"), ("wechat", tag.lower().replace("-", "")),
    ):  # fmt: skip
        answer = await admin.post("/api/register", username="second", password="secret", **{field: spelling})
        assert (answer.status_code, answer.json()["errorCode"]) == (409, 10003)
        assert field in answer.json()["detail"]
        third = unique("third")
        await register(admin, third)
        assert (await admin.patch(at(third), **{field: spelling})).json()["errorCode"] == 10003
    assert (await admin.get(at("second"))).json()["errorCode"] == 10006


async def test_of_many_that_register_one_name_or_contact_at_once_one_wins(admin: Visitor) -> None:
    """The database decides."""
    body = {"password": "secret", "email": "one@example.com"}
    answers = await asyncio.gather(
        *(admin.post("/api/register", username="same", password="secret") for _ in range(6)),
        *(admin.post("/api/register", username=f"other {n}", **body) for n in range(6)),
    )
    codes = [answer.json()["errorCode"] for answer in answers]
    assert sorted(codes[:6]) == [0] + [10004] * 5
    assert sorted(codes[6:]) == [0] + [10003] * 5


async def test_only_administrators_change_users(visitor: Visitor, user: Visitor) -> None:
    """Others have no right; who has no token is told so."""
    calls = [
        ("POST", "/api/register", {"username": "x", "password": "secret"}),
        ("POST", "/api/modify/admin", {"per_day": 1, "per_hour": 1}),
        ("GET", "/api/users", None),
        ("GET", "/api/users/admin", None),
        ("PATCH", "/api/users/admin", {}),
        ("DELETE", "/api/users/admin", None),
    ]
    for verb, path, body in calls:
        refused = await user.call(verb, path, body)
        assert (refused.status_code, refused.json()["reason"]) == (403, "no_right")
        nobody = await visitor.call(verb, path, body)
        assert nobody.json()["errorCode"] == 10002
    assert (await visitor.get("/api/me")).json()["errorCode"] == 10002


async def test_modify_sets_the_limits_and_the_mirror_holds_them_at_once(
    admin: Visitor, user: Visitor, redis: Redis
) -> None:
    """`available` omitted is unchanged."""
    name = user.called
    assert (await admin.post(f"/api/modify/{name}", per_day=0, per_hour=1_000_000, available=False)).json() == {
        "errorCode": 0,
        "errorMessage": "OK",
    }
    cached = await read_cached(redis, name)
    assert (cached["per_day"], cached["per_hour"], cached["available"]) == ("0", "1000000", "0")
    assert (await admin.post(f"/api/modify/{name}", per_day=7, per_hour=3)).status_code == 200
    cached = await read_cached(redis, name)
    assert (cached["per_day"], cached["per_hour"], cached["available"]) == ("7", "3", "0")


WRONG_MODIFICATIONS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("admin", {"per_day": 1}, 10002),
    ("admin", {"per_hour": 1}, 10002),
    ("admin", {"per_day": None, "per_hour": 1}, 10002),
    ("admin", {"per_day": "20", "per_hour": 1}, 10017),
    ("admin", {"per_day": 20.0, "per_hour": 1}, 10017),
    ("admin", {"per_day": 20, "per_hour": True}, 10017),
    ("admin", {"per_day": 20, "per_hour": -1}, 10017),
    ("admin", {"per_day": 20, "per_hour": 1_000_001}, 10017),
    ("admin", {"per_day": 20, "per_hour": 1, "available": "false"}, 10017),
    ("nobody", {"per_day": 20, "per_hour": 1}, 10006),
    ("x" * 2000, {"per_day": 20, "per_hour": 1}, 10006),
    ("a\0b", {"per_day": 20, "per_hour": 1}, 10006),
)


async def test_a_wrong_modify_changes_nothing(admin: Visitor) -> None:
    """As documented, these three only."""
    for name, body, code in WRONG_MODIFICATIONS:
        answer = await admin.call("POST", f"/api/modify/{quote(name, safe='')}", body)
        assert answer.json()["errorCode"] == code, body
    assert (await record(admin, "admin"))["per_day"] == 20


async def test_a_patch_sets_what_it_says_and_leaves_the_rest(admin: Visitor, redis: Redis) -> None:
    """Null is absent, empty takes a contact away, "none" a limit of recipients."""
    name, phone = unique("王五"), some_phone()
    await register(admin, name, phone=phone, email=f"{phone}@example.com")
    answer = await admin.patch(at(name), phone="", email=None, recipients_per_day=9, per_hour=1)
    wanted = {"phone": None, "email": f"{phone}@example.com", "recipients_per_day": 9, "per_hour": 1, "per_day": 20}
    assert answer.json().items() >= wanted.items()
    assert (await read_cached(redis, name))["recipients_per_day"] == "9"
    answer = await admin.patch(at(name), recipients_per_day="none", available=False, role="admin")
    assert answer.json().items() >= {"recipients_per_day": None, "available": False, "role": "admin"}.items()
    cached = await read_cached(redis, name)
    assert (cached["recipients_per_day"], cached["available"], cached["role"]) == ("", "0", "admin")
    assert (await admin.patch(at(name))).json() == answer.json()
    await admin.delete(at(name))


async def test_who_may_send_codes_is_said_in_the_mirror_and_the_audit(admin: Visitor, redis: Redis) -> None:
    name = unique("赵六")
    await register(admin, name)
    assert (await read_cached(redis, name))["may_send_codes"] == "0"
    for may in (True, False):
        answer = await admin.patch(at(name), may_send_codes=may)
        assert answer.json()["may_send_codes"] is may
        assert (await read_cached(redis, name))["may_send_codes"] == str(int(may))


WRONG_PATCHES: tuple[dict[str, Any], ...] = (
    {"recipients_per_day": "all"},
    {"recipients_per_day": -1},
    {"recipients_per_day": True},
    {"recipients_per_day": 1.0},
    {"may_send_codes": "yes"},
    {"may_send_codes": 1},
    {"role": "boss"},
    {"email": "x"},
    {"password": "short"},
    {"per_hour": "1"},
)


async def test_a_wrong_patch_changes_nothing(admin: Visitor) -> None:
    """10017 names the field as it was sent."""
    before = await record(admin, "admin")
    for body in WRONG_PATCHES:
        answer = await admin.patch(at("admin"), **body)
        assert answer.json()["errorCode"] == 10017
        assert f"参数 {next(iter(body))} 不正确" in answer.json()["detail"]
    assert await record(admin, "admin") == before


async def test_a_password_that_is_reset_ends_the_users_tokens(admin: Visitor, user: Visitor, redis: Redis) -> None:
    """Whoever knew the old one is out."""
    assert await holds(redis, user.token)
    assert (await admin.patch(at(user.called), password="another one")).status_code == 200
    assert not await holds(redis, user.token)
    assert (await admin.post("/api/login", username=user.name, password="secret")).json()["errorCode"] == 10007
    await admin.log_in(user.called, "another one")


async def test_a_role_holds_at_once_and_ends_no_token(admin: Visitor, user: Visitor, redis: Redis) -> None:
    """The user cache says the role, the token does not."""
    for role in ("admin", "user"):
        assert (await admin.patch(at(user.called), role=role)).json()["role"] == role
        assert await holds(redis, user.token)
        assert (await read_cached(redis, user.called))["role"] == role


async def test_a_user_that_is_deleted_is_gone_and_its_tokens_never_come_back(
    admin: Visitor, user: Visitor, redis: Redis
) -> None:
    """Not even for a new user of the same name."""
    name = user.called
    assert (await admin.delete(at(name))).json() == {"errorCode": 0, "errorMessage": "OK"}
    assert await read_cached(redis, name) == {}
    assert (await admin.delete(at(name))).json()["errorCode"] == 10006
    assert (await admin.post("/internal/mirror", username=name)).status_code == 404
    assert (await admin.post("/api/login", username=name, password="secret")).json()["errorCode"] == 10006
    await register(admin, name)
    assert await read_cached(redis, name) != {}
    assert not await holds(redis, user.token)


async def test_the_last_administrator_stays_one(admin: Visitor, user: Visitor) -> None:
    """409 last_administrator, until there is another."""
    for answer in (await admin.delete(at("admin")), await admin.patch(at("admin"), role="user")):
        assert (answer.status_code, answer.json()["reason"]) == (409, "last_administrator")
    assert (await record(admin, "admin"))["role"] == "admin"
    await admin.patch(at(user.called), role="admin")
    assert (await admin.patch(at("admin"), role="user")).status_code == 200
    assert (await admin.delete(at(user.called))).json()["reason"] == "last_administrator"
    await admin.patch(at("admin"), role="admin")
    await admin.patch(at(user.called), role="user")


async def test_users_are_listed_in_pages_in_one_order(admin: Visitor) -> None:
    """By code point, `next` until it is null."""
    made = [unique(first) for first in ("B", "a", "é", "Ω", "中", "🙂")]
    for name in made:
        await register(admin, name)
    listed: list[str] = []
    query = ""
    while True:
        answer = (await admin.get(f"/api/users?limit=3{query}")).json()
        assert set(answer) == {"errorCode", "errorMessage", "users", "next"}
        assert len(answer["users"]) <= 3
        assert all(set(user) == RECORD for user in answer["users"])
        listed += [user["username"] for user in answer["users"]]
        if answer["next"] is None:
            break
        query = f"&cursor={quote(answer['next'])}"
    assert listed == sorted(set(listed))
    assert set(listed) >= {*made, "admin", "天存-system-1001"}


async def test_users_are_searched_by_name_and_by_any_spelling_of_a_contact(admin: Visitor) -> None:
    """Percent and underscore are letters like others."""
    await register(admin, "周九", phone="13912345678", email="Zhou@Example.com")
    await register(admin, "100%_sure")
    for search, found in (
        ("周", ["周九"]), ("13912345678", ["周九"]), ("9123456", ["周九"]), ("zhou@", ["周九"]), ("%_", ["100%_sure"]),
        ("SYSTEM", ["天存-system-1001"]), ("nothing", []),
    ):  # fmt: skip
        users = (await admin.get(f"/api/users?search={quote(search)}")).json()["users"]
        assert [user["username"] for user in users] == found


async def test_a_wrong_filter_of_users_is_refused(admin: Visitor) -> None:
    """10017."""
    for query in ("limit=0", "limit=501", "limit=x", "cursor=!", "cursor=_w==", "search=%00"):
        assert (await admin.get(f"/api/users?{query}")).json()["errorCode"] == 10017, query


async def charge(redis: Redis, name: str, recipients: int = 1) -> object:
    """Count a request of a user as a gateway does."""
    cached = await read_cached(redis, name)
    quota = Quota(redis, ZoneInfo("Asia/Shanghai"))
    return await quota.charge(name, "nonce", int(cached["epoch"]), recipients, cached["id"])


async def test_an_email_address_in_another_case_is_taken(admin: Visitor) -> None:
    """10003, at the registration and at a change; whoever has it may write it otherwise."""
    name, other, mail = unique("张三"), unique("李四"), f"Zhang{secrets.token_hex(4)}@example.com"
    await register(admin, name, email=mail)
    answer = await admin.post("/api/register", username=other, password="secret", email=mail.lower())
    assert (answer.status_code, answer.json()["errorCode"]) == (409, 10003)
    await register(admin, other)
    assert (await admin.patch(at(other), email=mail.replace("Zhang", "ZHANG"))).json()["errorCode"] == 10003
    assert (await admin.patch(at(name), email=mail.lower())).json()["email"] == mail.lower()
    assert (await record(admin, name))["twins"] == []


async def test_an_id_stays_through_every_change(admin: Visitor, user: Visitor) -> None:
    """Of limits, role, contacts and password."""
    first = (await record(admin, user.called))["id"]
    await admin.patch(at(user.called), per_hour=7, role="admin", password="another", phone=some_phone())
    assert (await record(admin, user.called))["id"] == first
    assert re.fullmatch("[0-9a-f]{12}7[0-9a-f]{19}", first)


async def test_a_name_registered_again_is_a_new_user(admin: Visitor, user: Visitor, redis: Redis) -> None:
    """Another id and fresh limits; what its predecessor may still have at hand is void."""
    name, first = user.called, await record(admin, user.called)
    await admin.post("/internal/mirror", username=name)
    assert isinstance(await charge(redis, name), Charged)
    await admin.delete(at(name))
    await register(admin, name)
    second = await record(admin, name)
    assert second["id"] != first["id"]
    assert (second["used_hour"], second["used_day"], second["used_recipients"]) == (0, 0, 0)
    assert not await holds(redis, user.token)
    gone = replace(user, id=first["id"], since=first["created_at"])
    for answer in (
        await gone.get("/api/me"),
        await gone.post("/api/logout", everywhere=True),
        await gone.post("/api/logout"),
        await gone.post("/api/password", old="secret", new="another"),
    ):
        assert answer.json()["errorCode"] == 10005


async def test_what_is_used_shows_with_what_is_left(admin: Visitor, user: Visitor, redis: Redis) -> None:
    """For the user and for administrators alike."""
    name = user.called
    await admin.post("/internal/mirror", username=name)
    assert isinstance(await charge(redis, name, recipients=4), Charged)
    wanted = {"used_hour": 1, "left_hour": 4, "used_day": 1, "left_day": 19, "used_recipients": 4}
    mine = (await user.get("/api/me")).json()
    assert mine.items() >= wanted.items()
    assert mine == await record(admin, name)
    assert (await admin.patch(at(name), per_hour=0)).json()["left_hour"] == 0


async def test_contacts_are_found_by_the_names_as_they_were_asked(admin: Visitor) -> None:
    """Null where there is none; unknown users absent; ten thousand at once."""
    await register(admin, "Jos\u00e9", email="j@example.com")
    asked = ["Jose\u0301", "Jos\u00e9", "admin", "nobody", "x\0", "y" * 500, *(f"user {n}" for n in range(9_990))]
    answer = await admin.post("/internal/contacts", method="smtp", names=asked)
    found = {"Jose\u0301": "j@example.com", "Jos\u00e9": "j@example.com", "admin": None}
    assert answer.json()["contacts"] == found
    answer = await admin.post("/internal/contacts", method="sms", names=["Jos\u00e9"])
    assert answer.json()["contacts"] == {"Jos\u00e9": None}
    answer = await admin.post("/internal/contacts", method="pager", names=["admin", "nobody"])
    assert answer.json()["contacts"] == {"admin": None}, "users have no contact of a new channel"


async def test_unknown_urls_and_methods_answer_in_the_public_shape(admin: Visitor) -> None:
    """Never the framework's own."""
    assert (await admin.get("/api/nothing")).json()["reason"] == "no_such_url"
    answer = await admin.call("PUT", "/api/login")
    assert (answer.status_code, answer.json()["reason"]) == (405, "no_such_method")
