"""The templates that providers have approved, with their words: beside those of the settings, which say more."""

import asyncio
import re
from collections.abc import Mapping

from imsg_channels.sms_templates import find_variables
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.topology import approved_key
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_sms.account_apis.make import make_account_api
from imsg_sms.account_apis.port import AccountRefused
from imsg_sms.account_settings import Aliyun, AnyAccount, Tencent, Volcengine
from imsg_sms.providers.calls import open_pool
from imsg_sms.settings import Sms
from imsg_sms.templates import PUBLISH, SCOPE, bracket
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

FIRST_AFTER_S = 2.0
"""The delay of the first look: under `imsg up` the sandbox starts together with this sender."""

LIST_EVERY_S, RETRY_S = 3_600.0, 10.0
PUBLISH_EVERY_S = 10.0
CALL_TIMEOUT_S = 8.0

_NUMBER = re.compile(r"\{(\d{1,2})\}")
"""A variable of Tencent's, which have numbers for names."""

log = logger(__name__)


async def list_approved(account: AnyAccount, pool: HttpPool) -> Mapping[str, TemplateLimits]:
    """List an account's approved templates; none where its provider has no call for it.

    Raises AccountRefused, NotSent, NoAnswer.
    """
    api = make_account_api(account, pool)
    if api is None or not isinstance(account, Aliyun | Tencent | Volcengine):
        return {}
    texts = {
        entry.id: _NUMBER.sub(r"${\1}", entry.text) if isinstance(account, Tencent) else entry.text
        for entry in await api.list_templates() or ()
        if entry.review == "approved"
    }
    return {
        template: TemplateLimits(
            signature=bracket(account.sign_name),
            text=text,
            variables=dict.fromkeys(find_variables(text), account.variable_characters),
        )
        for template, text in texts.items()
    }


class ApprovedTemplates:
    """Publishes the approved templates of all accounts."""

    def __init__(self, sms: Sms, redis: Redis) -> None:
        self._sms = sms
        self._redis = redis
        self._problem = RecurringProblem(log, "approved_templates_not_listed", level="info")
        self._publish_problem = RecurringProblem(log, "templates_not_published", level="info")
        self._known: dict[str, Mapping[str, TemplateLimits]] = {}

    async def run(self) -> None:
        """List them every hour, and publish them where Redis lacks them, until cancelled."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            is_complete = await self._list()
            left_s = LIST_EVERY_S if is_complete else RETRY_S
            is_new = True
            while left_s > 0:
                is_new = not await self._publish(is_new=is_new)
                await asyncio.sleep(PUBLISH_EVERY_S)
                left_s -= PUBLISH_EVERY_S

    async def _list(self) -> bool:
        """List them; return whether every provider answered. A provider's last list is kept until its next answer.

        Some keys may not list templates: that is an answer.
        """
        is_complete = True
        async with open_pool(CALL_TIMEOUT_S, settings=self._sms) as pool:
            for name, account in self._sms.used.items():
                try:
                    self._known[name] = await list_approved(account, pool)
                except (AccountRefused, NotSent, NoAnswer) as error:
                    self._problem.report(f"{name}: {error}")
                    is_complete = is_complete and isinstance(error, AccountRefused)
        if is_complete:
            self._problem.clear()
        return is_complete

    async def _publish(self, *, is_new: bool) -> bool:
        """Publish them if they are new, or if Redis lost them; return whether Redis has them."""
        key = approved_key(SCOPE)
        words = [
            word
            for name, templates in self._known.items()
            for template, limits in templates.items()
            for word in (f"{name}/{template}", limits.encode())
        ]
        try:
            if is_new or (words and not await self._redis.call("EXISTS", key)):
                await self._redis.run(PUBLISH, [key], words)
        except (RedisUnavailable, RedisRefused) as error:
            self._publish_problem.report(error)
            return False
        self._publish_problem.clear()
        return True
