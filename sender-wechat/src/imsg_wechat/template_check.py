"""Checks the templates in the settings against those of the account, at the start and every half hour."""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.results import Blocked
from imsg_delivery.provider_pool import PooledProvider
from imsg_limits.breakers import Breakers
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.api import Api
from imsg_wechat.codes import PROVIDER, ErrorAnswer
from imsg_wechat.template_settings import NoticeOption, TemplateOption
from imsg_wechat.templates import Templates
from imsg_wechat.transport import CallFailure, Fields

FIRST_AFTER_S = 2.0
"""The delay of the first check: under `imsg up` the sandbox starts together with this sender."""

EVERY_S = 1_800.0
RETRY_S = 60.0
"""The delay of the next check after no answer, or while a template is wrong."""

RETENTION_S = 7_200
REDIS_TIMEOUT_S = 0.5

UNKNOWN_TEMPLATE = "40037"
"""WeChat's code for a template that the account does not have."""

_FIELD = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_]{0,63})\.DATA\s*\}\}")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class TemplateBlocks:
    """Blocks templates of an account before a message uses them, and shows the block in its state."""

    account: str
    breakers: Breakers
    provider: PooledProvider

    def block(self, template: str, why: str) -> None:
        """Block a template until the next check."""
        scope = f"{self.account}/{template}"
        blocked = Blocked(PROVIDER, scope, UNKNOWN_TEMPLATE, why, 2 * RETRY_S, "template")
        self.breakers.record_result({"template": scope}, blocked)
        self.provider.stats.record(blocked)

    def clear(self, template: str) -> None:
        """Remove the block of a template."""
        scope = f"{self.account}/{template}"
        self.breakers.clear("template", scope)
        self.provider.stats.clear(scope)


class TemplateCheck:
    """Checks the templates of one account, and blocks those that it does not have."""

    def __init__(self, account: str, api: Api, templates: Templates, blocks: TemplateBlocks, redis: Redis) -> None:
        self._account = account
        self._api = api
        self._templates = templates
        self._blocks = blocks
        self._redis = redis
        self._known: Mapping[str, str] | None = None
        self._blocked: frozenset[str] = frozenset()
        self._problem = RecurringProblem(log, "templates_not_listed", account=account)
        self._publish_problem = RecurringProblem(log, "wrong_templates_not_published", level="info", account=account)

    @property
    def wrong(self) -> Mapping[str, str]:
        """Template → its fault, by the last check."""
        return self._known or {}

    def describe(self) -> Sequence[str]:
        """Return a sentence for each faulty template."""
        return list(self.wrong.values())

    async def run(self) -> None:
        """Check until cancelled."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            has_answer = await self.check()
            await asyncio.sleep(EVERY_S if has_answer and not self.wrong else RETRY_S)

    async def check(self) -> bool:
        """Compare the templates with WeChat's list, and publish the faults; return whether WeChat answered."""
        result = await compare_with_account(self._api, self._templates)
        if isinstance(result, str):
            self._problem.report(result)
            return False
        self._problem.clear()
        missing, wrong = result.missing, result.wrong
        self._block(missing, wrong)
        if wrong != self._known:
            for name, why in wrong.items():
                log.error("template_wrong", account=self._account, template=name, why=why)
            if self._known and not wrong:
                log.info("templates_right", account=self._account)
        self._known = wrong
        await self._publish(wrong)
        return True

    def _block(self, missing: Iterable[str], wrong: Mapping[str, str]) -> None:
        """Block missing templates, and unblock those that exist again."""
        now = frozenset(missing)
        for name in sorted(now):
            self._blocks.block(name, wrong[name])
        for name in self._blocked - now:
            self._blocks.clear(name)
        self._blocked = now

    async def _publish(self, wrong: Mapping[str, str]) -> None:
        key = wrong_templates_key(self._account)
        command = ("SET", key, json.dumps(wrong, ensure_ascii=False), "EX", RETENTION_S) if wrong else ("DEL", key)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.call(*command)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._publish_problem.report(str(error) or "Redis took too long")
        else:
            self._publish_problem.clear()


@dataclass(frozen=True, slots=True)
class TemplateFaults:
    """The faults of the templates that the settings name."""

    missing: frozenset[str]
    """The ids that the account does not have."""
    wrong: Mapping[str, str]
    """Id → the fault: the template is missing, or has other fields."""


async def compare_with_account(api: Api, templates: Templates, *, always: bool = False) -> TemplateFaults | str:
    """Compare the templates and notices in use with those of the account; return a sentence if WeChat did not answer.

    `always`: list the templates even if none is used, which tests the log-in.
    """
    missing: set[str] = set()
    wrong: dict[str, str] = {}
    lists = ((TemplateOption, api.list_templates, always), (NoticeOption, api.list_notices, False))
    for kind, list_them, is_required in lists:
        used = templates.ids(kind)
        if not used and not is_required:
            continue
        answer = await list_them()
        if isinstance(answer, ErrorAnswer | CallFailure):
            return f"{answer.code} {answer.detail}"
        present = read_list(answer)
        if present is None:
            return "the answer has no list"
        missing |= used.keys() - present.keys()
        wrong |= compare(used, present)
    return TemplateFaults(frozenset(missing), wrong)


def read_list(answer: Fields) -> dict[str, frozenset[str]] | None:
    """Return the templates of an account → their fields; None if the answer has no list.

    `get_all_private_template` lists them in `template_list`, `newtmpl/gettemplate` in `data`.
    """
    fields: dict[str, frozenset[str]] = {}
    rows = answer.get("template_list", answer.get("data"))
    if not isinstance(rows, list):
        return None
    for row in rows:
        name = row.get("template_id", row.get("priTmplId")) if isinstance(row, dict) else None
        if isinstance(name, str):
            fields[name] = frozenset(find_fields(row))
    return fields


def find_fields(row: Fields) -> tuple[str, ...]:
    """Return the fields of a template, in the order of its text."""
    return tuple(dict.fromkeys(_FIELD.findall(str(row.get("content", "")))))


def compare(used: Mapping[str, frozenset[str]], present: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Return template → fault, given the fields in use and those of the account."""
    wrong = {}
    for name, fields in used.items():
        known = present.get(name)
        if known is None:
            others = ", ".join(sorted(present)) or "none"
            wrong[name] = f"The account has no template {name}; it has {others}."[:500]
        elif known and (strange := sorted(fields - known)):
            wrong[name] = f"Template {name} has no {', '.join(strange)}; it has {', '.join(sorted(known))}."
        elif lacking := sorted(known - fields):
            wrong[name] = f"Nothing is set for {', '.join(lacking)} of template {name}."
    return wrong


async def read_wrong(redis: Redis, accounts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the published faults: account → template → fault. Raises RedisUnavailable, RedisRefused, TimeoutError."""
    faults: dict[str, dict[str, str]] = {}
    async with asyncio.timeout(REDIS_TIMEOUT_S):
        for account in accounts:
            if (published := await redis.call("GET", wrong_templates_key(account))) is not None:
                faults[account] = dict(json.loads(published))
    return faults


def wrong_templates_key(account: str) -> str:
    """Return the Redis key of the faults of an account."""
    return f"imsg:wechat:wrong-templates:{account}"
