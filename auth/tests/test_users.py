"""What administrators do with users, row by row of the interface."""

import re
from typing import Any
from urllib.parse import quote

import pytest

from imsg_contract.provider_accounts import ChannelProviders, Kind, NamedSender, Words
from imsg_contract.topology import kinds_key
from imsg_limits.quota import Charged
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor, holds, read_cached
from imsg_testing.auth_users import RECORD, at, charge, record, register, some_phone, unique

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_only_administrators_change_users(visitor: Visitor, user: Visitor) -> None:
    """Other users have no right, and calls without a token are refused."""
    calls = [
        ("POST", "/api/register", {"username": "x", "password": "battery staple"}),
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


async def test_modify_sets_the_limits_and_the_cache_holds_them_at_once(
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


async def test_a_patch_sets_its_fields_and_leaves_the_rest(admin: Visitor, redis: Redis) -> None:
    """Null unsets; an empty contact is none."""
    name, phone = unique("王五"), some_phone()
    await register(admin, name, phone=phone, email=f"{phone}@example.com")
    answer = await admin.patch(at(name), phone="", email=None, recipients_per_day=9, per_hour=1)
    wanted = {"phone": None, "email": None, "recipients_per_day": 9, "per_hour": 1, "per_day": 20}
    assert answer.json().items() >= wanted.items()
    assert (await read_cached(redis, name))["recipients_per_day"] == "9"
    answer = await admin.patch(at(name), recipients_per_day=None, available=False, role="admin")
    assert answer.json().items() >= {"recipients_per_day": None, "available": False, "role": "admin"}.items()
    cached = await read_cached(redis, name)
    assert (cached["recipients_per_day"], cached["available"], cached["role"]) == ("", "0", "admin")
    assert (await admin.patch(at(name))).json() == answer.json()
    await admin.delete(at(name))


async def publish_senders(redis: Redis, *names: str) -> None:
    """Publish the senders in the settings of mail, as its sender does."""
    kinds = (Kind(kind="smtp", title=Words(zh="邮件服务器", en="Mail server"), fields=()),)
    listed = tuple(NamedSender(name=name, address=f"{name}@example.com") for name in names)
    channel = ChannelProviders(kinds=kinds, senders=listed)
    await redis.call("SET", kinds_key("smtp"), channel.model_dump_json())


async def test_rights_are_set_cached_and_unset(admin: Visitor, redis: Redis) -> None:
    rights = {
        "may_send_codes": True, "senders": ["news"], "sms_countries": ["HK", "CN", "HK"], "default_category": "code",
        "department": "研发部", "recipients_per_day": 7,
    }  # fmt: skip
    unset = {
        "may_send_codes": False, "senders": None, "sms_countries": ["CN"], "default_category": "notice",
        "department": None, "recipients_per_day": None,
    }  # fmt: skip
    await publish_senders(redis, "news")
    name = unique("权限")
    registered = await admin.post("/api/register", username=name, password="x7-k9qzw-31", **rights)
    assert registered.json().items() >= {**rights, "sms_countries": ["CN", "HK"], "username": name}.items()
    cached = await read_cached(redis, name)
    assert (cached["sms_countries"], cached["default_category"], cached["department"]) == ("CN,HK", "code", "研发部")
    answer = await admin.patch(at(name), **dict.fromkeys(rights))
    assert answer.json().items() >= unset.items()
    cached = await read_cached(redis, name)
    assert (cached["sms_countries"], cached["default_category"], cached["department"]) == ("CN", "notice", "")
    answer = await admin.patch(at(name), per_hour=None, per_day=None)
    assert (answer.json()["per_hour"], answer.json()["quotas"]) == (None, [])
    await admin.delete(at(name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sms_countries": ["China"]}, {"sms_countries": "CN"}, {"sms_countries": ["cn"]},
        {"default_category": "advert"},
        {"department": ""}, {"department": "x" * 65}, {"available": None}, {"role": None}, {"password": None},
        {"recipients_per_day": "none"}, {"senders": "all"},
    ],
)  # fmt: skip
async def test_a_wrong_right_is_refused_by_its_name(admin: Visitor, user: Visitor, wrong: dict[str, Any]) -> None:
    before = await record(admin, user.called)
    refused = await admin.patch(at(user.called), **wrong)
    code = 10002 if None in wrong.values() else 10017
    assert (refused.status_code, refused.json()["errorCode"]) == (400, code)
    assert next(iter(wrong)) in refused.json()["detail"]
    assert await record(admin, user.called) == before


async def test_a_sender_that_does_not_exist_is_refused_with_those_that_do(admin: Visitor, redis: Redis) -> None:
    """What the user has already passes, also where the sender is gone; where none is known, nothing is judged."""
    name = unique("发件")
    await publish_senders(redis, "alerts", "news")
    for ask in (
        admin.post("/api/register", username=name, password="x7-k9qzw-31", senders=["news", "nix"]),
        admin.patch(at("admin"), senders=["nix"]),
    ):
        refused = (await ask).json()
        assert (refused["errorCode"], refused["reason"]) == (10017, "wrong_type")
        assert "senders" in refused["detail"]
        assert "nix" in refused["detail"]
        assert "alerts、news" in refused["detail"]
    await register(admin, name, senders=["news"])
    await publish_senders(redis, "alerts")
    assert (await admin.patch(at(name), senders=["news", "alerts"])).json()["senders"] == ["alerts", "news"]
    await redis.call("DEL", kinds_key("smtp"))
    unknown = await admin.patch(at(name), senders=["news", "nix"])
    assert (unknown.status_code, unknown.json()["reason"]) == (503, "sender_away")
    assert (await record(admin, name))["senders"] == ["alerts", "news"]
    await admin.delete(at(name))


async def test_the_right_to_send_codes_is_written_to_the_cache_and_the_audit(admin: Visitor, redis: Redis) -> None:
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
    """A client that knew the old one is logged out."""
    assert await holds(redis, user.token)
    assert (await admin.patch(at(user.called), password="another horse")).status_code == 200
    assert not await holds(redis, user.token)
    assert (await admin.post("/api/login", username=user.name, password="battery staple")).json()["errorCode"] == 10007
    await admin.log_in(user.called, "another horse")


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
    assert (await admin.post("/internal/user-cache", username=name)).status_code == 404
    assert (await admin.post("/api/login", username=name, password="battery staple")).json()["errorCode"] == 10006
    await register(admin, name)
    assert await read_cached(redis, name) != {}
    assert not await holds(redis, user.token)


async def test_the_last_administrator_stays_one(admin: Visitor, user: Visitor) -> None:
    """409 last_administrator, until there is another."""
    demotions = [await admin.patch(at("admin"), role=role) for role in ("user", "auditor", "operator")]
    for answer in (await admin.delete(at("admin")), *demotions):
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
        assert set(answer) == {"errorCode", "errorMessage", "users", "next", "total"}
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
        answer = (await admin.get(f"/api/users?search={quote(search)}&total=1")).json()
        assert [user["username"] for user in answer["users"]] == found
        assert answer["total"] == len(found)


async def test_a_wrong_filter_of_users_is_refused(admin: Visitor) -> None:
    """10017."""
    for query in ("limit=0", "limit=501", "limit=x", "cursor=!", "cursor=_w==", "search=%00", "total=2"):
        assert (await admin.get(f"/api/users?{query}")).json()["errorCode"] == 10017, query


async def test_an_id_stays_through_every_change(admin: Visitor, user: Visitor) -> None:
    """Of limits, role, contacts and password."""
    first = (await record(admin, user.called))["id"]
    await admin.patch(at(user.called), per_hour=7, role="admin", password="another horse", phone=some_phone())
    assert (await record(admin, user.called))["id"] == first
    assert re.fullmatch("[0-9a-f]{12}7[0-9a-f]{19}", first)


async def test_what_is_used_shows_with_what_is_left(admin: Visitor, user: Visitor, redis: Redis) -> None:
    """For the user and for administrators alike."""
    name = user.called
    await admin.post("/internal/user-cache", username=name)
    assert isinstance(await charge(redis, name, recipients=4), Charged)
    wanted = {"used_hour": 1, "left_hour": 4, "used_day": 1, "left_day": 19, "used_recipients": 4}
    mine = (await user.get("/api/me")).json()
    assert mine.items() >= wanted.items()
    assert mine == {**await record(admin, name), "totp": False, "key": None}
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


async def test_a_contact_is_set_on_behalf_of_an_administrator_while_the_user_has_the_id(
    admin: Visitor, user: Visitor
) -> None:
    """A later user of the name, and another user's contact, are refused."""
    name, tag = unique("li"), "7K3-M9Q-2XH"
    await register(admin, name)
    known = (await admin.post("/internal/wechat/user", username=name)).json()
    assert (known["username"], known["tag"]) == (name, None)
    body = {"username": name, "user_id": known["user_id"], "wechat": tag}
    refused = await admin.call("PUT", "/internal/wechat/contacts", {**body, "user_id": "another"})
    assert refused.json()["reason"] == "no_such_user"
    assert (await user.call("PUT", "/internal/wechat/contacts", body)).json()["reason"] == "no_right"
    assert (await admin.call("PUT", "/internal/wechat/contacts", body)).json()["errorCode"] == 0
    assert (await admin.post("/internal/wechat/user", username=name)).json()["tag"] == tag
    taken = await admin.call("PUT", "/internal/wechat/contacts", {"username": user.called, "wechat": tag})
    assert taken.json()["reason"] == "contact_taken"
    for nobody in ("", "nobody", "a/b", "..", "x\0"):
        answer = await admin.post("/internal/wechat/user", username=nobody)
        assert answer.json()["reason"] == "no_such_user", nobody
    await admin.call("DELETE", at(name))


async def test_unknown_urls_and_methods_answer_in_the_public_shape(admin: Visitor) -> None:
    """Never the framework's own."""
    assert (await admin.get("/api/nothing")).json()["reason"] == "no_such_url"
    answer = await admin.call("PUT", "/api/login")
    assert (answer.status_code, answer.json()["reason"]) == (405, "no_such_method")
