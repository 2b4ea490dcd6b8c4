"""The gateway on a real Valkey and broker, with doubles of auth and history."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_broker.port import Broker, Delivery
from imsg_contract import api_keys, tokens
from imsg_contract.api_keys import CachedKey, key_field
from imsg_contract.ids import new_id
from imsg_contract.topology import QUOTAS_OF_ALL, Lane, user_key
from imsg_contract.wire import Job
from imsg_gateway.main import Settings, app
from imsg_limits.quota import QuotaRow
from imsg_runtime import redis
from imsg_runtime.redis import Redis
from imsg_testing.api_versions import in_v2
from imsg_testing.callers import id_of
from imsg_testing.quiet_zone import find_quiet_zone
from imsg_testing.quota import encode_limits
from imsg_testing.service import Service as ServiceProcess
from imsg_testing.waiting import eventually
from imsg_web.service import Service

KEY = SecretStr("the token key of the tests of the gateway")
SERVICE_KEY = SecretStr("the service key of the tests of the gateway")
ANSWER_BOUND_S = 30.0

ME: Mapping[str, Any] = {
    "role": "user",
    "available": True,
    "may_send_codes": False,
    "senders": None,
    "sms_countries": ["*"],
    "quotas": [
        {
            "id": "per_hour",
            "counts": "requests",
            "per": "hour",
            "method": None,
            "limit": 5,
            "scope": "user",
            "used": 1,
            "left": 4,
            "opens_at": "2026-11-26T03:00:00.000Z",
        }
    ],
}
"""What of auth's answer to GET /api/me a check reads."""


@dataclass
class User:
    """What auth knows of a user."""

    role: str = "user"
    epoch: int = 1
    available: bool = True
    per_hour: int = 100
    per_day: int = 1_000
    recipients_per_day: str = ""
    rows: tuple[QuotaRow, ...] = ()
    """Quotas beside these."""
    id: str = ""
    """Empty: the one that goes with the name."""
    since: float = 0.0
    contacts: dict[str, str] = field(default_factory=dict)
    may_send_codes: str = "0"
    senders: str = "*"
    sms_countries: str = "*"
    default_category: str = "notice"
    department: str = ""
    keys: dict[str, CachedKey] = field(default_factory=dict)
    """Text → key."""

    async def write(self, store: Redis, name: str) -> None:
        """Write the user into the cache."""
        cached: dict[str, str | int] = {
            "epoch": self.epoch,
            "role": self.role,
            "available": int(self.available),
            "quotas": encode_limits(
                self.per_hour,
                self.per_day,
                int(self.recipients_per_day) if self.recipients_per_day else None,
                *self.rows,
            ),
            "may_send_codes": self.may_send_codes,
            "senders": self.senders,
            "sms_countries": self.sms_countries,
            "default_category": self.default_category,
            "department": self.department,
            "id": self.id or id_of(name),
            "since": int(self.since * 1_000),
            **{key_field(digest_of(text)): key.model_dump_json() for text, key in self.keys.items()},
        }
        await store.call("DEL", user_key(name))
        await store.call("HSET", user_key(name), *(part for field in cached.items() for part in field))
        await store.call("SET", QUOTAS_OF_ALL, "", "NX")


def digest_of(text: str) -> str:
    """Return the digest of a key."""
    key = api_keys.parse(text)
    assert key is not None
    return key.digest


def token_of(name: str, *, user_id: str = "", epoch: int = 1, lasts_s: int = 3_600, nonce: str = "0" * 32) -> str:
    """Make a token as auth does."""
    return tokens.make(name, user_id or id_of(name), epoch, expiry=int(time.time()) + lasts_s, nonce=nonce, key=KEY)


@dataclass
class Relayed:
    """One call that reached a stand-in."""

    verb: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Auth:
    """Auth by its contract: the user cache, contacts, and whatever is relayed to it."""

    def __init__(self, store: Redis) -> None:
        self.users: dict[str, User] = {}
        self.relayed: list[Relayed] = []
        self.cached: list[str] = []
        self.tokens: list[str | None] = []
        self.refuses_tokens = False
        self.answer: Response = JSONResponse({"errorCode": 0, "errorMessage": "OK"})
        self.is_broken = False
        self.key_uses: list[Mapping[str, Any]] = []
        self._store = store
        self.app: ASGIApp = Starlette(
            routes=[
                Route("/internal/user-cache", self._cache, methods=["POST"]),
                Route("/internal/keys/find", self._find_key, methods=["POST"]),
                Route("/internal/keys/used", self._record_uses, methods=["POST"]),
                Route("/internal/contacts", self._contacts, methods=["POST"]),
                Route("/{path:path}", self._relay, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            ]
        )

    async def _cache(self, request: Request) -> Response:
        body = await request.json()
        username = body["username"]
        self.cached.append(username)
        self.tokens.append(body.get("token"))
        if self.refuses_tokens:
            return JSONResponse({"errorCode": 10005, "reason": "token_invalid"}, 401)
        if self.is_broken:
            return JSONResponse({}, 503)
        if username not in self.users:
            return JSONResponse({"errorCode": 10006, "reason": "no_such_user"}, 404)
        await self.write(username)
        return JSONResponse({"errorCode": 0})

    async def _find_key(self, request: Request) -> Response:
        body = await request.json()
        for username, user in self.users.items():
            if body["digest"] in map(digest_of, user.keys) and body["user_id"] == (user.id or id_of(username)):
                await self.write(username)
                return JSONResponse({"errorCode": 0, "username": username})
        return JSONResponse({"errorCode": 10005, "reason": "token_invalid"}, 401)

    async def _record_uses(self, request: Request) -> Response:
        self.key_uses += (await request.json())["uses"]
        return JSONResponse({"errorCode": 0})

    async def write(self, username: str) -> None:
        """Write a user into the cache."""
        await self.users[username].write(self._store, username)

    async def _contacts(self, request: Request) -> Response:
        body = await request.json()
        if self.is_broken:
            return JSONResponse({}, 503)
        known = {name: self.users[name].contacts.get(body["method"]) for name in body["names"] if name in self.users}
        return JSONResponse({"contacts": known})

    async def _relay(self, request: Request) -> Response:
        self.relayed.append(await _read_relayed(request))
        return self.answer


class History:
    """History by its contract: attachments, what to send again, and whatever is relayed to it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.relayed: list[Relayed] = []
        self.answer: Response = JSONResponse({"errorCode": 0, "errorMessage": "OK", "messages": [], "next": None})
        self.resend: Response = JSONResponse({"errorCode": 10016, "reason": "not_found"}, 404)
        self.is_broken = False
        self.hangs = False
        self.app: ASGIApp = Starlette(
            routes=[
                Route("/internal/attachments/{request}/{digest}", self._store_attachment, methods=["PUT"]),
                Route("/internal/attachments/{request}/{digest}", self._get, methods=["GET"]),
                Route("/internal/resend/{identity}", self._resend, methods=["GET"]),
                Route("/internal/dead/{identity}", self._resend, methods=["GET"]),
                Route("/{path:path}", self._relay, methods=["GET", "POST", "DELETE"]),
            ]
        )

    def report_nothing(self) -> None:
        """Answer what history answers of counts and dead letters where nothing waits."""
        self.answer = JSONResponse({"errorCode": 0, "errorMessage": "OK", "buckets": [], "dead": [], "next": None})

    async def _store_attachment(self, request: Request) -> Response:
        if self.is_broken:
            return JSONResponse({}, 503)
        names = request.path_params
        self.kept[names["request"], names["digest"]] = await request.body()
        return JSONResponse({"errorCode": 0})

    async def _get(self, request: Request) -> Response:
        names = request.path_params
        data = self.kept.get((names["request"], names["digest"]))
        return JSONResponse({"errorCode": 10016}, 404) if data is None else Response(data)

    async def _resend(self, request: Request) -> Response:
        self.relayed.append(await _read_relayed(request))
        return self.resend

    async def _relay(self, request: Request) -> Response:
        self.relayed.append(await _read_relayed(request))
        if self.hangs:
            await asyncio.Event().wait()
        return self.answer


class Owner:
    """Another owner by its contract: whatever is relayed to it, and a document that describes nothing."""

    def __init__(self) -> None:
        self.relayed: list[Relayed] = []
        self.answer: Response = JSONResponse(
            {"errorCode": 0, "errorMessage": "OK", "paths": {}, "components": {"schemas": {}}}
        )
        self.app: ASGIApp = Starlette(
            routes=[Route("/{path:path}", self._relay, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]
        )

    async def _relay(self, request: Request) -> Response:
        self.relayed.append(await _read_relayed(request))
        return self.answer


async def _read_relayed(request: Request) -> Relayed:
    path = request.scope["raw_path"].decode("ascii")
    return Relayed(request.method, path, request.url.query, dict(request.headers), await request.body())


@dataclass
class RunningGateway:
    """A running gateway and everything around it."""

    service: Service
    client: httpx.AsyncClient
    auth: Auth
    history: History
    catalog: Owner
    scheduler: Owner
    callbacks: Owner
    wechat: Owner
    redis: Redis
    broker: Broker
    is_v2: bool

    def url(self, path: str) -> str:
        """Return where this version has a documented URL."""
        return in_v2(path) if self.is_v2 else path

    async def ready(self) -> None:
        """Return when the gateway is ready."""

        async def is_ready() -> bool:
            return not self.service.unmet()

        await eventually(is_ready)

    async def user(self, name: str = "zhang", **traits: Any) -> str:  # noqa: ANN401  fields of User
        """Make a user, cached, and return a token for it."""
        self.auth.users[name] = user = User(**traits)
        await self.redis.call("DEL", user_key(name))
        await self.auth.write(name)
        return token_of(name, user_id=user.id, epoch=user.epoch)

    async def key(self, owner: str = "zhang", **traits: Any) -> str:  # noqa: ANN401  fields of CachedKey
        """Add a key of a user, by default one that may send mail and query, and return it."""
        user = self.auth.users[owner]
        text = api_keys.make("live", user.id or id_of(owner))
        sound = {
            "id": new_id(),
            "name": "library system",
            "kind": "live",
            "scopes": ("send:smtp", "query"),
            "networks": (),
            "expires_at": None,
        }
        user.keys[text] = CachedKey.model_validate({**sound, **traits})
        await self.auth.write(owner)
        return text

    async def change_key(self, text: str, name: str = "zhang", **traits: Any) -> None:  # noqa: ANN401
        """Change a key."""
        keys = self.auth.users[name].keys
        keys[text] = keys[text].model_copy(update=traits)
        await self.auth.write(name)

    async def end_key(self, text: str, name: str = "zhang") -> None:
        """End a key."""
        del self.auth.users[name].keys[text]
        await self.auth.write(name)

    def token(self, name: str, *, epoch: int = 1, lasts_s: int = 3_600, nonce: str = "0" * 32) -> str:
        """Make a token as auth does."""
        return token_of(name, epoch=epoch, lasts_s=lasts_s, nonce=nonce)

    async def send(self, **fields: Any) -> httpx.Response:  # noqa: ANN401  any JSON
        """Send a valid mail with these fields changed; `...` leaves a field out."""
        return await self.client.post(self.url("/api/send"), json=mail(**fields))

    async def jobs(self, count: int = 1, method: str = "smtp", lane: Lane = Lane.NORMAL) -> list[Job]:
        """Return the next `count` jobs of a channel's queue."""
        queue = self.broker.topology.queue(method, lane)
        taken: list[Job] = []
        async with self.broker.consume(queue, count) as deliveries:
            while len(taken) < count:
                delivery: Delivery = await anext(deliveries)
                taken.append(Job.model_validate_json(delivery.body))
                await self.broker.ack(delivery)
        return taken

    async def waiting(self, method: str = "smtp") -> int:
        """Count what waits for a channel."""
        topology = self.broker.topology
        return sum([await self.broker.depth(topology.queue(method, lane)) for lane in Lane])


def mail(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    """Return the fields of a valid mail with these changed; `...` leaves a field out."""
    sound = {"to": "li@example.com", "method": "smtp", "content": {"subject": "开会通知", "text": "下午两点半"}}
    return {name: value for name, value in {**sound, **fields}.items() if value is not ...}


async def call_past_httpx(
    gateway: RunningGateway, scope: dict[str, Any], headers: dict[bytes, bytes]
) -> httpx.Response:
    """Call the app past httpx, which would not write such a path."""
    got: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401  an ASGI message
        got.append(message)

    whole = {"type": "http", "headers": list(headers.items()), "client": None, "asgi": {"version": "3.0"}, **scope}
    await gateway.service(whole, receive, send)
    start, end = got
    return httpx.Response(start["status"], headers=start["headers"], content=end["body"])


@asynccontextmanager
async def run_gateway(
    store_url: str,
    *,
    is_first: bool = True,
    is_v2: bool = True,
    **given: Any,  # noqa: ANN401  a setting's
) -> AsyncIterator[RunningGateway]:
    """Run a gateway on a Redis, which it empties first unless `is_first` is false; `given` are settings."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(redis.connect(store_url))
        if is_first:
            await store.call("FLUSHDB")
        auth, history, catalog, scheduler = Auth(store), History(), Owner(), Owner()
        callbacks, wechat = Owner(), Owner()
        settings = Settings(
            **{
                "broker_url": store_url,
                "redis_url": store_url,
                "service_key": (SERVICE_KEY,),
                "token_key": (KEY,),
                "auth_url": "http://auth",
                "history_url": "http://history",
                "catalog_url": "http://catalog",
                "scheduler_url": "http://scheduler",
                "callbacks_url": "http://callbacks",
                "wechat_url": "http://wechat",
                "timezone": find_quiet_zone(),
                **given,
            }
        )
        apps = {"auth": auth.app, "history": history.app, "catalog": catalog.app, "callbacks": callbacks.app}
        apps |= {"wechat": wechat.app, "scheduler": scheduler.app}
        service = app(settings, apps)
        await stack.enter_async_context(service.running())
        broker = await stack.enter_async_context(open_broker(settings.broker_url))
        transport = httpx.ASGITransport(service)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=ANSWER_BOUND_S)
        )
        yield RunningGateway(
            service, client, auth, history, catalog, scheduler, callbacks, wechat, store, broker, is_v2
        )


@contextmanager
def process(store_url: str, folder: Path, **settings: str) -> Iterator[int]:
    """Run the gateway as a process, without auth and history; yield its port once it is ready."""
    own = {
        "IMSG_BROKER_URL": store_url,
        "IMSG_REDIS_URL": store_url,
        "IMSG_SERVICE_KEY": SERVICE_KEY.get_secret_value(),
        "IMSG_TOKEN_KEY": KEY.get_secret_value(),
        "IMSG_AUTH_URL": "http://127.0.0.1:9",
        "IMSG_HISTORY_URL": "http://127.0.0.1:9",
    }
    gateway = ServiceProcess("imsg_gateway", folder, {**own, **settings})
    try:
        gateway.start()
        yield gateway.port
    finally:
        gateway.process.kill()  # asked to end, it would be unready for seconds first
        gateway.process.close()
