"""HTTP: the public URLs that the gateway relays here, and two for services alone."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from imsg_auth import usernames
from imsg_auth.provider_switches import ProviderSwitches
from imsg_auth.schemas import (
    Answered,
    ContactsAnswer,
    ContactsAsked,
    EventsAsked,
    HoldersAnswer,
    HoldersAsked,
    Login,
    Logout,
    Modification,
    PasswordChange,
    Patch,
    Registration,
    SwitchAnswer,
    SwitchAsked,
    TokenAnswer,
    UserAnswer,
    UserCacheRequest,
    UsernamesAnswer,
    UsernamesAsked,
    UserRecord,
    UsersAnswer,
    rfc3339,
)
from imsg_auth.sessions import Sessions
from imsg_auth.store import User
from imsg_auth.tokens import Issued, Tokens
from imsg_auth.user_cache import UserCache
from imsg_auth.users import MAX_PAGE, PAGE, Users
from imsg_channels import METHODS
from imsg_contract.errors import Refusal
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.callers import Caller, Internal
from imsg_runtime.internal_api import Call, Routes, admit_service, make_api, read_number
from imsg_runtime.quota import Quota
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.responses import Answer, tell, wrong, wrong_field

PROVIDER_NAME = re.compile(r"[\w.-]{1,64}")
"""Of settings: a mail server's, an account's, a robot's."""

ADDRESS_HEADER = "x-imsg-address"
TOKEN_HEADER = "x-imsg-token"  # noqa: S105  a header's name


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes speak to."""

    users: Users
    sessions: Sessions
    user_cache: UserCache
    tokens: Tokens
    quota: Quota
    switches: ProviderSwitches


def api(internal: Internal, parts: Parts) -> ASGIApp:
    """Make auth's API."""
    groups = (
        _entrance(parts),
        _own(parts),
        _registration(parts),
        _administration(parts),
        _channels(parts),
        _services(parts),
    )
    return make_api(internal, groups, (DatabaseUnavailable, RedisUnavailable, RedisRefused), _describe)


def _describe() -> Mapping[str, Any]:
    from imsg_auth.openapi import document  # noqa: PLC0415  only a reader wants it

    return document()


def admit_anybody(caller: Caller | None) -> Caller:
    """Let in whoever has shown a token. Raises Refusal token_missing."""
    if caller is None:
        raise Refusal("token_missing")
    return caller


def admit_administrators(caller: Caller | None) -> Caller:
    """Let in administrators. Raises Refusal token_missing, no_right."""
    known = admit_anybody(caller)
    if not known.is_admin:
        raise Refusal("no_right")
    return known


def _entrance(parts: Parts) -> Routes[Caller | None]:
    """Route how somebody gets a token."""
    routes = Routes(admit_service)

    @routes.take("POST", "/api/login", Login)
    async def login(call: Call[Caller | None], asked: Login) -> Response:
        return _answer_token(await parts.sessions.log_in(asked.username, asked.password, _address(call.request)))

    return routes


def _own(parts: Parts) -> Routes[Caller]:
    """Route what users do for themselves."""
    routes = Routes(admit_anybody)
    sessions = parts.sessions

    @routes.take("POST", "/api/logout", Logout)
    async def logout(call: Call[Caller], asked: Logout) -> Response:
        with _void_missing():
            if asked.everywhere:
                await sessions.log_out_everywhere(call.who)
            else:
                await sessions.log_out(call.who, call.request.headers.get(TOKEN_HEADER, ""))
        return _answer(Answered())

    @routes.take("POST", "/api/password", PasswordChange)
    async def password(call: Call[Caller], asked: PasswordChange) -> Response:
        with _void_missing():
            issued = await sessions.change_password(call.who, asked.old, asked.new, _address(call.request))
        return _answer_token(issued)

    @routes.get("/api/me")
    async def me(call: Call[Caller]) -> Response:
        with _void_missing():
            user = await parts.users.find(call.who.username, call.who.user_id)
        return _answer(UserAnswer(**(await _record(parts.quota, user)).model_dump()))

    return routes


def _registration(parts: Parts) -> Routes[Caller]:
    """Route what administrators add, and what of v1 changes it."""
    routes = Routes(admit_administrators)
    users = parts.users

    @routes.take("POST", "/api/register", Registration)
    async def register(call: Call[Caller], asked: Registration) -> Response:
        await users.register(call.who, asked)
        return _answer(Answered())

    @routes.take("POST", "/api/modify/{username}", Modification)
    async def modify(call: Call[Caller], asked: Modification) -> Response:
        await users.modify(call.who, call.name("username"), asked)
        return _answer(Answered())

    return routes


def _administration(parts: Parts) -> Routes[Caller]:
    """Route what administrators do with the users there are."""
    routes = Routes(admit_administrators)
    users, quota = parts.users, parts.quota

    async def show(user: User) -> Response:
        record = await _record(quota, user, await users.twins([user]))
        return _answer(UserAnswer(**record.model_dump()))

    @routes.get("/api/users")
    async def page(call: Call[Caller]) -> Response:
        search, cursor = _read(call.query, "search", usernames.storable), _read(call.query, "cursor", _read_cursor)
        limit = read_number(call.query, "limit", PAGE, 1, MAX_PAGE)
        found, has_more = await users.page(cursor, search, limit)
        twins = await users.twins(found)
        records = [await _record(quota, user, twins) for user in found]
        following = base64.urlsafe_b64encode(found[-1].username.encode()).decode() if has_more else None
        return _answer(UsersAnswer(users=records, next=following))

    @routes.get("/api/users/{username}")
    async def one(call: Call[Caller]) -> Response:
        return await show(await users.find(call.name("username")))

    @routes.take("PATCH", "/api/users/{username}", Patch)
    async def patch(call: Call[Caller], asked: Patch) -> Response:
        changed = await users.change(call.who, call.name("username"), asked)
        return await show(changed)

    @routes.delete("/api/users/{username}")
    async def remove(call: Call[Caller]) -> Response:
        await users.remove(call.who, call.name("username"))
        return _answer(Answered())

    return routes


def _channels(parts: Parts) -> Routes[Caller]:
    """Route what administrators do with the channels' providers; which there are the gateway knows."""
    routes = Routes(admit_administrators)

    @routes.take("PATCH", "/api/channels/{method}/providers/{name}", SwitchAsked)
    async def switch(call: Call[Caller], asked: SwitchAsked) -> Response:
        method, name = call.name("method"), call.name("name")
        if method not in METHODS or not PROVIDER_NAME.fullmatch(name):
            raise Refusal("not_found", what=f"{method}/{name}"[:80])
        values = asked.model_dump(exclude_none=True)
        if not values:
            raise Refusal("missing", field="enabled")
        return _answer(SwitchAnswer(**asdict(await parts.switches.change(call.who, method, name, values))))

    return routes


def _services(parts: Parts) -> Routes[Caller | None]:
    """Route what only services ask; in no edge's table of paths."""
    routes = Routes(admit_service, "/internal")

    @routes.take("POST", "/mirror", UserCacheRequest)
    async def write_copy(_: Call[Caller | None], asked: UserCacheRequest) -> Response:
        # Anybody can have this asked, with a token made up: nothing is locked before the token is known to be ours.
        user = await parts.user_cache.find(asked.username) if usernames.can_be(asked.username) else None
        if user is not None and asked.token is not None and not parts.tokens.has_made(asked.token, user):
            raise Refusal("token_invalid")
        if user is None or not await parts.user_cache.write(asked.username):
            raise Refusal("no_such_user", username=asked.username[:80])
        return _answer(Answered())

    @routes.take("POST", "/contacts", ContactsAsked)
    async def contacts(_: Call[Caller | None], asked: ContactsAsked) -> Response:
        return _answer(ContactsAnswer(contacts=await parts.users.contacts(asked.method, asked.names)))

    @routes.take("POST", "/holders", HoldersAsked)
    async def holders(_: Call[Caller | None], asked: HoldersAsked) -> Response:
        return _answer(HoldersAnswer(usernames=await parts.users.holders(asked.method, asked.address)))

    @routes.take("POST", "/usernames", UsernamesAsked)
    async def names(_: Call[Caller | None], asked: UsernamesAsked) -> Response:
        return _answer(UsernamesAnswer(usernames=await parts.users.usernames(asked.method, asked.addresses)))

    @routes.take("PUT", "/events", EventsAsked)
    async def events(_: Call[Caller | None], asked: EventsAsked) -> Response:
        await parts.users.set_events(asked.username, asked.user_id, asked.events)
        return _answer(Answered())

    return routes


@contextmanager
def _void_missing() -> Iterator[None]:
    """Turn the caller's own absence into a void token: the user was removed after the gateway had judged it."""
    try:
        yield
    except Refusal as refusal:
        if refusal.reason != "no_such_user":
            raise
        raise Refusal("token_invalid") from refusal


async def _record(quota: Quota, user: User, twins: Mapping[str, list[str]] = MappingProxyType({})) -> UserRecord:
    used = await quota.read_used(user.username, user.id)
    return UserRecord(
        id=user.id,
        username=user.username,
        role=user.role,
        phone=user.phone,
        email=user.email,
        wechat=user.wechat,
        available=user.available,
        per_hour=user.per_hour,
        per_day=user.per_day,
        recipients_per_day=user.recipients_per_day,
        may_send_codes=user.may_send_codes,
        senders="all" if user.senders is None else [name for name in user.senders.split(",") if name],
        used_hour=used.hour,
        left_hour=max(0, user.per_hour - used.hour),
        used_day=used.day,
        left_day=max(0, user.per_day - used.day),
        used_recipients=used.recipients,
        created_at=rfc3339(user.created_at),
        twins=twins.get(user.username, []),
    )


def _answer(model: BaseModel) -> Answer:
    return Answer(model.model_dump(mode="json"))


def _answer_token(issued: Issued) -> Answer:
    content = TokenAnswer(token=issued.token, expires_in=issued.expires_in).model_dump(mode="json")
    return Answer(content, headers=tell(content))


def _address(request: Request) -> str:
    """Name the client as the gateway saw it."""
    return request.headers.get(ADDRESS_HEADER, "")


def _read(query: QueryParams, name: str, read: Callable[[str], str]) -> str | None:
    """Read a field of a query. Raises Refusal wrong_type."""
    text = query.get(name)
    try:
        return None if text is None else read(text)
    except PydanticCustomError as error:
        problem = {"loc": (name,), "type": error.type, "ctx": error.context or {}, "msg": error.message()}
        raise wrong_field(problem) from error


def _read_cursor(text: str) -> str:
    """Read the name after which a page begins. Raises PydanticCustomError."""
    try:
        return usernames.storable(base64.b64decode(text, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise wrong("应为上一页回答中的 next", "it must be `next` of the page before") from error
