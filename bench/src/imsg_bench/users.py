"""Users in the number that a company has: none of them sends so much at once that it counts as a crowd (ADR 26).

Each is a copy of the administrator's row in auth's database under a name and an id of its own, with a token made as
auth makes it: to register and to log in so many would take a minute of argon2id. Each is seen once before anything is
measured, so that auth has written them into the user cache.
"""

import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psycopg
from pydantic import SecretStr

from imsg_contract import tokens
from imsg_contract.ids import new_id

USERS = 250
"""At 4,000 requests a second each sends 16: under the 200 in ten seconds from which a user's go with the lists."""

LASTING_S = 86_400

_COPY = """
INSERT INTO users (username, password, role, available, quotas, epoch, created_at, id,
                   may_send_codes, events, senders, sms_countries, default_category)
SELECT {name}, password, 'user', available, quotas, epoch, created_at, {id},
       may_send_codes, events, senders, sms_countries, default_category
FROM users WHERE username = 'admin'
"""
_EPOCH = "SELECT epoch FROM users WHERE username = 'admin'"


def add_users(database: str | Path, token_keys: str, count: int = USERS) -> list[str]:
    """Add users to auth's database, PostgreSQL's URL or SQLite's file, and return a token of each.

    `token_keys` is the value of IMSG_TOKEN_KEY: of a list the first signs.
    """
    series = secrets.token_hex(3)
    users = [(f"reader{number}-{series}", new_id()) for number in range(count)]
    epoch = _add_to_sqlite(database, users) if isinstance(database, Path) else _add_to_postgres(database, users)
    expiry, key = int(time.time()) + LASTING_S, SecretStr(token_keys.partition(",")[0])
    return [
        tokens.make(name, user_id, epoch, expiry=expiry, nonce=secrets.token_hex(16), key=key)
        for name, user_id in users
    ]


def cache_users(client: httpx.Client, user_tokens: Sequence[str]) -> None:
    """Make one call of each user, so that a gateway caches them. Raises httpx.HTTPStatusError for an unknown one."""
    for token in user_tokens:
        client.get("/api/v2/channels", headers={"Authorization": f"Bearer {token}"}).raise_for_status()


def _add_to_postgres(url: str, users: Sequence[tuple[str, str]]) -> int:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(_COPY.format(name="%s", id="%s"), users)
        row = cursor.execute(_EPOCH).fetchone()
    assert row is not None  # noqa: S101  the administrator is there from the start
    return int(row[0])


def _add_to_sqlite(path: Path, users: Sequence[tuple[str, str]]) -> int:
    connection = sqlite3.connect(path, timeout=10)
    try:
        with connection:
            connection.executemany(_COPY.format(name="?", id="?"), users)
        row = connection.execute(_EPOCH).fetchone()
    finally:
        connection.close()
    return int(row[0])
