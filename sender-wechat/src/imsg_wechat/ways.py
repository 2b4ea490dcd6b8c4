"""A message's ways tried in order: the next where one is not open, and never after one of which nothing is known."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from imsg_contract.wire import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.breakers import Breakers
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_wechat.allowances import Allowances
from imsg_wechat.api import Api
from imsg_wechat.codes import ALREADY_SENT, NO_WINDOW, NOT_GRANTED, PROVIDER, Complaint, Scopes, result
from imsg_wechat.doubts import Doubts
from imsg_wechat.store import Follower
from imsg_wechat.templates import Notice, Outgoing, TemplateMessage, Text
from imsg_wechat.transport import Answer, Fields, Trouble

STORE_AGAIN_S = 10.0

NAMES = {TemplateMessage: "template", Notice: "subscribe", Text: "text"}
"""Kind of way → what settings, logs and details call it."""

PASSED_ON = NO_WINDOW | NOT_GRANTED | {40037, 41030, 47003}
"""Codes that concern one way alone: no grant, no window, its template."""

OF_A_WAY = frozenset({"template", "sender"})
"""Concerns of blocks that leave the other ways open."""

FAILURES = 5
COOL_OFF_S = 15.0
"""After so many failures in a row an account is left alone for so long."""

log = logger(__name__)


def make_breakers(account: str, clock: Callable[[], float] = time.monotonic) -> Breakers:
    """Make an account's breakers: of all of it, of each template, and of each way to send."""
    return Breakers(PROVIDER, clock, threshold=FAILURES, cool_off_s=COOL_OFF_S, whole=account)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one way."""

    result: Result
    answer: Answer | None = None
    """WeChat's, where it was asked."""
    passes_on: bool = False
    """Whether the next way may go."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways of one account."""

    account: str
    api: Api
    breakers: Breakers
    allowances: Allowances
    doubts: Doubts
    now: Callable[[], float]

    async def send(self, follower: Follower, outgoing: Sequence[Outgoing], message: str) -> Tried:
        """Send a message by the first way that is open; what was not says the result's detail."""
        if all(isinstance(one, TemplateMessage) for one in outgoing):  # the usual message asks nobody else
            return await self._send_in_order(follower, outgoing, message)
        try:
            if (way := await self.doubts.find(message)) is not None:
                why = f"WeChat may have it, sent as “{way}”, which may not be repeated."
                return Tried(Unknown(PROVIDER, "not_repeated", why))
            return await self._send_in_order(follower, outgoing, message)
        except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
            why = f"What the follower has allowed can't be looked up for now: {error}."
            return Tried(Blocked(PROVIDER, "followers", "store_away", why, STORE_AGAIN_S))

    async def _send_in_order(self, follower: Follower, outgoing: Sequence[Outgoing], message: str) -> Tried:
        passed: list[str] = []
        tried = Tried(Refused(PROVIDER, "no_way", "The template names no way that is open."))
        for n, one in enumerate(outgoing):
            tried = await self._try(follower, one, message)
            is_last = n == len(outgoing) - 1
            if not tried.passes_on or is_last:
                break
            assert not isinstance(tried.result, Sent)  # noqa: S101  what is sent passes nothing on
            passed.append(f"{NAMES[type(one)]}: {tried.result.detail}")
        if len(outgoing) == 1:
            return tried
        said = tried.result.detail or f"Sent as “{NAMES[type(one)]}”."
        detail = " ".join((said, *(f"Before it, {why}" for why in passed)))
        return replace(tried, result=replace(tried.result, detail=detail))

    async def _try(self, follower: Follower, one: Outgoing, message: str) -> Tried:
        match one:
            case TemplateMessage():
                return await self._send_template(follower, one, message)
            case Notice():
                return await self._notify(follower, one, message)
            case Text():
                return await self._say(follower, one, message)

    async def _send_template(self, follower: Follower, one: TemplateMessage, message: str) -> Tried:
        scopes = Scopes(self.account, f"{self.account}/{one.template}", self.account)
        if (blocked := self.breakers.find_block(scopes.about, (message,))) is not None:
            return Tried(blocked, passes_on=blocked.concerns in OF_A_WAY)
        return self._judge(await self.api.send(follower.openid, one, message), scopes, message)

    async def _notify(self, follower: Follower, one: Notice, message: str) -> Tried:
        scopes = Scopes(self.account, f"{self.account}/{one.template}", f"{self.account}/subscribe")
        if (blocked := self.breakers.find_block(scopes.about, (message,))) is not None:
            return Tried(blocked, passes_on=blocked.concerns in OF_A_WAY)
        if not await self.allowances.use_grant(self.account, follower.openid, one.template):
            why = "The follower has granted no notice by this template, or all were used."
            return Tried(Refused(PROVIDER, "not_granted", why), passes_on=True)
        await self.doubts.note(message, "subscribe")
        tried = self._judge(await self.api.notify(follower.openid, one), scopes, message)
        if isinstance(tried.result, Unknown):
            return tried
        await self._settle(message)
        if isinstance(tried.answer, Complaint) and tried.answer.code in NOT_GRANTED:
            await self.allowances.void_grants(self.account, follower.openid, one.template)
        elif not isinstance(tried.result, Sent):
            await self.allowances.grant(self.account, follower.openid, one.template)
        return tried

    async def _say(self, follower: Follower, one: Text, message: str) -> Tried:
        scopes = Scopes(self.account, f"{self.account}/text", f"{self.account}/text")
        if (blocked := self.breakers.find_block(scopes.about, (message,))) is not None:
            return Tried(blocked, passes_on=blocked.concerns in OF_A_WAY)
        act = await self.allowances.use_window(self.account, follower.openid, int(self.now()))
        if act is None:
            why = "The follower has not written within 48 h, nor done anything within a minute."
            return Tried(Refused(PROVIDER, "no_window", why), passes_on=True)
        await self.doubts.note(message, "text")
        tried = self._judge(await self.api.say(follower.openid, one), scopes, message)
        if isinstance(tried.result, Unknown):
            return tried
        await self._settle(message)
        if isinstance(tried.answer, Complaint) and tried.answer.code in NO_WINDOW:
            await self.allowances.close_windows(self.account, follower.openid)
        elif not isinstance(tried.result, Sent):
            await self.allowances.return_text(self.account, follower.openid, act)
        return tried

    async def _settle(self, message: str) -> None:
        """Forget the doubt; where Redis is away it stays, which at worst leaves a message that failed `uncertain`."""
        try:
            await asyncio.shield(self.doubts.clear(message))
        except (RedisUnavailable, RedisRefused) as error:
            log.info("doubt_not_cleared", why=str(error))

    def _judge(self, answer: Answer, scopes: Scopes, message: str) -> Tried:
        judged = judge(answer, scopes)
        is_of_this_way = isinstance(judged, Blocked) and judged.concerns in OF_A_WAY
        passes_on = is_of_this_way or (isinstance(answer, Complaint) and answer.code in PASSED_ON)
        return Tried(self.breakers.note(scopes.about, judged, message), answer, passes_on)


def judge(answer: Answer, scopes: Scopes) -> Result:
    """Say what an answer means for a message."""
    match answer:
        case Trouble(code, detail, may_have_it=True):
            return Unknown(PROVIDER, code, detail, "provider")
        case Trouble(code, detail):
            return Again(PROVIDER, code, detail, concerns="provider")
        case Complaint(code) if code == ALREADY_SENT:
            return Sent(PROVIDER, _msgid(answer.fields), answer.detail)
        case Complaint():
            return result(answer, scopes)
        case _:
            return Sent(PROVIDER, _msgid(answer))


def _msgid(fields: Fields) -> str | None:
    """Find the message's number, which has 64 bits: a string from here on."""
    msgid = fields.get("msgid", fields.get("msg_id"))
    return None if msgid is None else str(msgid)
