"""What the gateway asks of us: followers listed, tags renewed and revoked, codes made and confirmed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_runtime.callers import Caller
from imsg_runtime.internal_api import RETRY_AFTER_S, Call, Routes, admit_service, read_number
from imsg_runtime.observe import logger
from imsg_runtime.responses import Answer, ok
from imsg_wechat.api import Api
from imsg_wechat.bindings import LIFE_S, Binding, Bindings
from imsg_wechat.codes import Complaint
from imsg_wechat.followers import Followers
from imsg_wechat.store import Follower
from imsg_wechat.transport import Trouble

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


def make_groups(parts: Parts) -> list[Routes[Caller | None]]:
    """Make the routes."""
    return [_followers(parts), _bindings(parts)]


def _followers(parts: Parts) -> Routes[Caller | None]:
    routes = Routes(admit_service, "/internal/followers")
    followers = parts.followers

    @routes.get("")
    async def page(call: Call[Caller | None]) -> Response:
        """List followers in the order of their tags, or the one who has a tag."""
        account, tag = call.query.get("account"), call.query.get("tag")
        after, limit = call.query.get("after", ""), read_number(call.query, "limit", 50, 1, MOST)
        if tag is not None:
            found = [one for one in (await followers.by_tags([tag])).values() if account in (None, one.account)]
            return Answer(ok(followers=[_describe(one) for one in found], next=None))
        found = await followers.page(account, after, limit + 1)
        following = found[limit - 1].tag if len(found) > limit else None
        return Answer(ok(followers=[_describe(one) for one in found[:limit]], next=following))

    @routes.post("/{tag}/renew")
    async def renew(call: Call[Caller | None]) -> Response:
        """Give whoever has the tag another one, also where this is asked again."""
        tag = call.name("tag")
        follower = await followers.renew(tag, int(parts.now()))
        if follower is None:
            raise Refusal("not_found", what=tag[:32])
        log.info("tag_renewed", account=follower.account)
        return Answer(ok(**_describe(follower)))

    @routes.delete("/{tag}")
    async def revoke(call: Call[Caller | None]) -> Response:
        """Take the tag from whoever has it."""
        tag = call.name("tag")
        retired = await followers.revoke(tag, int(parts.now()))
        if retired is None:
            raise Refusal("not_found", what=tag[:32])
        log.info("tag_revoked", account=retired.account)
        return Answer(ok(account=retired.account))

    return routes


def _bindings(parts: Parts) -> Routes[Caller | None]:
    routes = Routes(admit_service, "/internal/bindings")
    bindings = parts.bindings

    async def find(name: str) -> Binding:
        binding = await bindings.find(name)
        if binding is None:
            raise Refusal("not_found", what=name[:32])
        return binding

    @routes.take("POST", "", BindingAsked)
    async def make(_: Call[Caller | None], asked: BindingAsked) -> Response:
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
    async def show(call: Call[Caller | None]) -> Response:
        """Say how far a code is, and who has scanned it."""
        return Answer(ok(**_show(await find(call.name("name")), parts.now())))

    @routes.post("/{name}/confirmed")
    async def note_confirmed(call: Call[Caller | None]) -> Response:
        """Note that the user has the contact now."""
        return Answer(ok(**_show(await bindings.confirm(await find(call.name("name"))), parts.now())))

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
