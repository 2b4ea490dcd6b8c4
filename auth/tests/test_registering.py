"""Registration: defaults, wrong fields, and contacts and names that are in use."""

import asyncio
import secrets
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from imsg_contract.addresses import make_tag
from imsg_limits.quota import Charged
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor, holds
from imsg_testing.auth_users import RECORD, at, charge, record, register, some_phone, unique

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
        per_day=1_000_000, available=False,
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
    ({"password": "x7-k9qz"}, 10017),
    ({"password": "battery\0staple"}, 10017),
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


async def test_a_wrong_registration_adds_no_user(admin: Visitor) -> None:
    """And says which field."""
    for fields, code in WRONG_REGISTRATIONS:
        answer = await admin.post("/api/register", **{"username": "new", "password": "battery staple", **fields})
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
async def test_a_contact_written_otherwise_is_refused_with_the_form_wanted(
    admin: Visitor, field: str, text: str, said: str
) -> None:
    name = unique("fourth")
    await register(admin, name)
    for answer in (
        await admin.post("/api/register", username="fifth", password="battery staple", **{field: text}),
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
        answer = await admin.post("/api/register", username="second", password="battery staple", **{field: spelling})
        assert (answer.status_code, answer.json()["errorCode"]) == (409, 10003)
        assert field in answer.json()["detail"]
        third = unique("third")
        await register(admin, third)
        assert (await admin.patch(at(third), **{field: spelling})).json()["errorCode"] == 10003
    assert (await admin.get(at("second"))).json()["errorCode"] == 10006


async def test_of_many_that_register_one_name_or_contact_at_once_one_wins(admin: Visitor) -> None:
    """The database decides."""
    body = {"password": "battery staple", "email": "one@example.com"}
    answers = await asyncio.gather(
        *(admin.post("/api/register", username="same", password="battery staple") for _ in range(6)),
        *(admin.post("/api/register", username=f"other {n}", **body) for n in range(6)),
    )
    codes = [answer.json()["errorCode"] for answer in answers]
    assert sorted(codes[:6]) == [0] + [10004] * 5
    assert sorted(codes[6:]) == [0] + [10003] * 5


async def test_an_email_address_in_another_case_is_taken(admin: Visitor) -> None:
    """10003, at the registration and at a change; its own user may change its case."""
    name, other, mail = unique("张三"), unique("李四"), f"Zhang{secrets.token_hex(4)}@example.com"
    await register(admin, name, email=mail)
    answer = await admin.post("/api/register", username=other, password="battery staple", email=mail.lower())
    assert (answer.status_code, answer.json()["errorCode"]) == (409, 10003)
    await register(admin, other)
    assert (await admin.patch(at(other), email=mail.replace("Zhang", "ZHANG"))).json()["errorCode"] == 10003
    assert (await admin.patch(at(name), email=mail.lower())).json()["email"] == mail.lower()


async def test_a_name_registered_again_is_a_new_user(admin: Visitor, user: Visitor, redis: Redis) -> None:
    """Another id and fresh limits; what its predecessor may still have at hand is void."""
    name, first = user.called, await record(admin, user.called)
    await admin.post("/internal/user-cache", username=name)
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
        await gone.post("/api/password", old="battery staple", new="another horse"),
    ):
        assert answer.json()["errorCode"] == 10005


COMMON = (
    "12345678", "password", "Passw0rd1", "11111111", "1qaz2wsx", "iloveyou1", "Admin@123", "5201314520", "woaini1314",
    "a123456789", "qwe123456", "Zhang123", "20240101", "13800138000", "密码密码密码密码", "passwordpasswordpassword",
    "Summer2026", "Spring2025", "Winter@2026", "Beijing2026", "Imsg2026!", "Company2026",
)  # fmt: skip


@pytest.mark.parametrize("password", [*COMMON, "123456", "short", "x" * 257])
async def test_a_short_or_common_password_is_set_nowhere(admin: Visitor, user: Visitor, password: str) -> None:
    """Not by register, PATCH or a change of one's own, nor on a loopback address; the old one stays."""
    for field, answer in (
        ("password", await admin.post("/api/register", username=unique("new"), password=password)),
        ("password", await admin.patch(at(user.called), password=password)),
        ("new", await user.post("/api/password", old="battery staple", new=password)),
    ):
        body = answer.json()
        assert (answer.status_code, body["errorCode"]) == (400, 10017)
        assert field in body["detail"]
    await user.log_in(user.called, "battery staple")


@pytest.mark.parametrize("contact", ["phone", "email"])
async def test_a_password_is_not_made_of_the_users_contacts(admin: Visitor, user: Visitor, contact: str) -> None:
    """Neither when they are given with it, nor when they are known already."""
    phone = some_phone()
    word = phone if contact == "phone" else f"ouyangfei{phone[-4:]}"
    password, given = f"{word}2026", {contact: phone if contact == "phone" else f"{word}@corp.cn"}
    refused = [await admin.post("/api/register", username=unique("new"), password=password, **given)]
    assert (await admin.patch(at(user.called), **given)).status_code == 200
    refused += [
        await admin.patch(at(user.called), password=password),
        await user.post("/api/password", old="battery staple", new=password),
    ]
    assert [(answer.status_code, answer.json()["errorCode"]) for answer in refused] == [(400, 10017)] * 3


@pytest.mark.parametrize("password", ["x7k9qzw3", "正确的马电池订书钉", "correct horse battery staple " * 8])
async def test_a_password_of_8_to_256_characters_may_be_of_any_script(
    admin: Visitor, visitor: Visitor, password: str
) -> None:
    """And as long as a sentence, with its spaces."""
    name = unique("new")
    await register(admin, name, password=password)
    await visitor.log_in(name, password)


async def test_the_documents_accounts_alone_keep_their_passwords_on_loopback(admin: Visitor) -> None:
    """Each its own."""
    assert (await admin.patch(at("天存-system-1001"), password="123456")).status_code == 200
    assert (await admin.patch(at("天存-system-1001"), password="123")).json()["errorCode"] == 10017
    assert (await admin.patch(at("admin"), password="123456")).json()["errorCode"] == 10017
