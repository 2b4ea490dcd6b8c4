"""Auth: its first start, a story through its API, and a missing database or Redis."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from imsg_testing.auth import Visitor, running, settings
from imsg_testing.databases import on_both_databases
from imsg_testing.servers import Postgres, Valkey
from imsg_testing.waiting import eventually


@on_both_databases
async def test_first_accounts_are_made_once_by_many_that_start_at_once(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """And all of them know the same password."""
    asked = settings(redis_url, tmp_path, database_url=database_url, host="0.0.0.0")
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(running(asked)) for _ in range(4)]
        visitors = await asyncio.gather(*entering)
        password = (tmp_path / "admin-password").read_text().strip()
        for visitor in visitors:
            admin = await visitor.log_in("admin", password)
            users = (await admin.get("/api/users")).json()["users"]
            assert [user["username"] for user in users] == ["admin"]


async def test_a_whole_story_goes_the_same_way(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Registered, found, changed, logged out, removed, through the API."""
    async with running(settings(redis_url, tmp_path, database_url=database_url)) as visitor:
        admin = await visitor.log_in("admin", "123")
        for n in range(5):
            body = {"username": f"用户{n}", "password": "battery staple", "email": f"u{n}@Example.com"}
            assert (await admin.call("POST", "/api/register", body)).json()["errorCode"] == 0
        again = {"username": "用户9", "password": "battery staple", "email": "u1@EXAMPLE.com"}
        assert (await admin.call("POST", "/api/register", again)).json()["errorCode"] == 10003
        assert (await admin.call("POST", "/api/register", {**again, "username": "用户1"})).json()["errorCode"] == 10004
        page = (await admin.get("/api/users?search=U3@&limit=1")).json()
        assert ([user["username"] for user in page["users"]], page["next"]) == (["用户3"], None)
        first = (await admin.get("/api/users?limit=4")).json()
        second = (await admin.get(f"/api/users?limit=4&cursor={first['next']}")).json()
        listed = [user["username"] for user in first["users"] + second["users"]]
        assert listed == sorted(["admin", "天存-system-1001", *(f"用户{n}" for n in range(5))])
        assert second["next"] is None
        user = await visitor.log_in("用户2", "battery staple")
        assert (await user.post("/api/password", old="battery staple", new="second battery")).status_code == 200
        assert (await user.post("/api/logout", everywhere=True)).status_code == 200
        assert (await admin.delete("/api/users/用户2")).status_code == 200
        contacts = await admin.post("/internal/contacts", method="smtp", names=["用户1", "用户2", "admin"])
        assert contacts.json()["contacts"] == {"用户1": "u1@example.com", "admin": None}


async def unavailable(visitor: Visitor) -> bool:
    """Return whether a change is refused as 10012 for now."""
    answer = await visitor.post("/api/modify/天存-system-1001", per_day=1, per_hour=1)
    assert answer.status_code in (200, 503)
    if answer.status_code == 503:
        assert (answer.json()["errorCode"], answer.json()["reason"]) == (10012, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code == 503


async def test_a_database_that_is_away_is_10012_and_comes_back_by_itself(redis_url: str, tmp_path: Path) -> None:
    """No restart, no hand."""
    with Postgres() as own:
        async with running(settings(redis_url, tmp_path, database_url=own.url)) as visitor:
            admin = await visitor.log_in("admin", "123")
            own.kill()
            assert await unavailable(admin)

            async def is_unready() -> bool:
                return bool((await admin.get("/health/ready")).json().get("unmet") == ["database"])

            await eventually(is_unready, within_s=60)
            own.start()

            async def is_back() -> bool:
                return not await unavailable(admin) and (await admin.get("/health/ready")).status_code == 200

            await eventually(is_back, within_s=60)


async def test_without_redis_nothing_is_changed(database_url: str, tmp_path: Path) -> None:
    """A copy that can't be deleted would outlive the change."""
    with Valkey() as own:
        async with running(settings(own.url, tmp_path, database_url=database_url)) as visitor:
            admin = await visitor.log_in("admin", "123")
            own.kill()
            assert await unavailable(admin)
            answer = await admin.post("/api/register", username="new", password="battery staple")
            assert answer.json()["reason"] == "unavailable"
            own.start()

            async def is_back() -> bool:
                return (await admin.get("/api/users")).status_code == 200

            await eventually(is_back, within_s=60)
            users = {user["username"]: user for user in (await admin.get("/api/users")).json()["users"]}
            assert "new" not in users
            assert users["天存-system-1001"]["per_day"] == 20
