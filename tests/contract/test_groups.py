"""Groups in the catalog: members by any address, paged, shared, and erased."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_contract.topology import ERASED
from imsg_people.tombstones import Digests, Tombstone, Tombstones
from imsg_runtime.redis import Redis
from imsg_testing.callers import user
from imsg_testing.catalog import ERASURE, HEADERS, KEY, Catalog, run_catalog
from imsg_testing.databases import on_both_databases
from imsg_testing.waiting import eventually

ZHANG = {
    "contacts": {"sms": "13711112222", "smtp": "张三 <zhang.san@Example.com>"},
    "params": {"姓名": "张三", "班级": "三年级二班"},
    "language": "zh",
    "consent": {"at": "2026-09-01T08:00:00+08:00", "source": "报名表"},
}
GROUP = "/api/groups/三年级 二班"


def _of(name: str, role: Any = "user") -> dict[str, str]:  # noqa: ANN401  a role's literal
    return {"x-imsg-key": KEY, **user(name, role=role).headers(), "accept-language": "en"}


async def _create(catalog: Catalog, name: str = "三年级 二班", **fields: Any) -> None:  # noqa: ANN401  any JSON
    created = await catalog.client.post("/api/groups", json={"name": name, **fields})
    assert created.json()["name"] == name, created.json()


async def _add(catalog: Catalog, *members: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    body: dict[str, Any] = (await catalog.client.post(f"{GROUP}/members", json={"members": members})).json()
    assert body["errorCode"] == 0, body
    return body


async def _list(catalog: Catalog, **query: str) -> dict[str, Any]:
    body: dict[str, Any] = (await catalog.client.get(f"{GROUP}/members", params=query)).json()
    return body


@on_both_databases
async def test_members_are_added_replaced_paged_and_removed_by_any_address(
    database_url: str, redis_url: str, redis: Redis
) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        await _create(catalog, note="2026")
        people = [{"to": f"138{number:08}"} for number in range(120)]
        assert await _add(catalog, ZHANG, *people) | {"problems": []} == {
            "errorCode": 0, "errorMessage": "OK", "added": 121, "changed": 0, "problems": [],
        }  # fmt: skip
        assert await _add(catalog, {"to": "ZHANG.SAN@example.com", "params": {"姓名": "张珊"}}, {"to": "li"}) == {
            "errorCode": 0, "errorMessage": "OK", "added": 1, "changed": 1, "problems": [],
        }  # fmt: skip
        first = await _list(catalog, limit="100")
        rest = await _list(catalog, limit="100", cursor=first["next"])
        listed = first["members"] + rest["members"]
        assert (len(listed), first["total"], rest["next"]) == (122, 122, None)
        assert listed[0]["contacts"] == {"smtp": "ZHANG.SAN@example.com"}
        assert [member["to"] for member in listed if member["to"]] == ["li"]
        assert [member["params"] for member in (await _list(catalog, find="张珊"))["members"]] == [{"姓名": "张珊"}]
        removed = await catalog.client.post(
            f"{GROUP}/members/remove", json={"to": ["+8613800000000", "zhang.san@EXAMPLE.com", "li", "wang"]}
        )
        assert (removed.json()["removed"], removed.json()["unknown"]) == (3, ["wang"])
        assert (await catalog.client.get(GROUP)).json()["members"] == 119
        assert (await catalog.client.delete(GROUP)).json()["errorCode"] == 0
        assert (await catalog.client.get(GROUP)).json()["reason"] == "not_found"


async def test_what_a_member_has_is_shown_as_it_was_given(database_url: str, redis_url: str, redis: Redis) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        await _create(catalog)
        await _add(catalog, ZHANG)
        assert (await _list(catalog))["members"] == [
            {
                "to": None,
                "contacts": {"sms": "+8613711112222", "smtp": "张三 <zhang.san@Example.com>"},
                "params": {"姓名": "张三", "班级": "三年级二班"},
                "language": "zh",
                "consent": {"at": "2026-09-01T00:00:00.000Z", "source": "报名表"},
            }
        ]


WRONG: tuple[tuple[Any, str], ...] = (
    ({}, "either to or contacts"),
    ({"to": "13711112222", "contacts": {"sms": "13711112222"}}, "either to or contacts"),
    ({"to": "+86 138-0013-8000"}, "write +8613800138000"),
    ({"to": "008613800138000"}, "write +8613800138000"),
    ({"to": "8613800138000"}, "write +8613800138000"),
    ({"to": "１３８００１３８０００"}, "write 13800138000"),
    ({"to": "1380013800"}, "no username"),
    ({"to": "1.38E+10"}, "no username"),
    ({"to": "a@b"}, "no username"),
    ({"to": ""}, "no username"),
    ({"to": 13800138000}, "to"),
    ({"contacts": {"fax": "1"}}, "sms"),
    ({"contacts": {"sms": "a@example.com"}}, "phone"),
    ({"to": "li", "params": {"age": 3}}, "params.age"),
    ({"to": "li", "params": {"x": "1" * 1001}}, "params.x"),
    ({"to": "li", "consent": {"at": "2026-09-01", "source": "form"}}, "consent.at"),
    ({"to": "li", "consent": {"at": "2026-09-01T00:00:00Z"}}, "consent.source"),
    ({"to": "li", "language": "中文"}, "language"),
    ({"to": "li", "name": "李"}, "name"),
    ("li", "object"),
)


async def test_a_wrong_row_is_named_with_its_remedy_and_the_others_are_kept(
    database_url: str, redis_url: str, redis: Redis
) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        await _create(catalog)
        rows = [one for row, _ in WRONG for one in (row, {"to": f"right{len(str(row))}-{WRONG.index((row, _))}"})]
        added = await _add(catalog, *rows)
        assert added["added"] == len(WRONG)
        assert [problem["row"] for problem in added["problems"]] == [*range(0, 2 * len(WRONG), 2)]
        for (row, expected), problem in zip(WRONG, added["problems"], strict=True):
            assert expected in problem["detail"], (row, problem["detail"])
        await _add(catalog, {"to": "13700000001"}, {"to": "a@example.com"})
        both = await _add(catalog, {"contacts": {"sms": "13700000001", "smtp": "a@example.com"}})
        assert (both["added"], both["changed"], both["problems"][0]["row"]) == (0, 0, 0)


async def test_a_group_is_seen_and_changed_by_its_users(database_url: str, redis_url: str, redis: Redis) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        client, owner, other = catalog.client, _of("owner"), _of("other")
        await client.post("/api/groups", json={"name": "own"}, headers=owner)
        await client.post("/api/groups", json={"name": "common", "shared": True}, headers=owner)

        async def names(headers: dict[str, str]) -> list[str]:
            return [group["name"] for group in (await client.get("/api/groups", headers=headers)).json()["groups"]]

        assert await names(owner) == await names(HEADERS) == await names(_of("a", "auditor")) == ["common", "own"]
        assert await names(other) == ["common"]
        for path, reason in (("own", "not_found"), ("common", "not_yours")):
            for headers in (other, *([_of("o", "operator")] if path == "common" else [])):
                members = {"members": [{"to": "li"}]}
                refusals = [
                    await client.post(f"/api/groups/{path}/members", json=members, headers=headers),
                    await client.post(f"/api/groups/{path}/members/remove", json={"to": ["li"]}, headers=headers),
                    await client.patch(f"/api/groups/{path}", json={"note": "x"}, headers=headers),
                    await client.delete(f"/api/groups/{path}", headers=headers),
                ]
                assert [refusal.json()["reason"] for refusal in refusals] == [reason] * 4
        assert (await client.get("/api/groups/own/members", headers=other)).json()["reason"] == "not_found"
        auditor = await client.post("/api/groups", json={"name": "audit"}, headers=_of("a", "auditor"))
        assert auditor.status_code == 403
        taken = await client.post("/api/groups", json={"name": "own"}, headers=other)
        assert (taken.status_code, taken.json()["reason"]) == (409, "group_exists")
        renamed = await client.patch("/api/groups/own", json={"name": "mine", "shared": True}, headers=owner)
        assert (renamed.json()["name"], renamed.json()["shared"]) == ("mine", True)
        for wrong in ("", " a", "a/b", "..", "x" * 65, "a\u0000"):
            refused = await client.post("/api/groups", json={"name": wrong}, headers=owner)
            assert refused.status_code == 400, wrong


async def test_an_erasure_reaches_every_field_of_the_groups(database_url: str, redis_url: str, redis: Redis) -> None:
    """The person's own row goes, and each field of others that mentions them; nothing else does."""
    async with run_catalog(database_url, redis_url, redis) as catalog:
        await _create(catalog, note="ask zhang.san@example.com")
        await _create(catalog, "family of 13711112222")
        mother = {
            "to": "13800000001",
            "params": {"姓名": "李四", "家长": "张三 137 1111 2222", "zhang.san@example.com": "x"},
            "consent": {"at": "2026-09-01T00:00:00Z", "source": "mail of Zhang.San@example.com"},
        }
        await _add(catalog, ZHANG, mother, {"to": "li"})
        digests, at = Digests((ERASURE,)), datetime.now(UTC) + timedelta(seconds=1)
        people = ("zhang.san@example.com", "+8613711112222")
        stones = [Tombstone(f"an erasure {n}", digests.of(person), at) for n, person in enumerate(people)]
        await Tombstones(redis, digests).write(stones)

        async def is_erased() -> bool:
            return int(await redis.call("HGET", ERASED, "catalog") or 0) >= stones[0].at_ms

        await eventually(is_erased, 60)
        page = await _list(catalog)
        assert [(member["to"], member["contacts"], member["params"]) for member in page["members"]] == [
            (None, {"sms": "+8613800000001"}, {"姓名": "李四"}),
            ("li", {}, {}),
        ]
        assert page["members"][0]["consent"]["source"] is None
        assert page["total"] == 2
        assert (await catalog.client.get(GROUP)).json()["note"] == ""
        assert (await catalog.client.get("/api/groups/family of 13711112222")).json()["reason"] == "not_found"
        assert len((await catalog.client.get("/api/groups")).json()["groups"]) == 2


@pytest.mark.long  # a hundred thousand people
async def test_a_group_holds_a_hundred_thousand_and_each_page_opens_at_once(
    database_url: str, redis_url: str, redis: Redis
) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        await _create(catalog)
        for start in range(0, 100_000, 10_000):
            added = await _add(catalog, *({"to": f"138{number:08}"} for number in range(start, start + 10_000)))
            assert added["added"] == 10_000
        full = await catalog.client.post(f"{GROUP}/members", json={"members": [{"to": "13900000000"}]})
        assert (full.status_code, full.json()["reason"]) == (400, "group_full")
        assert "100001" in full.json()["detail"]
        again = await _add(catalog, {"to": "13800000000"})
        assert (again["added"], again["changed"]) == (0, 1)
        page = await _list(catalog, limit="500")
        assert (len(page["members"]), page["total"]) == (500, 100_000)
        sent = await catalog.client.post(
            "/internal/groups/recipients", json={"groups": ["三年级 二班"], "method": "sms", "most": 10_000}
        )
        assert (sent.json()["total"], sent.json()["recipients"]) == (100_000, [])
