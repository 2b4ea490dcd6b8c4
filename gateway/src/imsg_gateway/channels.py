"""The state of each channel and its providers, and pausing a channel."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from imsg_broker.port import Broker, Load, PublishRefused, PublishUnknown, Unreachable
from imsg_contract.errors import Refusal
from imsg_contract.topology import CHANGE, CHANNEL_LOOK_S, LIVE_LANES, Lane, channel_key, providers_key
from imsg_gateway.credentials import Credential
from imsg_gateway.next_due import NextDue
from imsg_gateway.provider_reports import Provider, merge
from imsg_gateway.published_names import PublishedNames
from imsg_gateway.request import ClientRequest
from imsg_limits.backpressure import Backpressure, count_consumers
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.responses import ApiResponse, ok, prefers_english, refuse_value

log = logger(__name__)

BROKER_BLOCKED = "broker_blocked"
"""Why every channel is blocked while the broker takes nothing: the reason that sends are refused with."""

REDIS_BLOCKED = "redis_takes_no_writes"
"""Why every channel is blocked while Redis takes nothing: what is logged then too."""

PAUSED_FOR_USERS = (
    "管理员已暂停此渠道，恢复后消息会自动发出。",
    "An administrator has paused this channel; messages go out once it is resumed.",
)
"""What users read in place of an administrator's reason, which is meant for other administrators."""

PAUSED_WITHIN_S = CHANNEL_LOOK_S + 0.3
"""How long a pause takes to be known by every worker: the age of what it knows, and a look's own time."""

SWITCHED_WITHIN_S = 1.3
"""The same of a provider's switch, which senders look at every second."""


class Channels:
    """Reads the state of channels, and pauses them."""

    def __init__(
        self, redis: Redis, broker: Broker, backpressure: Backpressure, names: PublishedNames, next_due: NextDue
    ) -> None:
        self._redis = redis
        self._next_due = next_due
        self._names = names
        self._broker = broker
        self._backpressure = backpressure

    async def list(self, request: ClientRequest, credential: Credential) -> Response:
        """Return every channel's state; to users who see all also its queue, its consumers, and what blocks it.

        Users learn that a channel is paused or blocked, and nothing of an administrator's reason, of what the provider
        said, or of what others send.
        """
        if not (await credential.authenticate()).sees_all:
            states = [await self._state(method, None, request) for method in self._broker.topology.methods]
            english = prefers_english(request.language)
            return ApiResponse(
                ok(
                    channels=[
                        {
                            **_for_users(state, english=english),
                            **await self._names.list_permitted(state["method"], credential.username),
                            "providers": [],
                        }
                        for state in states
                    ]
                )
            )
        return ApiResponse(ok(channels=await self.describe(request, credential.username)))

    async def describe(self, request: ClientRequest, username: str) -> Sequence[Mapping[str, Any]]:
        """Describe every channel for those who see all. Raises Refusal unavailable, RedisUnavailable."""
        try:
            loads = await self._backpressure.read_loads()
        except Unreachable as error:
            raise Refusal("unavailable", retry_after_s=3) from error
        return [
            {
                **await self._state(method, of_lanes, request),
                **await self._names.list_permitted(method, username),
                "providers": await self.providers(method),
            }
            for method, of_lanes in loads.items()
        ]

    async def providers(self, method: str) -> Sequence[Provider]:
        """Return the state of a channel's providers, as its senders have reported lately. Raises RedisUnavailable."""
        (now_s, _), reports = await asyncio.gather(
            self._redis.call("TIME"), self._redis.call("HGETALL", providers_key(method))
        )
        pairs = reports.items() if isinstance(reports, dict) else zip(reports[::2], reports[1::2], strict=True)
        return merge(dict(pairs), int(now_s))

    async def check_provider(self, method: str, name: str, *, weighs: bool = False) -> None:
        """Raise Refusal not_found for an unknown provider, and wrong_type where `weighs` and it has no weight.

        A provider is not checked while no sender has reported the channel's providers. Raises RedisUnavailable.
        """
        known = await self.providers(method) if method in self._broker.topology.methods else []
        provider = next((candidate for candidate in known if candidate["name"] == name), None)
        if provider is None:
            if known:
                raise Refusal("not_found", what=f"{method}/{name}"[:80])
        elif weighs and provider["weight"] is None:
            zh, en = "这个渠道由收件地址决定用哪一个，没有权重", "here the address decides, and there are no weights"
            raise refuse_value("weight", zh, en)

    async def wait_for_switch(self, answer: Response) -> None:
        """Wait until every sender knows that a provider is switched off, if the answer says that it is."""
        if answer.status_code == HTTPStatus.OK:
            await asyncio.sleep(SWITCHED_WITHIN_S)

    async def pause(
        self, request: ClientRequest, credential: Credential, method: str, *, paused: bool, reason: str
    ) -> Response:
        """Pause or resume a channel; a pause is answered when its senders have stopped.

        Raises Refusal not_found, unavailable; RedisUnavailable.
        """
        if method not in self._broker.topology.methods:
            raise Refusal("not_found", what=method[:64])
        reason = reason.strip() if paused else ""
        action = "channel_paused" if paused else "channel_resumed"
        await self._publish_change(
            await credential.authenticate(), action, method, {"paused": paused, "reason": reason}
        )
        await self._redis.call("HSET", channel_key(method), "paused", "1" if paused else "0", "reason", reason)
        if paused:
            await asyncio.sleep(PAUSED_WITHIN_S)
        loads = None
        with suppress(Unreachable):
            loads = (await self._backpressure.read_loads())[method]
        state = await self._state(method, loads, request)
        names = await self._names.list_permitted(method, credential.username)
        return ApiResponse(ok(**state, **names, providers=await self.providers(method)))

    async def _state(self, method: str, loads: Mapping[Lane, Load] | None, request: ClientRequest) -> Mapping[str, Any]:
        """Describe a channel: paused by a person; else the broker's alarm, or Redis'; else what its sender says.

        With 0 `consumers` the state may be old: no sender is there to report it.
        """
        counts: dict[str, Any] = {"waiting": None, "lanes": None, "consumers": None, "late_s": None}
        if loads is not None:
            depths = {lane: load.depth for lane, load in loads.items()}
            counts = {
                "waiting": sum(depths[lane] for lane in LIVE_LANES),
                "lanes": depths,
                "consumers": count_consumers(loads),
                "late_s": await self._next_due.find_late_s(method),
            }
        fields = ("state", "why", "until", "paused", "reason")
        state, why, until, paused, reason = await self._redis.call("HMGET", channel_key(method), *fields)
        if paused == b"1":
            text = reason.decode() if reason else None
            return {"method": method, "state": "paused", "why": text, "until": None, **counts}
        if self._broker.blocked:
            detail = Refusal(BROKER_BLOCKED).answer(english=prefers_english(request.language))["detail"]
            why = f"{BROKER_BLOCKED}: {detail}"
            return {"method": method, "state": "blocked", "why": why, "until": None, **counts}
        if self._redis.refusal:  # a sender stops then, and can't report it
            why = f"{REDIS_BLOCKED}: {self._redis.refusal}"
            return {"method": method, "state": "blocked", "why": why, "until": None, **counts}
        return {
            "method": method,
            "state": "blocked" if state == b"blocked" else "open",
            "why": why.decode() if state == b"blocked" and why else None,
            "until": until.decode() if state == b"blocked" and until else None,
            **counts,
        }

    async def record_test(self, credential: Credential, method: str, provider: str) -> None:
        """Publish the audit record of a test of a provider. Raises Refusal unavailable."""
        await self._publish_change(await credential.authenticate(), "provider_tested", f"{method}/{provider}")

    async def _publish_change(
        self, caller: Caller, action: str, target: str, after: Mapping[str, Any] | None = None
    ) -> None:
        change = make_change(caller, action, target, datetime.now(UTC), after=after)
        try:
            await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))
        except (PublishRefused, PublishUnknown) as lost:
            log.warning("change_not_published", action=action, target=target, why=str(lost))
            raise Refusal("unavailable", retry_after_s=3) from lost


def _for_users(state: Mapping[str, Any], *, english: bool) -> Mapping[str, Any]:
    """Return the state without the reasons of administrators and providers; a blocked broker's stays, as in sends."""
    why = state["why"] if (state["why"] or "").startswith(f"{BROKER_BLOCKED}: ") else None
    if state["state"] == "paused":
        why = PAUSED_FOR_USERS[1 if english else 0]
    return {**state, "why": why, "until": None}
