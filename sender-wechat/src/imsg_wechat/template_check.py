"""Whether the account has the templates that settings name: asked at the start and now and then, and told."""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.wire import Blocked
from imsg_delivery.provider_pool import Provider
from imsg_limits.breakers import Breakers
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.api import Api
from imsg_wechat.codes import PROVIDER, Complaint
from imsg_wechat.template_settings import NoticeWay, TemplateWay
from imsg_wechat.templates import Templates
from imsg_wechat.transport import Fields, Trouble

FIRST_AFTER_S = 2.0
"""What plays WeChat in `imsg up` begins with us, and is not there at the first moment."""

EVERY_S = 1_800.0
AGAIN_S = 60.0
"""How soon WeChat is asked again where it did not say, or something is wrong: somebody may be putting it right."""

KEPT_S = 7_200
REDIS_PATIENCE_S = 0.5

WRONG = "40037"
"""The code that WeChat itself gives for a template that the account has not."""

_FIELD = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_]{0,63})\.DATA\s*\}\}")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class TemplateBlocks:
    """Leaves an account's templates alone, and has its state say so, before a message meets them."""

    account: str
    breakers: Breakers
    provider: Provider

    def block(self, template: str, why: str) -> None:
        """Leave a template alone until it is looked at again."""
        scope = f"{self.account}/{template}"
        blocked = Blocked(PROVIDER, scope, WRONG, why, 2 * AGAIN_S, "template")
        self.breakers.note({"template": scope}, blocked)
        self.provider.stats.note(blocked)

    def clear(self, template: str) -> None:
        """Use a template again."""
        scope = f"{self.account}/{template}"
        self.breakers.clear("template", scope)
        self.provider.stats.clear(scope)


class TemplateCheck:
    """Checks one account's templates. What it has not is blocked at once, and nothing else is."""

    def __init__(self, account: str, api: Api, templates: Templates, blocks: TemplateBlocks, redis: Redis) -> None:
        self._account = account
        self._api = api
        self._templates = templates
        self._blocks = blocks
        self._redis = redis
        self._known: Mapping[str, str] | None = None
        self._blocked: frozenset[str] = frozenset()
        self._trouble = Recurring(log, "templates_not_listed", account=account)
        self._tell_trouble = Recurring(log, "wrong_templates_not_published", level="info", account=account)

    @property
    def wrong(self) -> Mapping[str, str]:
        """Template → what is wrong with it, as WeChat was last heard to say."""
        return self._known or {}

    def tell(self) -> Sequence[str]:
        """Say it in sentences."""
        return list(self.wrong.values())

    async def run(self) -> None:
        """Look as long as the process lives."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            has_heard = await self.look()
            await asyncio.sleep(EVERY_S if has_heard and not self.wrong else AGAIN_S)

    async def look(self) -> bool:
        """Ask WeChat, and tell what is wrong; return whether it said."""
        found = await ask(self._api, self._templates)
        if isinstance(found, str):
            self._trouble.note(found)
            return False
        self._trouble.clear()
        missing, wrong = found.missing, found.wrong
        self._block(missing, wrong)
        if wrong != self._known:
            for name, why in wrong.items():
                log.error("template_wrong", account=self._account, template=name, why=why)
            if self._known and not wrong:
                log.info("templates_right", account=self._account)
        self._known = wrong
        await self._tell(wrong)
        return True

    def _block(self, missing: Iterable[str], wrong: Mapping[str, str]) -> None:
        """Leave alone what can't go through; what is there again goes at once."""
        now = frozenset(missing)
        for name in sorted(now):
            self._blocks.block(name, wrong[name])
        for name in self._blocked - now:
            self._blocks.clear(name)
        self._blocked = now

    async def _tell(self, wrong: Mapping[str, str]) -> None:
        key = wrong_templates_key(self._account)
        command = ("SET", key, json.dumps(wrong, ensure_ascii=False), "EX", KEPT_S) if wrong else ("DEL", key)
        try:
            async with asyncio.timeout(REDIS_PATIENCE_S):
                await self._redis.call(*command)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._tell_trouble.note(str(error) or "Redis took too long")
        else:
            self._tell_trouble.clear()


@dataclass(frozen=True, slots=True)
class Found:
    """What an account has of the templates that settings name."""

    missing: frozenset[str]
    """The ids that it has not."""
    wrong: Mapping[str, str]
    """Id → what is wrong: it is missing, or its fields are others."""


async def ask(api: Api, templates: Templates, *, always: bool = False) -> Found | str:
    """Ask WeChat for the templates and notices that are used; a sentence where it did not say.

    `always`: ask for templates even where none is used, which tries the log-in.
    """
    missing: set[str] = set()
    wrong: dict[str, str] = {}
    asked = ((TemplateWay, api.list_templates, always), (NoticeWay, api.list_notices, False))
    for kind, list_them, is_asked in asked:
        used = templates.ids(kind)
        if not used and not is_asked:
            continue
        answer = await list_them()
        if isinstance(answer, Complaint | Trouble):
            return f"{answer.code} {answer.detail}"
        there = read_list(answer)
        if there is None:
            return "the answer holds no list"
        missing |= used.keys() - there.keys()
        wrong |= compare(used, there)
    return Found(frozenset(missing), wrong)


def read_list(answer: Fields) -> dict[str, frozenset[str]] | None:
    """Read the templates that an account has → their fields; None where nothing of the kind was answered.

    `get_all_private_template` lists them in `template_list`, `newtmpl/gettemplate` in `data`.
    """
    found = {}
    listed = answer.get("template_list", answer.get("data"))
    if not isinstance(listed, list):
        return None
    for one in listed:
        name = one.get("template_id", one.get("priTmplId")) if isinstance(one, dict) else None
        if isinstance(name, str):
            found[name] = frozenset(_FIELD.findall(str(one.get("content", ""))))
    return found


def compare(used: Mapping[str, frozenset[str]], there: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Say what is wrong with the templates that settings use, by what the account has."""
    wrong = {}
    for name, fields in used.items():
        known = there.get(name)
        if known is None:
            others = ", ".join(sorted(there)) or "none"
            wrong[name] = f"The account has no template {name}; it has {others}."[:500]
        elif known and (strange := sorted(fields - known)):
            wrong[name] = f"Template {name} has no {', '.join(strange)}; it has {', '.join(sorted(known))}."
        elif lacking := sorted(known - fields):
            wrong[name] = f"Nothing is set for {', '.join(lacking)} of template {name}."
    return wrong


async def read_wrong(redis: Redis, accounts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Read what is wrong: account → template → why. Raises RedisUnavailable, RedisRefused, TimeoutError."""
    found = {}
    async with asyncio.timeout(REDIS_PATIENCE_S):
        for account in accounts:
            if (told := await redis.call("GET", wrong_templates_key(account))) is not None:
                found[account] = dict(json.loads(told))
    return found


def wrong_templates_key(account: str) -> str:
    """Name the key."""
    return f"imsg:wechat:wrong-templates:{account}"
