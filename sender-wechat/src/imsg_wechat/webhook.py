"""Processes messages and events of WeChat: records followers, replies with tags, publishes receipts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

from imsg_contract.wire import Receipt, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.bindings import Binding, find_scene
from imsg_wechat.codes import PROVIDER
from imsg_wechat.followers import SEEN, Followers
from imsg_wechat.receipts import NotPublished
from imsg_wechat.replies import CODE_OVER, NOT_NOW, WELCOME, Message, write_scanned

SEEN_S = 600
"""How long a processed message is recorded: WeChat's three attempts end within seconds."""

RENEWED_S = 3_600
"""How long after a renewal receipts are published under the old tag too, to which messages were sent."""

REDIS_TIMEOUT_S = 0.5
STORE_TIMEOUT_S = 1.5
BROKER_TIMEOUT_S = 1.5
"""Together below 5 s, after which WeChat closes the connection."""

FINISHED = "TEMPLATESENDJOBFINISH"
NOTIFIED = "subscribe_msg_sent_event"

PERSONAL_EVENTS = frozenset({"subscribe", "unsubscribe", "CLICK", "SCAN"})
"""Events that a follower causes."""

RESULTS: Mapping[str, tuple[str, str]] = {
    "failed:userblock": ("user_block", "The recipient blocks this account's messages."),
    "failed:systemfailed": ("system_failed", "WeChat failed to deliver it."),
}
"""Status of a receipt, without its spaces (which vary) → our code and sentence; `success` is delivered."""

log = logger(__name__)


class Webhook:
    """Processes each message once."""

    def __init__(
        self,
        followers: Followers,
        redis: Redis,
        publish: Callable[[Receipt, float], Awaitable[None]],
        scan: Callable[[str, str, str], Awaitable[Binding | None]],
        record: Callable[[str, Message], Awaitable[None]],
        *,
        now: Callable[[], float],
    ) -> None:
        """Process with `publish`, which publishes a receipt within some seconds and raises NotPublished.

        `scan` records that the follower with a tag scanned a code: (account, scene, tag); raises DatabaseUnavailable.
        `record` records the grants and reply windows of a message; raises NotPublished.
        """
        self._followers = followers
        self._redis = redis
        self._publish = publish
        self._record_scan = scan
        self._record = record
        self._now = now
        self._problem = RecurringProblem(log, "wechat_not_deduplicated", quiet_s=QUIET_S)
        self._store_problem = RecurringProblem(log, "followers_not_recorded", quiet_s=QUIET_S)

    async def process(self, account: str, message: Message, nonce: str) -> str | None:
        """Process a message; return the text of its reply, or None. Raises NotPublished."""
        # Two clicks within one second, or an unfollow and a return, differ from repeats only by their nonces. A repeat
        # of these does no harm: the reply has the same tag, and an older event changes nothing.
        name = (*message.name, nonce) if message.event in PERSONAL_EVENTS else message.name
        key = f"{SEEN}{account}:{':'.join(name)[:512]}"
        if not await self._record_message(key):
            log.info("wechat_repeated", account=account, what=message.event)
            return None
        try:
            return await self._process(account, message)
        except BaseException:
            await self._remove(key)
            raise

    async def _process(self, account: str, message: Message) -> str | None:
        await self._record(account, message)
        if message.asks_for_tag:
            try:
                async with asyncio.timeout(STORE_TIMEOUT_S):
                    return await self._followers.follow(account, message.openid, message.at)
            except (DatabaseUnavailable, TimeoutError) as error:
                self._store_problem.report(error, account=account)
                return NOT_NOW
        if (scene := find_scene(message.event, message.fields.get("EventKey", ""))) is not None:
            return await self._scan(account, message, scene)
        match message.event:
            case "subscribe":
                await self._subscribe(account, message)
                return WELCOME
            case "unsubscribe":
                await self._unsubscribe(account, message)
            case event if event in (FINISHED, NOTIFIED):
                await self._finish(account, message)
        return None

    async def _scan(self, account: str, message: Message, scene: str) -> str:
        """Record the scan of a binding code, and the person who scanned it as a follower."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                tag = await self._followers.follow(account, message.openid, message.at)
                binding = await self._record_scan(account, scene, tag)
        except (DatabaseUnavailable, TimeoutError) as error:
            self._store_problem.report(error, account=account)
            raise NotPublished(str(error) or "it took too long") from error
        return CODE_OVER if binding is None else write_scanned(binding.username, tag)

    async def _subscribe(self, account: str, message: Message) -> None:
        """Record a new follower. If that fails, the button that the greeting names records them later."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._followers.follow(account, message.openid, message.at)
        except (DatabaseUnavailable, TimeoutError) as error:
            self._store_problem.report(error, account=account)

    async def _unsubscribe(self, account: str, message: Message) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._followers.unfollow(account, message.openid, message.at)
        except (DatabaseUnavailable, TimeoutError) as error:
            raise NotPublished(str(error)) from error

    async def _finish(self, account: str, message: Message) -> None:
        """Publish the receipts of an event; history matches them to messages, also to later ones."""
        ends = [end for end in _read_statuses(message) if end.msgid]
        if not ends:
            log.warning("receipt_unreadable", account=account, status=message.fields.get("Status", "")[:64])
            return
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                tags = await self._followers.find_tags(account, message.openid, message.at - RENEWED_S)
        except (DatabaseUnavailable, TimeoutError) as error:
            raise NotPublished(str(error)) from error
        if not tags:
            log.warning("receipt_unmatched", account=account)
        for end, tag in product(ends, tags):
            receipt = Receipt(
                provider=PROVIDER,
                account=account,
                provider_id=end.msgid,
                address=tag,
                status=Status.DELIVERED if end.code is None else Status.FAILED,
                code=end.code,
                detail=end.detail,
                # WeChat gives whole seconds: take the end of the second, so that no receipt is before its message.
                at=datetime.fromtimestamp(min(message.at + 1, self._now()), UTC),
            )
            await self._publish(receipt, BROKER_TIMEOUT_S)

    async def _record_message(self, key: str) -> bool:
        """Record a message; return whether it is new. Without Redis every message counts as new."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                is_new = await self._redis.call("SET", key, int(self._now()), "NX", "EX", SEEN_S) is not None
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._problem.report(error)
            return True
        self._problem.clear()
        return is_new

    async def _remove(self, key: str) -> None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.call("DEL", key)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._problem.report(error)


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """The final status of one message."""

    msgid: str
    """Empty if it can't be read."""
    code: str | None = None
    """The error; None: it was delivered."""
    detail: str | None = None


def _read_statuses(message: Message) -> Sequence[FinalStatus]:
    """Return the final status of a template message, or of several notices."""
    if message.event == NOTIFIED:
        return [_read_notice(item) for item in message.items]
    msgid = message.fields.get("MsgID", "") or message.fields.get("MsgId", "")
    status = message.fields.get("Status", "")
    outcome = "".join(status.lower().split())
    if outcome == "success":
        return [FinalStatus(msgid)]
    if not outcome.startswith("failed"):
        return []
    code, detail = RESULTS.get(outcome, ("failed", "WeChat did not deliver it."))
    return [FinalStatus(msgid, code, f"{detail} ({status[:64]})")]


def _read_notice(item: Mapping[str, str]) -> FinalStatus:
    msgid, code, status = (item.get(name, "") for name in ("MsgID", "ErrorCode", "ErrorStatus"))
    if code == "0":
        return FinalStatus(msgid)
    return (
        FinalStatus(msgid, f"notice_{code[:16]}", f"WeChat did not deliver the notice. ({status[:64]})")
        if code
        else FinalStatus("")
    )
