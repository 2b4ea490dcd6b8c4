"""The first accounts, and where documented passwords work: only on a loopback address."""

import re
import stat
from pathlib import Path

import pytest

from imsg_auth.main import app, reset_password
from imsg_contract.errors import Refusal
from imsg_runtime.redis import Redis
from imsg_runtime.settings import StartError
from imsg_testing.auth import Visitor, read_cached, running, settings
from imsg_testing.servers import reserve_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYWHERE = "0.0.0.0"


def mode(path: Path) -> int:
    """Read who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def may_log_in(visitor: Visitor, username: str, password: str) -> bool:
    """Return whether that is the password."""
    return (await visitor.post("/api/login", username=username, password=password)).status_code == 200


async def names(visitor: Visitor, password: str) -> list[str]:
    """List the users, as the administrator of this password."""
    admin = await visitor.log_in("admin", password)
    return [user["username"] for user in (await admin.get("/api/users")).json()["users"]]


async def test_on_loopback_the_documented_accounts_are_made_once(url: str, tmp_path: Path) -> None:
    """And not again when one was removed or its password changed."""
    async with running(settings(url, tmp_path)) as visitor:
        assert await names(visitor, "123") == ["admin", "天存-system-1001"]
        assert await may_log_in(visitor, "天存-system-1001", "123456")
        admin = await visitor.log_in("admin", "123")
        await admin.delete("/api/users/天存-system-1001")
        await admin.post("/api/password", old="123", new="correct horse")
    async with running(settings(url, tmp_path)) as visitor:
        assert await names(visitor, "correct horse") == ["admin"]
    assert not (tmp_path / "admin-password").exists()
    assert mode(tmp_path / "auth.db") == 0o600


async def test_elsewhere_only_an_administrator_is_made_with_the_password_given(url: str, tmp_path: Path) -> None:
    """IMSG_ADMIN_PASSWORD."""
    async with running(settings(url, tmp_path, host=EVERYWHERE, admin_password="correct horse")) as visitor:
        assert await names(visitor, "correct horse") == ["admin"]
        assert not await may_log_in(visitor, "admin", "123")
    assert not (tmp_path / "admin-password").exists()


async def test_elsewhere_a_password_is_made_and_kept_where_none_was_given(url: str, tmp_path: Path) -> None:
    """For its owner's eyes; the same after a crash between file and database."""
    for round_ in range(2):
        async with running(settings(url, tmp_path, host=EVERYWHERE)) as visitor:
            file = tmp_path / "admin-password"
            assert mode(file) == 0o600
            password = file.read_text().strip()
            assert len(password) >= 20
            assert await names(visitor, password) == ["admin"]
        if round_ == 0:
            (tmp_path / "auth.db").unlink()
    assert file.read_text().strip() == password


async def test_a_given_password_is_used_on_loopback_too_and_no_other_account_is_made(url: str, tmp_path: Path) -> None:
    """Who sets it means others to come in."""
    async with running(settings(url, tmp_path, admin_password="correct horse")) as visitor:
        assert await names(visitor, "correct horse") == ["admin"]
        assert not await may_log_in(visitor, "admin", "123")


EXPOSED: list[tuple[str, dict[str, object]]] = [
    ("IMSG_HOST", {"host": EVERYWHERE}),
    ("IMSG_PUBLIC_URL", {"public_url": "https://imsg.example.com"}),
    ("IMSG_TRUSTED_PROXIES", {"trusted_proxies": ("127.0.0.1",)}),
    ("IMSG_ADMIN_PASSWORD", {"admin_password": "correct horse"}),
]


@pytest.mark.parametrize(("name", "given"), EXPOSED)
async def test_whatever_lets_others_in_makes_no_documented_account(
    url: str, tmp_path: Path, name: str, given: dict[str, object]
) -> None:
    """A proxy on this machine reaches us on loopback, and everybody reaches the proxy."""
    asked = settings(url, tmp_path, **given)
    assert name in asked.exposure
    async with running(asked) as visitor:
        password = "correct horse"
        if name != "IMSG_ADMIN_PASSWORD":
            password = (tmp_path / "admin-password").read_text().strip()
        assert await names(visitor, password) == ["admin"]
        assert not await may_log_in(visitor, "admin", "123")
        admin = await visitor.log_in("admin", password)
        assert (await admin.post("/api/register", username="天存-system-1001", password="123456")).json()[
            "errorCode"
        ] == 10017


@pytest.mark.parametrize(("name", "given"), EXPOSED)
async def test_a_folder_from_before_starts_exposed_only_once_its_documented_passwords_are_changed(
    url: str, tmp_path: Path, name: str, given: dict[str, object]
) -> None:
    """The refusal names the account, the setting and the command, which works while the start is refused."""
    async with running(settings(url, tmp_path)):
        pass
    elsewhere = settings(url, tmp_path, **given)
    for username in ("admin", "天存-system-1001"):
        said = f"{re.escape(username)}.*{name}.*`imsg users reset-password {re.escape(username)}`"
        with pytest.raises(StartError, match=said):
            async with running(elsewhere):
                pass
        await reset_password(elsewhere, username, "correct horse")
    async with running(elsewhere) as visitor:
        assert await may_log_in(visitor, "天存-system-1001", "correct horse")


async def test_off_loopback_a_documented_password_can_not_be_set(url: str, tmp_path: Path) -> None:
    """The next start would refuse it."""
    async with running(settings(url, tmp_path, host=EVERYWHERE, admin_password="correct horse")) as visitor:
        admin = await visitor.log_in("admin", "correct horse")
        for answer in (
            await admin.post("/api/register", username="天存-system-1001", password="123456"),
            await admin.patch("/api/users/admin", password="123456"),
            await admin.post("/api/password", old="correct horse", new="123456"),
        ):
            assert answer.json()["errorCode"] == 10017
        assert await names(visitor, "correct horse") == ["admin"]


@pytest.mark.parametrize(
    "password",
    ["123", "123456", "short", "x" * 257, "admin123", "P@ssw0rd", "imsg2026", "qwer1234!@", "管理员密码", "woaini1314"],
)
async def test_off_loopback_a_common_administrators_password_stops_the_start(
    url: str, tmp_path: Path, password: str
) -> None:
    """One line that names the setting."""
    with pytest.raises(StartError, match="IMSG_ADMIN_PASSWORD"):
        async with running(settings(url, tmp_path, host=EVERYWHERE, admin_password=password)):
            pass


async def test_a_common_administrators_password_stops_every_start_and_is_not_printed(url: str, tmp_path: Path) -> None:
    """Also where the first accounts were made long ago: it may still be in use."""
    async with running(settings(url, tmp_path, host=EVERYWHERE, admin_password="correct horse")):
        pass
    with pytest.raises(StartError, match="openssl rand") as refused:
        async with running(settings(url, tmp_path, host=EVERYWHERE, admin_password="Admin@123")):
            pass
    assert "Admin@123" not in str(refused.value)


@pytest.mark.parametrize("name", ["service_key", "token_key"])
@pytest.mark.parametrize("host", ["127.0.0.1", EVERYWHERE])
async def test_a_missing_key_stops_the_start_with_its_name(url: str, tmp_path: Path, name: str, host: str) -> None:
    """No secret has a default."""
    with pytest.raises(StartError, match=f"IMSG_{name.upper()}"):
        async with app(settings(url, tmp_path, host=host, **{name: ()})).running():
            pass


@pytest.mark.parametrize("database", ["mysql://x/y", "no url", "sqlite://", "/tmp/x.db"])  # noqa: S108  never made
async def test_another_kind_of_database_stops_the_start(url: str, tmp_path: Path, database: str) -> None:
    """SQLite or PostgreSQL."""
    with pytest.raises(StartError, match="IMSG_DATABASE_URL"):
        async with running(settings(url, tmp_path, database_url=database)):
            pass


async def test_a_reset_on_the_server_ends_every_token(url: str, tmp_path: Path, redis: Redis) -> None:
    """And the user cache knows at once."""
    asked = settings(url, tmp_path)
    async with running(asked) as visitor:
        await visitor.log_in("天存-system-1001", "123456")
        await visitor.post("/internal/user-cache", username="天存-system-1001")
        before = await read_cached(redis, "天存-system-1001")
        await reset_password(asked, "天存-system-1001", "correct horse")
        after = await read_cached(redis, "天存-system-1001")
        assert {**before, "epoch": after["epoch"]} == after
        assert before["epoch"] != after["epoch"]
        assert await may_log_in(visitor, "天存-system-1001", "correct horse")


async def test_a_reset_works_while_all_of_imsg_is_down(url: str, tmp_path: Path) -> None:
    """With SQLite: no gateway reads the user cache then, and auth empties it when it starts."""
    async with running(settings(url, tmp_path)):
        pass
    nobody = reserve_port()
    await reset_password(settings(f"redis://127.0.0.1:{nobody}/0", tmp_path), "admin", "correct horse")
    async with running(settings(url, tmp_path)) as visitor:
        assert await may_log_in(visitor, "admin", "correct horse")


@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [
        ("nobody", "correct horse", "no_such_user"),
        ("admin", "short", "wrong_type"),
        ("admin", "Aa123456", "wrong_type"),
    ],
)
async def test_a_reset_that_fails_reports_the_reason(
    url: str, tmp_path: Path, username: str, password: str, reason: str
) -> None:
    """As a refusal, whose detail is for people."""
    async with running(settings(url, tmp_path)):
        pass
    with pytest.raises(Refusal) as refused:
        await reset_password(settings(url, tmp_path), username, password)
    assert refused.value.reason == reason
    assert refused.value.answer(english=True)["detail"]
