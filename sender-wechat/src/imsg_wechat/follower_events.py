"""Events of followers that allow messages: granted and revoked notices, and actions that open a reply window."""

import asyncio
from collections.abc import Callable, Mapping

from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_wechat.allowances import ACTION_WINDOWS, MESSAGE_ACTION, MESSAGE_WINDOW_S, Allowances
from imsg_wechat.receipts import NotPublished
from imsg_wechat.replies import Message

STORE_TIMEOUT_S = 1.5
TIDY_EVERY_S = 3_600.0

GRANTING = "subscribe_msg_popup_event"
"""A follower answered WeChat's question about notices; each accepted one is a grant for one message."""

CHANGING = "subscribe_msg_change_event"
"""A follower changed notices in WeChat's settings; a rejected one revokes its grants."""

log = logger(__name__)


class FollowerEvents:
    """Records the events. The caller must pass each message only once."""

    def __init__(self, allowances: Allowances, texts: Mapping[str, int], now: Callable[[], float]) -> None:
        """Record windows for `texts`: account → the customer-service texts in a reply window of 48 h."""
        self._problem = RecurringProblem(log, "windows_not_recorded", quiet_s=QUIET_S)
        self._allowances = allowances
        self._texts = texts
        self._now = now

    async def record(self, account: str, message: Message) -> None:
        """Record grants and reply windows of a message.

        Raises NotPublished if a grant can't be recorded: WeChat then repeats the message.
        """
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                if message.event in (GRANTING, CHANGING):
                    await self._record_grants(account, message)
                elif account in self._texts:
                    await self._open_window(account, message)
        except (DatabaseUnavailable, TimeoutError) as error:
            if message.event in (GRANTING, CHANGING):
                raise NotPublished(str(error) or "it took too long") from error
            self._problem.report(error, account=account)
        else:
            self._problem.clear()

    async def _record_grants(self, account: str, message: Message) -> None:
        for item in message.items:
            template, answer = item.get("TemplateId", ""), item.get("SubscribeStatusString", "").lower()
            if not template or len(template) > 128:  # noqa: PLR2004  the length of the column
                continue
            if message.event == GRANTING and answer == "accept":
                await self._allowances.grant(account, message.openid, template)
            elif message.event == CHANGING and answer == "reject":
                await self._allowances.void_grants(account, message.openid, template)

    async def _open_window(self, account: str, message: Message) -> None:
        action, (for_s, times) = message.event, ACTION_WINDOWS.get(message.event, (0, 0))
        if not message.event:
            action, for_s, times = MESSAGE_ACTION, MESSAGE_WINDOW_S, self._texts[account]
        if times:
            await self._allowances.open_window(account, message.openid, action, message.at + for_s, times)

    async def remove_ended_windows(self) -> None:
        """Remove ended windows every `TIDY_EVERY_S`, until cancelled."""
        problem = RecurringProblem(log, "windows_not_tidied", level="info")
        while True:
            with problem.catch(DatabaseUnavailable):
                await self._allowances.remove_ended(int(self._now()))
            await asyncio.sleep(TIDY_EVERY_S)
