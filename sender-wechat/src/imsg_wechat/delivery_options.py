"""Sends a message by the first open delivery option; after an unknown result no other is tried."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.breakers import Breakers
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_wechat.allowances import Allowances
from imsg_wechat.api import Api
from imsg_wechat.codes import ALREADY_SENT, NO_WINDOW, NOT_GRANTED, PROVIDER, ErrorAnswer, Scopes, make_result
from imsg_wechat.store import Follower
from imsg_wechat.templates import Notice, Outgoing, TemplateMessage, Text
from imsg_wechat.transport import ApiAnswer, CallFailure, Fields
from imsg_wechat.unconfirmed import UnconfirmedCalls

STORE_RETRY_S = 10.0

NEXT_OPTION_CODES = NO_WINDOW | NOT_GRANTED | {40037, 41030, 47003}
"""Codes about one delivery option: no grant, no window, or its template."""

OPTION_CONCERNS = frozenset({"template", "sender"})
"""The `concerns` of blocks of one delivery option."""

FAILURES = 5
COOL_OFF_S = 15.0
"""The circuit breaker of an account opens for `COOL_OFF_S` after `FAILURES` failures in a row."""

log = logger(__name__)


def make_breakers(account: str, clock: Callable[[], float] = time.monotonic) -> Breakers:
    """Make the breakers of an account: of the account, of each template, and of each delivery option."""
    return Breakers(PROVIDER, clock, threshold=FAILURES, cool_off_s=COOL_OFF_S, scope=account)


@dataclass(frozen=True, slots=True)
class OptionResult:
    """The result of one delivery option."""

    result: Result
    answer: ApiAnswer | None = None
    """WeChat's answer; None if it was not called."""
    may_try_next: bool = False
    """Whether the next option may be tried."""


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Sends the messages of one account."""

    account: str
    api: Api
    breakers: Breakers
    allowances: Allowances
    unconfirmed: UnconfirmedCalls
    now: Callable[[], float]
    problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "unconfirmed_not_cleared", quiet_s=QUIET_S, level="info"),
        compare=False,
    )

    async def send(self, follower: Follower, outgoing: Sequence[Outgoing], message: str) -> OptionResult:
        """Send a message by the first open option; the result's detail names those that were not open."""
        if all(isinstance(option, TemplateMessage) for option in outgoing):  # the usual message needs no lookup
            return await self._send_in_order(follower, outgoing, message)
        try:
            if (option := await self.unconfirmed.find(message)) is not None:
                why = f"WeChat may have it, sent as “{option}”, which may not be repeated."
                return OptionResult(Unknown(PROVIDER, "not_repeated", why))
            return await self._send_in_order(follower, outgoing, message)
        except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
            why = f"The follower's grants and windows can't be looked up for now: {error}."
            return OptionResult(Blocked(PROVIDER, "followers", "store_away", why, STORE_RETRY_S))

    async def _send_in_order(self, follower: Follower, outgoing: Sequence[Outgoing], message: str) -> OptionResult:
        skipped: list[str] = []
        option_result = OptionResult(Refused(PROVIDER, "no_option", "The template has no open delivery option."))
        for n, option in enumerate(outgoing):
            option_result = await self._send_by(follower, option, message)
            is_last = n == len(outgoing) - 1
            if not option_result.may_try_next or is_last:
                break
            assert not isinstance(option_result.result, Sent)  # noqa: S101  a message that is sent needs no other option
            skipped.append(f"{option.kind}: {option_result.result.detail}")
        if len(outgoing) == 1:
            return option_result
        text = option_result.result.detail or f"Sent as “{option.kind}”."
        detail = " ".join((text, *(f"Before it, {why}" for why in skipped)))
        return replace(option_result, result=replace(option_result.result, detail=detail))

    async def _send_by(self, follower: Follower, outgoing: Outgoing, message: str) -> OptionResult:
        match outgoing:
            case TemplateMessage():
                return await self._send_template(follower, outgoing, message)
            case Notice():
                return await self._send_notice(follower, outgoing, message)
            case Text():
                return await self._send_text(follower, outgoing, message)

    async def _send_template(self, follower: Follower, outgoing: TemplateMessage, message: str) -> OptionResult:
        scopes = Scopes(self.account, f"{self.account}/{outgoing.template}", self.account)
        if (blocked := self.breakers.find_block(scopes.about, (message,))) is not None:
            return OptionResult(blocked, may_try_next=blocked.concerns in OPTION_CONCERNS)
        return self._read_result(await self.api.send(follower.openid, outgoing, message), scopes, message)

    async def _send_notice(self, follower: Follower, outgoing: Notice, message: str) -> OptionResult:
        scopes = Scopes(self.account, f"{self.account}/{outgoing.template}", f"{self.account}/subscribe")
        if (blocked := self.breakers.find_block(scopes.about, (message,))) is not None:
            return OptionResult(blocked, may_try_next=blocked.concerns in OPTION_CONCERNS)
        if not await self.allowances.use_grant(self.account, follower.openid, outgoing.template):
            why = "The follower has no grant left for this template."
            return OptionResult(Refused(PROVIDER, "not_granted", why), may_try_next=True)
        await self.unconfirmed.record(message, "subscribe")
        option_result = self._read_result(await self.api.send_notice(follower.openid, outgoing), scopes, message)
        if isinstance(option_result.result, Unknown):
            return option_result
        await self._settle(message)
        if isinstance(option_result.answer, ErrorAnswer) and option_result.answer.code in NOT_GRANTED:
            await self.allowances.void_grants(self.account, follower.openid, outgoing.template)
        elif not isinstance(option_result.result, Sent):
            await self.allowances.grant(self.account, follower.openid, outgoing.template)
        return option_result

    async def _send_text(self, follower: Follower, outgoing: Text, message: str) -> OptionResult:
        scopes = Scopes(self.account, f"{self.account}/text", f"{self.account}/text")
        if (blocked := self.breakers.find_block(scopes.about, (message,))) is not None:
            return OptionResult(blocked, may_try_next=blocked.concerns in OPTION_CONCERNS)
        action = await self.allowances.use_window(self.account, follower.openid, int(self.now()))
        if action is None:
            why = "The follower has no open reply window: no message within 48 h, no action within a minute."
            return OptionResult(Refused(PROVIDER, "no_window", why), may_try_next=True)
        await self.unconfirmed.record(message, "text")
        option_result = self._read_result(await self.api.send_text(follower.openid, outgoing), scopes, message)
        if isinstance(option_result.result, Unknown):
            return option_result
        await self._settle(message)
        if isinstance(option_result.answer, ErrorAnswer) and option_result.answer.code in NO_WINDOW:
            await self.allowances.close_windows(self.account, follower.openid)
        elif not isinstance(option_result.result, Sent):
            await self.allowances.return_text(self.account, follower.openid, action)
        return option_result

    async def _settle(self, message: str) -> None:
        """Remove the record of the call; without Redis it stays, and a message that failed may end `uncertain`."""
        with self.problem.catch(RedisUnavailable, RedisRefused):
            await asyncio.shield(self.unconfirmed.clear(message))

    def _read_result(self, answer: ApiAnswer, scopes: Scopes, message: str) -> OptionResult:
        result = classify_answer(answer, scopes)
        concerns_option = isinstance(result, Blocked) and result.concerns in OPTION_CONCERNS
        may_try_next = concerns_option or (isinstance(answer, ErrorAnswer) and answer.code in NEXT_OPTION_CODES)
        return OptionResult(self.breakers.record_result(scopes.about, result, message), answer, may_try_next)


def classify_answer(answer: ApiAnswer, scopes: Scopes) -> Result:
    """Return the result of an answer."""
    match answer:
        case CallFailure(code, detail, may_have_it=True):
            return Unknown(PROVIDER, code, detail, "provider")
        case CallFailure(code, detail):
            return Again(PROVIDER, code, detail, concerns="provider")
        case ErrorAnswer(code) if code == ALREADY_SENT:
            return Sent(PROVIDER, _msgid(answer.fields), answer.detail)
        case ErrorAnswer():
            return make_result(answer, scopes)
        case _:
            return Sent(PROVIDER, _msgid(answer))


def _msgid(fields: Fields) -> str | None:
    """Return the message's number as text, since it has 64 bits."""
    msgid = fields.get("msgid", fields.get("msg_id"))
    return None if msgid is None else str(msgid)
