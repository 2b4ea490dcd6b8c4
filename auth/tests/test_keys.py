"""API keys: made once, shown never again, changed, rotated, ended; and the user cache has what is in force."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from imsg_broker.connect import open_broker
from imsg_contract import api_keys
from imsg_contract.api_keys import key_field
from imsg_contract.topology import Lane
from imsg_contract.wire import Job
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor, read_cached

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "/api/keys"
SOUND = {"name": "library system", "kind": "live", "scopes": ["query", "send:smtp"]}


async def add(visitor: Visitor, **fields: object) -> tuple[str, str]:
    """Add a key; return its id and text."""
    answer = await visitor.post(KEYS, **{**SOUND, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"], answer.json()["key"]


async def is_in_force(redis: Redis, visitor: Visitor, text: str) -> bool:
    """Return whether the user cache has a key."""
    return key_field(hashlib.sha256(text.encode()).hexdigest()) in await read_cached(redis, visitor.called)


async def list_own(visitor: Visitor) -> list[dict[str, object]]:
    """List the keys that a visitor sees and that are the visitor's."""
    return [key for key in (await visitor.get(KEYS)).json()["keys"] if key["username"] == visitor.called]


async def test_a_key_is_shown_once_and_cached_at_once(user: Visitor, redis: Redis) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    key_id, text = await add(user, networks=["192.0.2.7/24", "2001:DB8::1"], expires_at=expires_at.isoformat())
    parsed = api_keys.parse(text)
    assert parsed is not None
    assert (parsed.kind, parsed.user_id) == ("live", user.id)
    cached = json.loads((await read_cached(redis, user.called))[key_field(parsed.digest)])
    assert cached == {
        "id": key_id,
        "name": "library system",
        "kind": "live",
        "scopes": ["send:smtp", "query"],
        "networks": ["192.0.2.0/24", "2001:db8::1/128"],
        "expires_at": int(expires_at.timestamp()),
    }
    (listed,) = await list_own(user)
    assert text not in json.dumps(listed)
    assert (listed["id"], listed["hint"]) == (key_id, f"imsg_live_…{text[-4:]}")
    assert (listed["last_used_at"], listed["last_used_from"]) == (None, None)


async def test_a_changed_key_is_in_force_and_null_unsets(user: Visitor, redis: Redis) -> None:
    key_id, text = await add(user, networks=["192.0.2.7"], expires_at="2099-01-01T00:00:00+08:00")
    answer = await user.patch(f"{KEYS}/{key_id}", name="新系统", scopes=["query"], networks=None, expires_at=None)
    changed = answer.json()
    assert (changed["name"], changed["scopes"], changed["networks"]) == ("新系统", ["query"], [])
    assert changed["expires_at"] is None
    digest = hashlib.sha256(text.encode()).hexdigest()
    cached = json.loads((await read_cached(redis, user.called))[key_field(digest)])
    assert (cached["name"], cached["scopes"], cached["networks"]) == ("新系统", ["query"], [])
    untouched = (await user.patch(f"{KEYS}/{key_id}", networks=["192.0.2.7"])).json()
    assert (untouched["name"], untouched["scopes"]) == ("新系统", ["query"])


async def test_a_key_that_is_ended_is_gone(user: Visitor, redis: Redis) -> None:
    key_id, text = await add(user)
    assert await is_in_force(redis, user, text)
    assert (await user.delete(f"{KEYS}/{key_id}")).status_code == 200
    assert not await is_in_force(redis, user, text)
    assert await list_own(user) == []
    assert (await user.delete(f"{KEYS}/{key_id}")).json()["reason"] == "not_found"


async def test_a_rotated_key_overlaps_for_as_long_as_requested(user: Visitor, redis: Redis) -> None:
    old_id, old = await add(user)
    answer = (await user.call("POST", f"{KEYS}/{old_id}/rotate", {"old_valid_s": 3_600})).json()
    assert await is_in_force(redis, user, old)
    assert await is_in_force(redis, user, answer["key"])
    first, second = await list_own(user)
    ends_in_s = datetime.fromisoformat(str(first["expires_at"])).timestamp() - datetime.now(UTC).timestamp()
    assert 3_500 < ends_in_s <= 3_600
    assert (second["id"], second["name"], second["expires_at"]) == (answer["id"], "library system", None)
    newest = (await user.call("POST", f"{KEYS}/{answer['id']}/rotate", {"old_valid_s": 0})).json()["key"]
    assert not await is_in_force(redis, user, answer["key"])
    assert await is_in_force(redis, user, newest)


async def test_a_leaked_key_is_revoked_by_any_client_that_has_it(user: Visitor, visitor: Visitor, redis: Redis) -> None:
    _, text = await add(user)
    strange = api_keys.make("live", user.id)
    for key in (strange, "no key", text, text):
        answer = await visitor.post(f"{KEYS}/leaked", key=key)
        assert (answer.status_code, answer.content) == (204, b"")
    assert not await is_in_force(redis, user, text)


async def test_the_owner_of_a_leaked_key_gets_a_mail_once(user: Visitor, admin: Visitor, url: str) -> None:
    await admin.patch(f"/api/users/{user.called}", email=f"{user.id}@example.com")
    _, text = await add(user, name="图书馆系统")
    for _ in range(2):
        await user.post(f"{KEYS}/leaked", key=text)
    async with open_broker(url) as broker:
        queue = broker.topology.queue("smtp", Lane.NORMAL)
        async with broker.consume(queue, 10) as deliveries, asyncio.timeout(60):
            delivery = await anext(deliveries)
            await broker.ack(delivery)
        assert await broker.depth(queue) == 0
    job = Job.model_validate_json(delivery.body)
    assert (job.user_id, [each.address for each in job.recipients]) == (user.id, [f"{user.id}@example.com"])
    assert "图书馆系统" in str(job.content)
    assert text not in str(job.content)


async def test_a_user_has_nothing_to_do_with_anothers_keys(user: Visitor, admin: Visitor) -> None:
    key_id, _ = await add(admin, username=user.called)
    others, _ = await add(admin)
    assert [key["id"] for key in await list_own(user)] == [key_id]
    for answer in (
        await user.delete(f"{KEYS}/{others}"),
        await user.patch(f"{KEYS}/{others}", name="mine"),
        await user.call("POST", f"{KEYS}/{others}/rotate", {"old_valid_s": 0}),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    assert (await user.post(KEYS, **SOUND, username="admin")).json()["reason"] == "no_right"
    everybodys = [key["id"] for key in (await admin.get(f"{KEYS}?limit=500")).json()["keys"]]
    assert {key_id, others} <= set(everybodys)
    users = [key["id"] for key in (await admin.get(f"{KEYS}?username={user.called}")).json()["keys"]]
    assert users == [key_id]
    assert (await admin.get(f"{KEYS}?username=nobody")).json()["keys"] == []
    assert (await user.get(f"{KEYS}?username=admin")).json()["reason"] == "no_right"
    assert (await admin.delete(f"{KEYS}/{key_id}")).status_code == 200


async def test_keys_are_listed_in_pages(user: Visitor) -> None:
    made = [(await add(user, name=f"system {n}"))[0] for n in range(5)]
    seen, cursor = [], ""
    while True:
        page = (await user.get(f"{KEYS}?limit=2{cursor}")).json()
        seen += [key["id"] for key in page["keys"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 65),
        ("name", "a\nb"),
        ("kind", "dead"),
        ("scopes", []),
        ("scopes", ["send"]),
        ("scopes", ["send:fax"]),
        ("scopes", ["users"]),
        ("networks", ["192.0.2.0/33"]),
        ("networks", ["example.com"]),
        ("expires_at", "2099-01-01T00:00:00"),
        ("expires_at", "2020-01-01T00:00:00Z"),
        ("expires_at", 4_070_908_800),
        ("expires_at", "9999-12-31T23:59:59-01:00"),
    ],
)
async def test_a_wrong_field_is_named(user: Visitor, field: str, value: object) -> None:
    answer = await user.post(KEYS, **{**SOUND, field: value})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 10017)
    assert field in answer.json()["detail"]
    assert await list_own(user) == []


async def test_a_removed_users_keys_are_gone(user: Visitor, admin: Visitor) -> None:
    key_id, _ = await add(user)
    await admin.delete(f"/api/users/{user.called}")
    assert (await admin.delete(f"{KEYS}/{key_id}")).json()["reason"] == "not_found"


async def test_the_owner_of_a_key_is_found_while_it_is_in_force(user: Visitor, redis: Redis) -> None:
    key_id, text = await add(user)
    parsed = api_keys.parse(text)
    assert parsed is not None
    await redis.call("FLUSHDB")
    asked = {"user_id": user.id, "digest": parsed.digest}
    assert (await user.post("/internal/keys/find", **asked)).json()["username"] == user.called
    assert await is_in_force(redis, user, text)
    for wrong in ({**asked, "user_id": "0" * 32}, {**asked, "digest": "0" * 64}):
        assert (await user.post("/internal/keys/find", **wrong)).status_code == 401
    await user.delete(f"{KEYS}/{key_id}")
    assert (await user.post("/internal/keys/find", **asked)).status_code == 401


async def test_the_last_use_is_kept(user: Visitor) -> None:
    key_id, _ = await add(user)
    for at, address in ((1_800_000_000, "192.0.2.7"), (1_700_000_000, "192.0.2.8")):
        use = {"id": key_id, "at": at, "address": address}
        assert (await user.post("/internal/keys/used", uses=[use, {**use, "id": "0" * 32}])).status_code == 200
    (listed,) = await list_own(user)
    assert (listed["last_used_at"], listed["last_used_from"]) == ("2027-01-15T08:00:00.000Z", "192.0.2.7")
