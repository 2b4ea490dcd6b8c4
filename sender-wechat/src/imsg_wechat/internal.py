"""What the gateway asks of us: followers listed, tags renewed and revoked, codes made and confirmed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.observe import logger
from imsg_runtime.responses import Answer, ok, refuse_with
from imsg_runtime.service_client import Internal
from imsg_wechat.api import Api
from imsg_wechat.bindings import LIFE_S, Binding, Bindings
from imsg_wechat.codes import Complaint
from imsg_wechat.followers import Followers
from imsg_wechat.store import Follower
from imsg_wechat.transport import Trouble

RETRY_AFTER_S = 3
MOST = 500

log = logger(__name__)


class BindingAsked(BaseModel):
    """POST /internal/bindings."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    account: str
    username: Annotated[str, Field(min_length=1, max_length=64)]
    user_id: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    followers: Followers
    bindings: Bindings
    apis: Mapping[str, Api]
    """By account."""
    now: Callable[[], float] = time.time


def add_routes(app: FastAPI, parts: Parts, internal: Internal) -> None:
    """Add the routes; every one wants the gateway's key."""
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    for routes in (_followers(parts), _bindings(parts)):
        app.include_router(routes, prefix="/internal", dependencies=[Depends(internal)], include_in_schema=False)


def _followers(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/followers")
    followers = parts.followers

    @routes.get("")
    async def page(
        account: str | None = None,
        tag: str | None = None,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    ) -> Response:
        """List followers in the order of their tags, or the one who has a tag."""
        if tag is not None:
            found = [one for one in (await followers.by_tags([tag])).values() if account in (None, one.account)]
            return Answer(ok(followers=[_describe(one) for one in found], next=None))
        found = await followers.page(account, after, limit + 1)
        following = found[limit - 1].tag if len(found) > limit else None
        return Answer(ok(followers=[_describe(one) for one in found[:limit]], next=following))

    @routes.post("/{tag}/renew")
    async def renew(tag: str) -> Response:
        """Give whoever has the tag another one, also where this is asked again."""
        follower = await followers.renew(tag, int(parts.now()))
        if follower is None:
            raise Refusal("not_found", what=tag[:32])
        log.info("tag_renewed", account=follower.account)
        return Answer(ok(**_describe(follower)))

    @routes.delete("/{tag}")
    async def revoke(tag: str) -> Response:
        """Take the tag from whoever has it."""
        retired = await followers.revoke(tag, int(parts.now()))
        if retired is None:
            raise Refusal("not_found", what=tag[:32])
        log.info("tag_revoked", account=retired.account)
        return Answer(ok(account=retired.account))

    return routes


def _bindings(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/bindings")
    bindings = parts.bindings

    async def find(name: str) -> Binding:
        binding = await bindings.find(name)
        if binding is None:
            raise Refusal("not_found", what=name[:32])
        return binding

    @routes.post("")
    async def make(asked: BindingAsked) -> Response:
        """Have WeChat make a code that a follower scans."""
        api = parts.apis.get(asked.account)
        if api is None:
            raise Refusal("no_such_account", account=asked.account[:64])
        binding = await bindings.make(asked.account, asked.username, asked.user_id)
        answer = await api.make_code(binding.scene, LIFE_S)
        if isinstance(answer, Complaint):
            raise Refusal("provider_refused", why=f"{answer.code} {answer.detail}")
        url = None if isinstance(answer, Trouble) else answer.get("url")
        if not isinstance(url, str) or not url:
            log.warning("code_not_made", account=asked.account, why=getattr(answer, "code", "no url"))
            raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
        return Answer(ok(url=url, **_show(binding, parts.now())))

    @routes.get("/{name}")
    async def show(name: str) -> Response:
        """Say how far a code is, and who has scanned it."""
        return Answer(ok(**_show(await find(name), parts.now())))

    @routes.post("/{name}/confirmed")
    async def note_confirmed(name: str) -> Response:
        """Note that the user has the contact now."""
        return Answer(ok(**_show(await bindings.confirm(await find(name)), parts.now())))

    return routes


def _describe(follower: Follower) -> dict[str, Any]:
    return {
        "account": follower.account,
        "tag": follower.tag,
        "following": follower.following,
        "since": _write_time(follower.since),
    }


def _show(binding: Binding, now: float) -> dict[str, Any]:
    return {
        "id": binding.id,
        "account": binding.account,
        "username": binding.username,
        "user_id": binding.user_id,
        "state": binding.state_at(now),
        "tag": binding.tag,
        "expires_at": _write_time(binding.expires_at),
    }


def _write_time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("unavailable", error=str(error))
    return refuse_with(Refusal("unavailable", retry_after_s=RETRY_AFTER_S), request.headers.get("accept-language", ""))
