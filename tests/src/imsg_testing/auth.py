"""Auth on a real Valkey and database, called as the gateway calls it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from imsg_auth.main import Settings, app
from imsg_contract import tokens
from imsg_contract.roles import Role
from imsg_contract.topology import user_key
from imsg_limits.quota.rows import decode_rows
from imsg_runtime.redis import Redis
from imsg_testing.quiet_zone import find_quiet_zone

SERVICE_KEY = SecretStr("the service key of the tests of auth")
TOKEN_KEY = SecretStr("the token key of the tests of auth")


def settings(url: str, folder: Path, **given: Any) -> Settings:  # noqa: ANN401  any setting
    """Return settings, by default with broker and Redis at `url`, SQLite in `folder`, on loopback."""
    fields: dict[str, Any] = {
        "broker_url": url,
        "redis_url": url,
        "data_dir": folder,
        "service_key": (SERVICE_KEY,),
        "token_key": (TOKEN_KEY,),
        "timezone": find_quiet_zone(),
    }
    return Settings(**{**fields, **given})


@dataclass
class Visitor:
    """A caller that the gateway has authenticated; without a name, an anonymous caller."""

    http: httpx.AsyncClient
    name: str | None = None
    role: Role = "user"
    token: str = ""
    id: str = ""
    since: str = "1970-01-01T00:00:00Z"
    address: str = "203.0.113.7"

    @property
    def called(self) -> str:
        """The name; not for an anonymous caller."""
        assert self.name is not None
        return self.name

    async def call(
        self,
        verb: str,
        path: str,
        body: object = None,
        language: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call a public URL."""
        headers = {"x-imsg-address": self.address, "accept-language": language, **(headers or {})}
        if self.name is not None:
            headers |= {
                "x-imsg-caller": quote(self.name, safe=""),
                "x-imsg-role": self.role,
                "x-imsg-token": self.token,
            }
            since = round(datetime.fromisoformat(self.since).timestamp() * 1_000)
            headers |= {"x-imsg-caller-id": self.id, "x-imsg-caller-since": str(since)}
        return await self.http.request(verb, path, json=body, headers=headers)

    async def post(self, path: str, **body: object) -> httpx.Response:
        """Post fields."""
        return await self.call("POST", path, body)

    async def put(self, path: str, headers: Mapping[str, str], **body: object) -> httpx.Response:
        """Make a PUT request with these fields."""
        return await self.call("PUT", path, body, headers=headers)

    async def get(self, path: str) -> httpx.Response:
        """Get a URL."""
        return await self.call("GET", path)

    async def patch(self, path: str, **body: object) -> httpx.Response:
        """Patch with fields."""
        return await self.call("PATCH", path, body)

    async def delete(self, path: str) -> httpx.Response:
        """Delete a URL."""
        return await self.call("DELETE", path)

    async def log_in(self, username: str, password: str) -> "Visitor":
        """Log in, which must succeed, and be that user from here on."""
        answer = await self.post("/api/login", username=username, password=password)
        assert answer.status_code == 200, answer.text
        gateway = Visitor(self.http, "gateway", role="admin")  # which knows every user by the cache
        user = (await gateway.get(f"/api/users/{quote(username, safe='')}")).json()
        token = answer.json()["token"]
        return replace(self, name=username, role=user["role"], token=token, id=user["id"], since=user["created_at"])


@asynccontextmanager
async def running(asked: Settings) -> AsyncIterator[Visitor]:
    """Run auth; yield an anonymous caller."""
    service = app(asked)
    async with service.running():
        transport = httpx.ASGITransport(service, raise_app_exceptions=False)
        key = {"x-imsg-key": SERVICE_KEY.get_secret_value()}
        async with httpx.AsyncClient(transport=transport, base_url="http://auth", headers=key, timeout=30) as http:
            yield Visitor(http)


async def read_cached(redis: Redis, username: str) -> dict[str, str]:
    """Read a cached user; empty where there is none. The limits of the quotas are under their ids."""
    found = await redis.call("HGETALL", user_key(username))
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    cached = {key.decode(): value.decode() for key, value in pairs}
    rows = decode_rows(cached.pop("quotas", "").encode())
    return cached | {row.id: "" if row.limit is None else str(row.limit) for row in rows}


async def holds(redis: Redis, token: str) -> bool:
    """Return whether a token is valid by the user cache, as a gateway checks it."""
    given = tokens.parse(token)
    assert given is not None
    cached = await read_cached(redis, given.username)
    if not cached or f"revoked:{given.nonce}" in cached:
        return False
    return tokens.verify(given, cached["id"], int(cached["epoch"]), [TOKEN_KEY])


class Late:
    """A TCP proxy in front of Redis that holds back commands with a marker until the test releases them."""

    def __init__(self, host: str, port: int, marker: bytes) -> None:
        self._target = (host, port)
        self._marker = marker
        self._kept: list[tuple[bytes, asyncio.StreamWriter, asyncio.StreamReader]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    def url(self, url: str) -> str:
        """Return Redis' URL with the proxy's address in it."""
        host, port = self._target
        return url.replace(f"{host}:{port}", f"127.0.0.1:{self._port}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Late"]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for _, sink, _ in self._kept:
                sink.close()

    async def deliver(self) -> int:
        """Pass on what was kept back, wait for Redis' answer, and return how many pieces it were."""
        for data, sink, source in self._kept:
            sink.write(data)
            await sink.drain()
            async with asyncio.timeout(60):
                assert await source.read(65_536)
        return len(self._kept)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(self._back(server, to_client))
        self._tasks.add(back)
        while data := await client.read(65_536):
            if self._marker in data:
                back.cancel()
                self._kept.append((data, to_server, server))
                break  # the client gives up, since it is cut off
            to_server.write(data)
            await to_server.drain()
        else:
            to_server.close()
        to_client.close()

    async def _back(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while data := await server.read(65_536):
            to_client.write(data)
            await to_client.drain()
