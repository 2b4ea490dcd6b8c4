"""Looks after a channel's accounts, hourly and after each change, and records in Redis what needs attention."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, SecretStr

from imsg_contract.provider_accounts import TRANSIENT, AccountState, Attention, ProviderTrouble
from imsg_contract.provider_reports import list_fresh
from imsg_contract.topology import attention_key, providers_key
from imsg_delivery.provider_accounts import CHECK_S
from imsg_delivery.provider_kinds import AccountSettings
from imsg_delivery.tasks import wait_for_first
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

LOOK_AFTER_S = 3_600.0
AGAIN_AFTER_S = 60.0
"""When an account that could not be reached is looked at again."""

OF_THE_ACCOUNT = frozenset({"account", "signature", "template"})
"""What a block concerns that a person has to mend at the provider."""

TICK_S = 10.0
"""How often the records are read: Redis may be flushed, and another sender may have looked."""

NO_ANSWER = ProviderTrouble(
    code="timeout",
    zh="服务商在时限内没有答复。",
    en="The provider did not answer in time.",
    remedy_zh="请确认本机能访问该服务商的地址，然后重试。",
    remedy_en="Make sure that this machine reaches the provider's address, and try again.",
)


class ProviderWatch:
    """Looks after the accounts in force: asks their providers, and reads what senders report of refused sends.

    The records outlive a restart. Where several senders run, the first that finds a record old looks for all.
    """

    def __init__(  # noqa: PLR0917  each is another thing
        self,
        redis: Redis,
        method: str,
        key: SecretStr,
        accounts: AccountSettings[Any],
        find_group: Callable[[], BaseModel | None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`key` is the channel's: digests of accounts are made with it, so that they reveal no secret."""
        self._redis = redis
        self._method = method
        self._key = key.get_secret_value().encode()
        self._accounts = accounts
        self._find_group = find_group
        self._now = now
        self._has_changed = asyncio.Event()
        self._seen: dict[str, str] = {}
        """Account → the digest by which this process has looked at it, or found that another has."""
        self._unconfirmed: set[str] = set()
        """Accounts that could not be reached at the last look, and could before."""
        self._sent: dict[str, int] = {}
        """Account → how many messages the senders reported as sent lately, when this process last read it."""

    def wake(self) -> None:
        """Check changed accounts at once."""
        self._has_changed.set()

    async def run(self) -> None:
        """Check the accounts that are due, every TICK_S and after `wake`, until cancelled."""
        problem = RecurringProblem(log, "providers_not_looked_after", level="info", method=self._method)
        while True:
            await wait_for_first(asyncio.sleep(TICK_S), self._has_changed.wait())
            self._has_changed.clear()
            with problem.catch(RedisUnavailable, RedisRefused):
                await self.check_due()

    async def check_due(self) -> None:
        """Check the accounts that changed or whose records are old. Raises RedisUnavailable, RedisRefused."""
        group = self._find_group()
        known = {} if group is None else self._accounts.list_accounts(group)
        read = await self._redis.call("HGETALL", attention_key(self._method))
        states = {name.decode(): AccountState.model_validate_json(text) for name, text in read.items()}
        if gone := states.keys() - known.keys():
            await self._redis.call("HDEL", attention_key(self._method), *gone)
        reports = await self._read_reports()
        for name, (kind, account) in known.items():
            digest, state = self._digest(kind, account), states.get(name)
            is_sending, refusals = self._is_sending(reports, name), self._find_refusals(reports, name)
            if state is None or self._seen.setdefault(name, state.digest) != digest:
                refusals = ()  # the reports are of the account as it was before
            elif not self._is_due(state):
                is_news = not state.found if refusals else state.is_of_sends and is_sending
                if not is_news:
                    continue
            try:
                async with asyncio.timeout(CHECK_S):
                    troubles = await self._accounts.check(group, name)
            except TimeoutError:
                troubles = (NO_ANSWER,)
            before = () if state is None else state.found
            await self._record(name, digest, troubles or refusals, before, is_of_sends=not troubles and bool(refusals))

    async def _read_reports(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return what the senders of the channel report of each account."""
        (now_s, _) = await self._redis.call("TIME")
        read = await self._redis.call("HGETALL", providers_key(self._method))
        reports: dict[str, list[Mapping[str, Any]]] = {}
        for report in list_fresh(read, int(now_s)):
            for account in report.get("providers", ()):
                reports.setdefault(account["name"], []).append(account)
        return reports

    def _is_sending(self, reports: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> bool:
        """Return whether an account has sent something since this process last asked."""
        sent: int = sum(report["sent"] for report in reports.get(name, ()))
        before, self._sent[name] = self._sent.get(name, sent), sent
        return sent > before

    def _find_refusals(
        self, reports: Mapping[str, Sequence[Mapping[str, Any]]], name: str
    ) -> tuple[ProviderTrouble, ...]:
        """Return in words what sends by an account are refused for."""
        blocks = [block for report in reports.get(name, ()) for block in report["blocks"]]
        explained = [
            self._accounts.explain(f"{block['code']} {block['detail']}")
            for block in blocks
            if block["concerns"] in OF_THE_ACCOUNT
        ]
        return tuple({trouble.code: trouble for trouble in explained if trouble is not None}.values())

    def _is_due(self, state: AccountState) -> bool:
        is_transient = any(attention.trouble.code in TRANSIENT for attention in state.found)
        return state.at <= self._now() - (AGAIN_AFTER_S if is_transient else LOOK_AFTER_S)

    async def _record(
        self,
        name: str,
        digest: str,
        troubles: Sequence[ProviderTrouble],
        before: Sequence[Attention],
        *,
        is_of_sends: bool,
    ) -> None:
        troubles = [trouble for trouble in troubles if not trouble.is_unsure]
        is_away = any(trouble.code in TRANSIENT for trouble in troubles)
        if is_away and not before and name not in self._unconfirmed:
            self._unconfirmed.add(name)  # the provider may start beside this process: the next check decides
            return
        self._unconfirmed.discard(name)
        since = {attention.trouble.code: attention.since for attention in before}
        now = datetime.fromtimestamp(self._now(), UTC)
        attentions = tuple(Attention(since=since.get(trouble.code, now), trouble=trouble) for trouble in troubles)
        for problem in attentions:
            if problem.trouble.code not in since:
                log.warning("provider_needs_attention", method=self._method, provider=name, why=problem.trouble.en)
        state = AccountState(at=self._now(), digest=digest, found=attentions, is_of_sends=is_of_sends)
        await self._redis.call("HSET", attention_key(self._method), name, state.model_dump_json())
        self._seen[name] = digest

    def _digest(self, kind: str, account: BaseModel) -> str:
        text = json.dumps([kind, account.model_dump()], default=_write, sort_keys=True)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:32]


def _write(value: object) -> object:
    """Write for a digest what JSON has no form for."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case frozenset() | set():
            return sorted(map(str, value))
        case BaseModel():
            return value.model_dump()
        case Mapping():
            return dict(value)
    return str(value)
