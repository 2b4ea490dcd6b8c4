"""One-time passwords: sealed in the database, also under another token key, and never a lock-out."""

import base64
import hashlib
import hmac
import time
from pathlib import Path

from pydantic import SecretStr

from imsg_auth.main import reset_password
from imsg_testing.auth import TOKEN_KEY, Visitor, running, settings


def compute(secret: str, step: int) -> str:
    """Compute the one-time password of a time step by RFC 6238 and RFC 4226."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def read_files(folder: Path) -> bytes:
    """Read the database's files."""
    return b"".join(path.read_bytes() for path in folder.glob("auth.db*"))


async def turn_on(visitor: Visitor) -> tuple[str, int, list[str]]:
    """Enable the second step of the administrator; return the secret, the step used, and the recovery codes."""
    admin = await visitor.log_in("admin", "123")
    secret, step = (await admin.post("/api/me/totp")).json()["secret"], int(time.time()) // 30
    confirmed = await admin.post("/api/me/totp/confirm", otp=compute(secret, step))
    assert confirmed.status_code == 200, confirmed.text
    return secret, step, confirmed.json()["recovery_codes"]


async def test_the_secret_and_the_codes_are_not_in_the_database_and_outlive_the_key(
    valkey_url: str, tmp_path: Path
) -> None:
    new = SecretStr("another token key of the tests of auth")
    async with running(settings(valkey_url, tmp_path)) as visitor:
        secret, step, codes = await turn_on(visitor)
    kept = read_files(tmp_path)
    assert not any(text.encode() in kept for text in (secret, *codes))

    async with running(settings(valkey_url, tmp_path, token_key=(new, TOKEN_KEY))):
        pass
    async with running(settings(valkey_url, tmp_path, token_key=(new,))) as visitor:
        right = {"username": "admin", "password": "123"}
        assert (await visitor.post("/api/login", **right)).json()["reason"] == "otp_required"
        answer = await visitor.post("/api/login", **right, otp=compute(secret, step + 1))
        assert answer.status_code == 200, answer.text


async def test_the_last_administrator_comes_back_by_the_server(valkey_url: str, tmp_path: Path) -> None:
    own = settings(valkey_url, tmp_path)
    async with running(own) as visitor:
        await turn_on(visitor)

    await reset_password(own, "admin", "correct horse battery")

    async with running(own) as visitor:
        await visitor.log_in("admin", "correct horse battery")


async def test_keys_providers_and_roles_change_after_a_log_in_of_the_last_hour(valkey_url: str, tmp_path: Path) -> None:
    key = {"name": "a program", "kind": "live", "scopes": ["query"]}
    async with running(settings(valkey_url, tmp_path, token_hours=2)) as visitor:
        admin = await visitor.log_in("admin", "123")
    async with running(settings(valkey_url, tmp_path, token_hours=12)) as visitor:  # to which the token is 10 h old
        admin.http = visitor.http
        for answer in (
            await admin.post("/api/keys", **key),
            await admin.patch("/api/providers/sms/aliyun", enabled=False),
            await admin.patch("/api/users/admin", role="admin"),
            await admin.post("/api/register", username="b", password="battery staple", role="operator"),
            await admin.post("/api/me/totp"),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (403, "log_in_again"), answer.text
        assert (await admin.get("/api/keys")).status_code == 200
        assert (await admin.patch("/api/users/admin", per_hour=7)).status_code == 200
        fresh = await visitor.log_in("admin", "123")
        assert (await fresh.post("/api/keys", **key)).status_code == 200
