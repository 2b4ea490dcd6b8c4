"""What administrators do with followers of the official accounts; the gateway relays these routes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Query

from imsg_contract import addresses, error_responses
from imsg_contract.errors import Refusal
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import logger
from imsg_web.app import RETRY_AFTER_S, find_services, make_internal_app
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.callers import CallerCheck
from imsg_web.schemas import describe_refusals
from imsg_web.service_client import ServiceFailed, ServiceUnavailable
from imsg_wechat import schemas
from imsg_wechat.api import Api
from imsg_wechat.audit import Audit
from imsg_wechat.bindings import LIFE_S, Binding, Bindings
from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.followers import Followers
from imsg_wechat.store import Follower
from imsg_wechat.transport import CallFailure
from imsg_wechat.users import Users

MAX_SHOWN = 32
"""Characters of an unknown tag or code that an answer repeats."""

MAX_CURSOR = 32

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The services that routes call."""

    followers: Followers
    bindings: Bindings
    apis: Mapping[str, Api]
    """By account."""
    users: Users
    audit: Audit
    now: Callable[[], float] = field(default=time.time)

    def find_api(self, account: str) -> Api:
        """Return the API of an account. Raises Refusal no_such_account."""
        api = self.apis.get(account)
        if api is None:
            raise Refusal("no_such_account", account=account[:64])
        return api


def make_api(services: RouteServices | None, internal: CallerCheck, hooks: APIRouter | None = None) -> FastAPI:
    """Make the API. `services` is None where no official account is configured."""
    routers = [router] if hooks is None else [router, hooks]
    app = make_internal_app(
        "iMSG sender-wechat", internal, routers, [DatabaseUnavailable, ServiceUnavailable, ServiceFailed]
    )
    app.state.services = services
    return app


OptionalServices = Annotated[RouteServices | None, Depends(find_services)]


async def require_services(services: OptionalServices) -> RouteServices:
    """Return what the routes call. Raises Refusal not_found where no official account is configured."""
    if services is None:
        raise Refusal("not_found", what="wechat")
    return services


WechatServices = Annotated[RouteServices, Depends(require_services)]
Tag = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9A-Za-z-]{9,32}$"})]

router = APIRouter(prefix="/api/followers", route_class=InternalRoute)


@router.get("", responses=describe_refusals("no_right", "wrong_type", "no_such_account", "no_such_user"))
async def list_followers(
    _: Reader, query: Annotated[schemas.FollowersQuery, Query()], services: OptionalServices
) -> schemas.FollowersAnswer:
    """List the followers of the official accounts."""
    if services is None:
        if query.account is not None:
            raise Refusal("no_such_account", account=query.account[:64])
        return schemas.FollowersAnswer(followers=[], next=None, accounts=[])
    if query.account is not None:
        services.find_api(query.account)
    followers, following = await _find_page(query, services)
    usernames = await services.users.find_usernames([follower.tag for follower in followers])
    return schemas.FollowersAnswer(
        followers=[_describe(follower, usernames.get(follower.tag)) for follower in followers],
        next=following,
        accounts=sorted(services.apis),
    )


@router.post(
    "/bind",
    responses=describe_refusals(
        "no_right", *error_responses.BODY, "no_such_account", "no_such_user", "provider_refused"
    ),
)
async def bind_follower(
    administrator: Administrator, body: schemas.NewBinding, services: OptionalServices
) -> schemas.NewBindingAnswer:
    """Make a QR code by which a follower becomes a user's contact."""
    if services is None:
        raise Refusal("no_such_account", account=body.account[:64])
    api = services.find_api(body.account)
    user = await services.users.find(body.username)
    binding = await services.bindings.make(body.account, user.username, user.id)
    answer = await api.make_qr_code(binding.scene, LIFE_S)
    if isinstance(answer, ErrorAnswer):
        raise Refusal("provider_refused", why=f"{answer.code} {answer.detail}")
    url = None if isinstance(answer, CallFailure) else answer.get("url")
    if not isinstance(url, str) or not url:
        log.warning("code_not_made", account=body.account, why=getattr(answer, "code", "no url"))
        raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    await services.audit.write(administrator, "binding_begun", user.username, body.account)
    return schemas.NewBindingAnswer(url=url, **_show(binding, services.now()).model_dump())


@router.get("/bind/{id}", responses=describe_refusals("no_right", "not_found"))
async def show_binding(_: Administrator, id: str, services: WechatServices) -> schemas.BindingAnswer:  # noqa: A002  its name in the path
    """Show whether a code was scanned, and by which follower."""
    return _show(await _find_binding(services, id), services.now())


@router.post(
    "/bind/{id}/confirm",
    responses=describe_refusals(
        "no_right", "not_found", "not_scanned", "code_expired", "no_such_user", "contact_taken"
    ),
)
async def confirm_binding(
    administrator: Administrator,
    id: str,  # noqa: A002  its name in the path
    services: WechatServices,
) -> schemas.BindingAnswer:
    """Make the follower who scanned a code the user's contact.

    Confirming twice changes nothing.
    """
    binding = await _find_binding(services, id)
    state = binding.state_at(services.now())
    if state == "expired":
        raise Refusal("code_expired")
    if binding.tag is None:
        raise Refusal("not_scanned")
    await services.users.set_tag(administrator, binding.username, binding.tag, binding.user_id)
    return _show(await services.bindings.confirm(binding), services.now())


@router.post("/{tag}/renew", responses=describe_refusals("no_right", "not_found"))
async def renew_tag(administrator: Administrator, tag: Tag, services: WechatServices) -> schemas.FollowerAnswer:
    """Replace a follower's tag.

    A repeat with the old tag answers the same new one, and completes what the first request did not.
    """
    old = _read_tag(tag)
    follower = await services.followers.renew(old, int(services.now()))
    if follower is None:
        raise Refusal("not_found", what=old)
    log.info("tag_renewed", account=follower.account)
    usernames = await services.users.find_usernames([old, follower.tag])
    if (username := usernames.get(old)) is not None:
        await services.users.set_tag(administrator, username, follower.tag)
    await services.audit.write(administrator, "tag_renewed", follower.tag, follower.account)
    described = _describe(follower, username or usernames.get(follower.tag))
    return schemas.FollowerAnswer(**described.model_dump())


@router.delete("/{tag}", responses=describe_refusals("no_right", "not_found"))
async def revoke_tag(administrator: Administrator, tag: Tag, services: WechatServices) -> schemas.RevocationAnswer:
    """Revoke a follower's tag."""
    tag = _read_tag(tag)
    retired = await services.followers.revoke(tag, int(services.now()))
    if retired is None:
        raise Refusal("not_found", what=tag)
    log.info("tag_revoked", account=retired.account)
    await services.audit.write(administrator, "tag_revoked", tag, retired.account)
    return schemas.RevocationAnswer()


async def _find_page(query: schemas.FollowersQuery, services: RouteServices) -> tuple[list[Follower], str | None]:
    """Return the followers that a query is for, and after which tag the next page begins."""
    tags = None if query.tag is None else {addresses.tag(query.tag)}
    if query.user is not None:
        contact = {(await services.users.find(query.user)).tag}
        tags = contact if tags is None else contact & tags
    if tags is None:
        after = (query.cursor or "")[:MAX_CURSOR]
        followers = await services.followers.list_page(query.account, after, query.limit + 1)
        following = followers[query.limit - 1].tag if len(followers) > query.limit else None
        return followers[: query.limit], following
    known = await services.followers.find_by_tags([tag for tag in tags if tag is not None])
    return [follower for follower in known.values() if query.account in (None, follower.account)], None


async def _find_binding(services: RouteServices, name: str) -> Binding:
    binding = await services.bindings.find(name)
    if binding is None:
        raise Refusal("not_found", what=name[:MAX_SHOWN])
    return binding


def _read_tag(text: str) -> str:
    """Read a tag, however it is written. Raises Refusal not_found: also for a text that is no tag."""
    tag = addresses.tag(text)
    if tag is None:
        raise Refusal("not_found", what=text[:MAX_SHOWN])
    return tag


def _describe(follower: Follower, username: str | None) -> schemas.Follower:
    return schemas.Follower(
        account=follower.account,
        tag=follower.tag,
        following=follower.following,
        since=_read_time(follower.since),
        username=username,
    )


def _show(binding: Binding, now: float) -> schemas.BindingAnswer:
    return schemas.BindingAnswer(
        id=binding.id,
        account=binding.account,
        username=binding.username,
        state=binding.state_at(now),
        tag=binding.tag,
        expires_at=_read_time(binding.expires_at),
    )


def _read_time(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
