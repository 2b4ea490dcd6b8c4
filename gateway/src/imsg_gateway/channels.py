"""GET /api/channels and PATCH /api/channels/METHOD: how each channel and its providers are, and pausing it."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from imsg_broker.port import Broker, Load, PublishRefused, PublishUnknown, Unreachable
from imsg_contract.errors import Refusal
from imsg_contract.topology import CHANGE, CHANNEL_LOOK_S, Lane, channel_key, providers_key
from imsg_contract.wire import Change
from imsg_gateway.authentication import Credential, Owner
from imsg_gateway.provider_reports import Provider, unite
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes import Handler
from imsg_gateway.validation_errors import field_wrong
from imsg_limits.backpressure import Backpressure, count_consumers
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis
from imsg_web.responses import Answer, ok, prefers_english

log = logger(__name__)

BROKER_BLOCKED = "broker_blocked"
"""Why every channel is blocked while the broker takes nothing: the reason that sends are refused with."""

REDIS_BLOCKED = "redis_takes_no_writes"
"""Why every channel is blocked while Redis takes nothing: what is logged then too."""

MAX_REASON = 200
"""Characters of what an administrator says about a pause."""

PAUSED_FOR_USERS = (
    "管理员已暂停此渠道，恢复后消息会自动发出。",
    "An administrator has paused this channel; messages go out once it is resumed.",
)
"""What users read in place of an administrator's reason, which is meant for other administrators."""

PAUSED_WITHIN_S = CHANNEL_LOOK_S + 0.3
"""How long a pause takes to be known by every worker: the age of what it knows, and a look's own time."""

SWITCHED_WITHIN_S = 1.3
"""The same of a provider's switch, which senders look at every second."""

_LINE = re.compile(r"[^\x00-\x1f\x7f]*")


class Channels:
    """Answers the two URLs."""

    def __init__(self, redis: Redis, broker: Broker, backpressure: Backpressure) -> None:
        self._redis = redis
        self._broker = broker
        self._backpressure = backpressure

    async def list(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Answer every channel's state; to administrators also what waits, who consumes, and what blocks it.

        Users learn that a channel is paused or blocked, and nothing of an administrator's reason, of what the provider
        said, or of what others send.
        """
        assert credential is not None  # noqa: S101  the table wants a user's
        if not (await credential.authenticate()).is_admin:
            states = [await self._state(method, None, asked) for method in self._broker.topology.methods]
            english = prefers_english(asked.language)
            return Answer(ok(channels=[{**_for_users(state, english=english), "providers": []} for state in states]))
        try:
            loads = await self._backpressure.look()
        except Unreachable as away:
            raise Refusal("unavailable", retry_after_s=3) from away
        return Answer(
            ok(
                channels=[
                    {
                        **await self._state(method, of_lanes, asked),
                        "providers": await self.providers(method),
                    }
                    for method, of_lanes in loads.items()
                ]
            )
        )

    async def providers(self, method: str) -> Sequence[Provider]:
        """Say how a channel's providers stand, as its senders told in the last seconds. Raises RedisUnavailable."""
        (now_s, _), told = await asyncio.gather(
            self._redis.call("TIME"), self._redis.call("HGETALL", providers_key(method))
        )
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        return unite(dict(pairs), int(now_s))

    def guard(self, relayed: Handler) -> Handler:
        """Make the handler that takes only providers there are, and weighs only those that weights choose.

        Where no sender tells, what is not known is left to whoever answers. When it is answered that a provider is
        switched off, every sender knows, and gives it nothing more.
        """

        async def answer(asked: ClientRequest, credential: Credential | None) -> Response:
            method, name = asked.names
            known = await self.providers(method) if method in self._broker.topology.methods else []
            provider = next((one for one in known if one["name"] == name), None)
            if provider is None:
                if known:
                    raise Refusal("not_found", what=f"{method}/{name}"[:80])
            elif asked.fields.get("weight") is not None and provider["weight"] is None:
                zh, en = (
                    "这个渠道由收件地址决定用哪一个，没有权重",
                    "here the address decides, and there are no weights",
                )
                raise field_wrong("weight", zh, en)
            answered = await relayed(asked, credential)
            if asked.fields.get("enabled") is False and answered.status_code == HTTPStatus.OK:
                await asyncio.sleep(SWITCHED_WITHIN_S)
            return answered

        return answer

    async def pause(self, asked: ClientRequest, credential: Credential | None) -> Response:
        """Pause a channel or let it go on; when a pause is answered, its workers have stopped taking."""
        (method,) = asked.names
        if method not in self._broker.topology.methods:
            raise Refusal("not_found", what=method[:64])
        paused = asked.fields.get("paused")
        if paused is None:
            raise Refusal("missing", field="paused")
        if not isinstance(paused, bool):
            raise field_wrong("paused", "必须是 true 或 false", "it must be true or false")
        said = _reason(asked.fields.get("reason"))
        reason = said if paused else ""
        await self._redis.call("HSET", channel_key(method), "paused", "1" if paused else "0", "reason", reason)
        assert credential is not None  # noqa: S101  the table wants an administrator's
        await self._note(await credential.owner(), method, paused=paused, reason=reason)
        if paused:
            await asyncio.sleep(PAUSED_WITHIN_S)
        loads = None
        with suppress(Unreachable):
            loads = (await self._backpressure.look())[method]
        state = await self._state(method, loads, asked)
        return Answer(ok(**state, providers=await self.providers(method)))

    async def _state(self, method: str, loads: Mapping[Lane, Load] | None, asked: ClientRequest) -> Mapping[str, Any]:
        """Describe a channel: paused by a person; else the broker's alarm, or Redis'; else what its sender says.

        `consumers` of 0 is told beside the state: nobody is there who could say what it is.
        """
        counts: dict[str, Any] = {"waiting": None, "lanes": None, "consumers": None}
        if loads is not None:
            depths = {lane: load.depth for lane, load in loads.items()}
            counts = {"waiting": sum(depths.values()), "lanes": depths, "consumers": count_consumers(loads)}
        fields = ("state", "why", "until", "paused", "reason")
        state, why, until, paused, reason = await self._redis.call("HMGET", channel_key(method), *fields)
        if paused == b"1":
            said = reason.decode() if reason else None
            return {"method": method, "state": "paused", "why": said, "until": None, **counts}
        if self._broker.blocked:
            detail = Refusal(BROKER_BLOCKED).answer(english=prefers_english(asked.language))["detail"]
            why = f"{BROKER_BLOCKED}: {detail}"
            return {"method": method, "state": "blocked", "why": why, "until": None, **counts}
        if self._redis.refusal:  # a sender stops then, and can't say so
            why = f"{REDIS_BLOCKED}: {self._redis.refusal}"
            return {"method": method, "state": "blocked", "why": why, "until": None, **counts}
        return {
            "method": method,
            "state": "blocked" if state == b"blocked" else "open",
            "why": why.decode() if state == b"blocked" and why else None,
            "until": until.decode() if state == b"blocked" and until else None,
            **counts,
        }

    async def _note(self, actor: Owner, method: str, *, paused: bool, reason: str) -> None:
        change = Change(
            actor=actor.username,
            action="channel_paused" if paused else "channel_resumed",
            subject=method,
            details={"reason": reason} if reason else {},
            at=datetime.now(UTC),
            actor_id=actor.user_id,
        )
        try:
            await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))
        except (PublishRefused, PublishUnknown) as lost:
            # What was asked is done; only the audit lacks it.
            log.warning("change_not_published", action=change.action, subject=method, why=str(lost))


def _for_users(state: Mapping[str, Any], *, english: bool) -> Mapping[str, Any]:
    """Leave out what administrators and the provider say; that the broker takes nothing is what sends are answered."""
    why = state["why"] if (state["why"] or "").startswith(f"{BROKER_BLOCKED}: ") else None
    if state["state"] == "paused":
        why = PAUSED_FOR_USERS[1 if english else 0]
    return {**state, "why": why, "until": None}


def _reason(given: object) -> str:
    """Read why a channel is paused, for whoever looks at it next. Raises Refusal wrong_type."""
    if given is None:
        return ""
    if not isinstance(given, str) or len(given) > MAX_REASON or not _LINE.fullmatch(given):
        zh, en = f"应为不超过 {MAX_REASON} 个字符的一行文字", f"it must be one line of {MAX_REASON} characters at most"
        raise field_wrong("reason", zh, en)
    return given.strip()
