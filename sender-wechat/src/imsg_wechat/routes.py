"""The internal routes of sender-wechat: list followers, renew and revoke tags, make and confirm binding codes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from imsg_contract.errors import Refusal
from imsg_runtime.logs import logger
from imsg_web.app import RETRY_AFTER_S, find_parts
from imsg_web.authorization import InternalRoute
from imsg_web.request_models import RequestModel
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time
from imsg_wechat.api import Api
from imsg_wechat.bindings import LIFE_S, Binding, Bindings
from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.followers import Followers
from imsg_wechat.store import Follower
from imsg_wechat.transport import CallFailure

MAX_SHOWN = 32
"""The characters of an unknown tag or code that an error quotes."""

log = logger(__name__)


class FollowersQuery(BaseModel):
    """The query of GET /internal/followers."""

    model_config = ConfigDict(frozen=True)

    account: str | None = None
    tag: str | None = None
    after: str = ""
    limit: PageLimit = 50


class NewBinding(RequestModel):
    """The body of POST /internal/bindings."""

    account: str
    username: Annotated[str, Field(min_length=1, max_length=64)]
    user_id: str


class FollowerShape(AnswerPart):
    """One follower."""

    account: str
    tag: str
    following: bool
    since: Time


class FollowerAnswer(FollowerShape, Success):
    """One follower."""


class FollowersAnswer(Success):
    """A page of followers; `next` is the cursor of the next page."""

    followers: list[FollowerShape]
    next: str | None


class RevokedAnswer(Success):
    """The account of a revoked tag."""

    account: str


class BindingAnswer(Success):
    """A code that a follower scans to become a user's contact."""

    id: str
    account: str
    username: str
    user_id: str
    state: str
    tag: str | None
    expires_at: Time


class NewBindingAnswer(BindingAnswer):
    """A new code."""

    url: str


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The parts of the service that the routes call."""

    followers: Followers
    bindings: Bindings
    apis: Mapping[str, Api]
    """By account."""
    now: Callable[[], float] = field(default=time.time)


WechatServices = Annotated[RouteServices, Depends(find_parts)]

router = APIRouter(prefix="/internal", route_class=InternalRoute, include_in_schema=False)


@router.get("/followers")
async def list_followers(query: Annotated[FollowersQuery, Query()], services: WechatServices) -> FollowersAnswer:
    """List followers in the order of their tags, or the one who has a tag."""
    if query.tag is not None:
        known = (await services.followers.find_by_tags([query.tag])).values()
        followers = [follower for follower in known if query.account in (None, follower.account)]
        return FollowersAnswer(followers=[_describe(follower) for follower in followers], next=None)
    rows = await services.followers.list_page(query.account, query.after, query.limit + 1)
    cursor = rows[query.limit - 1].tag if len(rows) > query.limit else None
    return FollowersAnswer(followers=[_describe(follower) for follower in rows[: query.limit]], next=cursor)


@router.post("/followers/{tag}/renew")
async def renew_tag(tag: str, services: WechatServices) -> FollowerAnswer:
    """Give a follower another tag; a repeat returns the same one."""
    follower = await services.followers.renew(tag, int(services.now()))
    if follower is None:
        raise Refusal("not_found", what=tag[:MAX_SHOWN])
    log.info("tag_renewed", account=follower.account)
    return FollowerAnswer(**_describe(follower).model_dump())


@router.delete("/followers/{tag}")
async def revoke_tag(tag: str, services: WechatServices) -> RevokedAnswer:
    """Revoke the tag of a follower."""
    retired = await services.followers.revoke(tag, int(services.now()))
    if retired is None:
        raise Refusal("not_found", what=tag[:MAX_SHOWN])
    log.info("tag_revoked", account=retired.account)
    return RevokedAnswer(account=retired.account)


@router.post("/bindings")
async def make_binding(body: NewBinding, services: WechatServices) -> NewBindingAnswer:
    """Make a binding code at WeChat, for a follower to scan."""
    api = services.apis.get(body.account)
    if api is None:
        raise Refusal("no_such_account", account=body.account[:64])
    binding = await services.bindings.make(body.account, body.username, body.user_id)
    answer = await api.make_qr_code(binding.scene, LIFE_S)
    if isinstance(answer, ErrorAnswer):
        raise Refusal("provider_refused", why=f"{answer.code} {answer.detail}")
    url = None if isinstance(answer, CallFailure) else answer.get("url")
    if not isinstance(url, str) or not url:
        log.warning("code_not_made", account=body.account, why=getattr(answer, "code", "no url"))
        raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    return NewBindingAnswer(url=url, **_show(binding, services.now()).model_dump())


@router.get("/bindings/{name}")
async def show_binding(name: str, services: WechatServices) -> BindingAnswer:
    """Return the state of a code, and the tag of the follower who scanned it."""
    return _show(await _find_binding(services, name), services.now())


@router.post("/bindings/{name}/confirmed")
async def confirm_binding(name: str, services: WechatServices) -> BindingAnswer:
    """Record that the user confirmed the contact."""
    return _show(await services.bindings.confirm(await _find_binding(services, name)), services.now())


async def _find_binding(services: RouteServices, name: str) -> Binding:
    binding = await services.bindings.find(name)
    if binding is None:
        raise Refusal("not_found", what=name[:MAX_SHOWN])
    return binding


def _describe(follower: Follower) -> FollowerShape:
    return FollowerShape(
        account=follower.account, tag=follower.tag, following=follower.following, since=_read_time(follower.since)
    )


def _show(binding: Binding, now: float) -> BindingAnswer:
    return BindingAnswer(
        id=binding.id,
        account=binding.account,
        username=binding.username,
        user_id=binding.user_id,
        state=binding.state_at(now),
        tag=binding.tag,
        expires_at=_read_time(binding.expires_at),
    )


def _read_time(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
