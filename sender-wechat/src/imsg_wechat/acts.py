"""What followers do that allows something: notices granted or taken back, windows in which they may be written to."""

import asyncio
from collections.abc import Callable, Mapping

from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import Recurring, logger
from imsg_wechat.allowances import ACTS, WRITTEN, WRITTEN_S, Allowances
from imsg_wechat.receipts import NotKept
from imsg_wechat.replies import Message

PATIENCE_S = 1.5
TIDY_EVERY_S = 3_600.0

GRANTING = "subscribe_msg_popup_event"
"""A follower has answered the question whether they want notices: each yes is for one message."""

CHANGING = "subscribe_msg_change_event"
"""A follower has changed it in WeChat's own settings: a no takes back what was granted."""

log = logger(__name__)


class Acts:
    """Notes them, each message once: whoever calls has told repeats apart."""

    def __init__(self, allowances: Allowances, texts: Mapping[str, int], now: Callable[[], float]) -> None:
        """`texts` are the accounts that send customer-service texts → how many in a window of 48 h."""
        self._allowances = allowances
        self._texts = texts
        self._now = now

    async def note(self, account: str, message: Message) -> None:
        """Note what a message allows. Raises NotKept where a grant could not be counted: WeChat tells it again."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                if message.event in (GRANTING, CHANGING):
                    await self._count(account, message)
                elif account in self._texts:
                    await self._open_window(account, message)
        except (DatabaseUnavailable, TimeoutError) as error:
            if message.event in (GRANTING, CHANGING):
                raise NotKept(str(error) or "it took too long") from error
            log.warning("window_not_recorded", account=account, why=str(error) or "it took too long")

    async def _count(self, account: str, message: Message) -> None:
        for item in message.items:
            template, said = item.get("TemplateId", ""), item.get("SubscribeStatusString", "").lower()
            if not template or len(template) > 128:  # noqa: PLR2004  the column's
                continue
            if message.event == GRANTING and said == "accept":
                await self._allowances.grant(account, message.openid, template)
            elif message.event == CHANGING and said == "reject":
                await self._allowances.void_grants(account, message.openid, template)

    async def _open_window(self, account: str, message: Message) -> None:
        act, (for_s, times) = message.event, ACTS.get(message.event, (0, 0))
        if not message.event:
            act, for_s, times = WRITTEN, WRITTEN_S, self._texts[account]
        if times:
            await self._allowances.open_window(account, message.openid, act, message.at + for_s, times)

    async def tidy(self) -> None:
        """Remove windows that are over, now and then, as long as we live."""
        trouble = Recurring(log, "windows_not_tidied", level="info")
        while True:
            try:
                await self._allowances.tidy(int(self._now()))
            except DatabaseUnavailable as error:
                trouble.note(error)
            else:
                trouble.clear()
            await asyncio.sleep(TIDY_EVERY_S)
