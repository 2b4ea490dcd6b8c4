"""Events of followers that allow messages: granted and revoked notices, and acts that open a reply window."""

import asyncio
from collections.abc import Callable, Mapping

from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_wechat.allowances import ACTS, WRITTEN, WRITTEN_S, Allowances
from imsg_wechat.receipts import NotPublished
from imsg_wechat.replies import Message

STORE_TIMEOUT_S = 1.5
TIDY_EVERY_S = 3_600.0

GRANTING = "subscribe_msg_popup_event"
"""A follower answered the question for notices: each yes is a grant for one message."""

CHANGING = "subscribe_msg_change_event"
"""A follower changed it in WeChat's settings: a no revokes the grants."""

log = logger(__name__)


class FollowerEvents:
    """Records the events; the caller passes each message once."""

    def __init__(self, allowances: Allowances, texts: Mapping[str, int], now: Callable[[], float]) -> None:
        """`texts` has the accounts that send customer-service texts → how many in a reply window of 48 h."""
        self._allowances = allowances
        self._texts = texts
        self._now = now

    async def note(self, account: str, message: Message) -> None:
        """Record what a message allows. Raises NotPublished if a grant is not recorded: WeChat then repeats it."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                if message.event in (GRANTING, CHANGING):
                    await self._count(account, message)
                elif account in self._texts:
                    await self._open_window(account, message)
        except (DatabaseUnavailable, TimeoutError) as error:
            if message.event in (GRANTING, CHANGING):
                raise NotPublished(str(error) or "it took too long") from error
            log.warning("window_not_recorded", account=account, why=str(error) or "it took too long")

    async def _count(self, account: str, message: Message) -> None:
        for item in message.items:
            template, answer = item.get("TemplateId", ""), item.get("SubscribeStatusString", "").lower()
            if not template or len(template) > 128:  # noqa: PLR2004  the column's
                continue
            if message.event == GRANTING and answer == "accept":
                await self._allowances.grant(account, message.openid, template)
            elif message.event == CHANGING and answer == "reject":
                await self._allowances.void_grants(account, message.openid, template)

    async def _open_window(self, account: str, message: Message) -> None:
        act, (for_s, times) = message.event, ACTS.get(message.event, (0, 0))
        if not message.event:
            act, for_s, times = WRITTEN, WRITTEN_S, self._texts[account]
        if times:
            await self._allowances.open_window(account, message.openid, act, message.at + for_s, times)

    async def tidy(self) -> None:
        """Remove ended windows every TIDY_EVERY_S, for ever."""
        problem = RecurringProblem(log, "windows_not_tidied", level="info")
        while True:
            try:
                await self._allowances.tidy(int(self._now()))
            except DatabaseUnavailable as error:
                problem.note(error)
            else:
                problem.clear()
            await asyncio.sleep(TIDY_EVERY_S)
