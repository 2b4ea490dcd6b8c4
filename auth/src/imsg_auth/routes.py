"""HTTP: the public URLs that the gateway relays here, and two for services alone."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import AfterValidator, BaseModel, WithJsonSchema
from starlette.responses import Response

from imsg_auth import usernames
from imsg_auth.openapi import refusals
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
from imsg_auth.users import Users
from imsg_channels import METHODS
from imsg_contract.errors import Refusal
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.api_responses import speak
from imsg_runtime.observe import logger
from imsg_runtime.quota import Quota
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.responses import Answer, refuse_with, tell, wrong
from imsg_runtime.service_client import Caller, Internal

log = logger(__name__)

PROVIDER_NAME = re.compile(r"[\w.-]{1,64}")
"""Of settings: a mail server's, an account's, a robot's."""

ADDRESS_HEADER = "x-imsg-address"
TOKEN_HEADER = "x-imsg-token"  # noqa: S105  a header's name
PAGE = 50
MAX_PAGE = 500
RETRY_AFTER_S = 3
SEARCH = {"type": "string", "pattern": r"^[^\u0000]*$", "description": "Part of a name or contact."}
CURSOR = {
    "type": "string",
    "pattern": "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$",
    "description": "`next` of the page before: base64.",
}
"""A query holds no null: what is left out is not given."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes speak to."""

    users: Users
    sessions: Sessions
    user_cache: UserCache
    tokens: Tokens
    quota: Quota
    switches: ProviderSwitches


def api(internal: Internal, parts: Parts) -> FastAPI:
    """Make auth's API. Every URL wants a service's key; who calls is what the gateway has verified."""

    def let_in(request: Request) -> None:
        request.state.caller = internal(request)

    app = FastAPI(
        title="iMSG auth",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        dependencies=[Depends(let_in)],
    )
    speak(app)
    for away in (DatabaseUnavailable, RedisUnavailable, RedisRefused):
        app.add_exception_handler(away, _unavailable)
    for routes in (_own(parts), _registration(parts), _administration(parts), _channels(parts), _services(parts)):
        app.include_router(routes)
    return app


def anybody(request: Request) -> Caller:
    """Give the user on whose behalf the gateway calls. Raises Refusal token_missing where it names none."""
    caller: Caller | None = request.state.caller
    if caller is None:
        raise Refusal("token_missing")
    return caller


def administrator(caller: Annotated[Caller, Depends(anybody)]) -> Caller:
    """Give the caller, who must be an administrator. Raises Refusal no_right."""
    if not caller.is_admin:
        raise Refusal("no_right")
    return caller


Anybody = Annotated[Caller, Depends(anybody)]
Administrator = Annotated[Caller, Depends(administrator)]


def _own(parts: Parts) -> APIRouter:
    """Route what users do for themselves."""
    routes = APIRouter()
    sessions = parts.sessions

    @routes.post(
        "/api/login",
        response_model=TokenAnswer,
        responses=refusals("no_such_user", "wrong_password", "too_many_tries", body=True),
    )
    async def login(asked: Login, request: Request) -> Response:
        issued = await sessions.log_in(asked.username, asked.password, _address(request))
        return _answer_token(issued)

    @routes.post("/api/logout", response_model=Answered, responses=refusals(body=True, token=True))
    async def logout(caller: Anybody, asked: Logout, request: Request) -> Response:
        with _void_missing():
            if asked.everywhere:
                await sessions.log_out_everywhere(caller)
            else:
                await sessions.log_out(caller, request.headers.get(TOKEN_HEADER, ""))
        return _answer(Answered())

    @routes.post(
        "/api/password",
        response_model=TokenAnswer,
        responses=refusals("wrong_password", "too_many_tries", body=True, token=True),
    )
    async def password(caller: Anybody, asked: PasswordChange, request: Request) -> Response:
        with _void_missing():
            issued = await sessions.change_password(caller, asked.old, asked.new, _address(request))
        return _answer_token(issued)

    @routes.get("/api/me", response_model=UserAnswer, responses=refusals(token=True))
    async def me(caller: Anybody) -> Response:
        with _void_missing():
            user = await parts.users.find(caller.username, caller.user_id)
        return _answer(UserAnswer(**(await _record(parts.quota, user)).model_dump()))

    return routes


def _registration(parts: Parts) -> APIRouter:
    """Route what administrators add, and what of v1 changes it."""
    routes = APIRouter()
    users = parts.users

    @routes.post(
        "/api/register",
        response_model=Answered,
        responses=refusals("username_taken", "contact_taken", body=True, administrator=True),
    )
    async def register(caller: Administrator, asked: Registration) -> Response:
        await users.register(caller, asked)
        return _answer(Answered())

    @routes.post(
        "/api/modify/{username}",
        response_model=Answered,
        responses=refusals("no_such_user", body=True, administrator=True),
    )
    async def modify(caller: Administrator, username: str, asked: Modification) -> Response:
        await users.modify(caller, username, asked)
        return _answer(Answered())

    return routes


def _administration(parts: Parts) -> APIRouter:
    """Route what administrators do with the users there are."""
    routes = APIRouter()
    users, quota = parts.users, parts.quota

    async def show(user: User) -> Response:
        record = await _record(quota, user, await users.twins([user]))
        return _answer(UserAnswer(**record.model_dump()))

    @routes.get("/api/users", response_model=UsersAnswer, responses=refusals("wrong_type", administrator=True))
    async def page(
        _: Administrator,
        search: Annotated[str | None, Query(), AfterValidator(_plain), WithJsonSchema(SEARCH)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
        cursor: Annotated[str | None, Query(), AfterValidator(_cursor), WithJsonSchema(CURSOR)] = None,
    ) -> Response:
        found, has_more = await users.page(cursor, search, limit)
        twins = await users.twins(found)
        records = [await _record(quota, user, twins) for user in found]
        following = base64.urlsafe_b64encode(found[-1].username.encode()).decode() if has_more else None
        return _answer(UsersAnswer(users=records, next=following))

    @routes.get(
        "/api/users/{username}",
        response_model=UserAnswer,
        responses=refusals("no_such_user", administrator=True),
    )
    async def one(_: Administrator, username: str) -> Response:
        return await show(await users.find(username))

    @routes.patch(
        "/api/users/{username}",
        response_model=UserAnswer,
        responses=refusals("no_such_user", "contact_taken", "last_administrator", body=True, administrator=True),
    )
    async def patch(caller: Administrator, username: str, asked: Patch) -> Response:
        changed = await users.change(caller, username, asked)
        return await show(changed)

    @routes.delete(
        "/api/users/{username}",
        response_model=Answered,
        responses=refusals("no_such_user", "last_administrator", administrator=True),
    )
    async def remove(caller: Administrator, username: str) -> Response:
        await users.remove(caller, username)
        return _answer(Answered())

    return routes


def _channels(parts: Parts) -> APIRouter:
    """Route what administrators do with the channels' providers; which there are the gateway knows."""
    routes = APIRouter()

    @routes.patch(
        "/api/channels/{method}/providers/{name}",
        response_model=SwitchAnswer,
        responses=refusals("missing", "not_found", body=True, administrator=True),
    )
    async def switch(
        caller: Administrator,
        method: Annotated[str, WithJsonSchema({"type": "string", "enum": [*METHODS]})],
        name: Annotated[str, WithJsonSchema({"type": "string"})],
        asked: SwitchAsked,
    ) -> Response:
        if method not in METHODS or not PROVIDER_NAME.fullmatch(name):
            raise Refusal("not_found", what=f"{method}/{name}"[:80])
        values = asked.model_dump(exclude_none=True)
        if not values:
            raise Refusal("missing", field="enabled")
        return _answer(SwitchAnswer(**asdict(await parts.switches.change(caller, method, name, values))))

    return routes


def _services(parts: Parts) -> APIRouter:
    """Route what only services ask; in no edge's table of paths."""
    routes = APIRouter(prefix="/internal", include_in_schema=False)

    @routes.post("/mirror")
    async def write_copy(asked: UserCacheRequest) -> Response:
        # Anybody can have this asked, with a token made up: nothing is locked before the token is known to be ours.
        user = await parts.user_cache.find(asked.username) if usernames.can_be(asked.username) else None
        if user is not None and asked.token is not None and not parts.tokens.has_made(asked.token, user):
            raise Refusal("token_invalid")
        if user is None or not await parts.user_cache.write(asked.username):
            raise Refusal("no_such_user", username=asked.username[:80])
        return _answer(Answered())

    @routes.post("/contacts")
    async def contacts(asked: ContactsAsked) -> Response:
        return _answer(ContactsAnswer(contacts=await parts.users.contacts(asked.method, asked.names)))

    @routes.post("/holders")
    async def holders(asked: HoldersAsked) -> Response:
        return _answer(HoldersAnswer(usernames=await parts.users.holders(asked.method, asked.address)))

    @routes.post("/usernames")
    async def names(asked: UsernamesAsked) -> Response:
        return _answer(UsernamesAnswer(usernames=await parts.users.usernames(asked.method, asked.addresses)))

    @routes.put("/events")
    async def events(asked: EventsAsked) -> Response:
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


def _plain(text: str | None) -> str | None:
    return None if text is None else usernames.storable(text)


def _cursor(text: str | None) -> str | None:
    """Read the name after which a page begins."""
    if text is None:
        return None
    try:
        return usernames.storable(base64.b64decode(text, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise wrong("应为上一页回答中的 next", "it must be `next` of the page before") from error


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("unavailable", error=str(error))
    refusal = Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    return refuse_with(refusal, request.headers.get("accept-language", ""))
