"""What becomes of a message or event that came in: a follower noted, a tag told, a receipt passed on."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

from imsg_contract.wire import Receipt, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.bindings import Binding, scene_of
from imsg_wechat.codes import PROVIDER
from imsg_wechat.followers import SEEN, Followers
from imsg_wechat.receipts import NotKept
from imsg_wechat.replies import CODE_OVER, NOT_NOW, WELCOME, Message, say_scanned

SEEN_S = 600
"""How long a message is remembered as seen: WeChat's three tries end within seconds."""

RENEWED_S = 3_600
"""How long after a tag was renewed receipts are told under the old one too: their messages were sent to it."""

REDIS_PATIENCE_S = 0.5
STORE_PATIENCE_S = 1.5
BROKER_PATIENCE_S = 1.5
"""Together below the 5 s after which WeChat hangs up, whatever of ours is away."""

FINISHED = "TEMPLATESENDJOBFINISH"
NOTIFIED = "subscribe_msg_sent_event"

ANSWERED = frozenset({"subscribe", "unsubscribe", "CLICK", "SCAN"})
"""Events of people."""

RESULTS: Mapping[str, tuple[str, str]] = {
    "failed:userblock": ("user_block", "The recipient blocks this account's messages."),
    "failed:systemfailed": ("system_failed", "WeChat failed to deliver it."),
}
"""Status of a receipt, without its spaces (which vary) → our code and sentence; `success` is delivered."""

log = logger(__name__)


class Reception:
    """Takes messages, each once."""

    def __init__(
        self,
        followers: Followers,
        redis: Redis,
        keep: Callable[[Receipt, float], Awaitable[None]],
        scan: Callable[[str, str, str], Awaitable[Binding | None]],
        note: Callable[[str, Message], Awaitable[None]],
        *,
        now: Callable[[], float],
    ) -> None:
        """`keep` publishes a receipt within so many seconds, and raises NotKept where it is not certainly kept.

        `scan` notes for (account, scene, tag) who has scanned a code, and raises DatabaseUnavailable. `note` notes what
        a message allows, and raises NotKept.
        """
        self._followers = followers
        self._redis = redis
        self._keep = keep
        self._note_scan = scan
        self._note = note
        self._now = now

    async def take(self, account: str, message: Message, nonce: str) -> str | None:
        """Do what the message asks for; return the text that answers it, or None. Raises NotKept."""
        # Two presses within one second, or leaving and coming back, look like repeats but for their nonces. To take a
        # repeat of these anew does no harm: the same tag is told, and what is older than what is known changes nothing.
        name = (*message.name, nonce) if message.event in ANSWERED else message.name
        key = f"{SEEN}{account}:{':'.join(name)[:512]}"
        if not await self._is_first(key):
            log.info("wechat_repeated", account=account, what=message.event)
            return None
        try:
            return await self._take(account, message)
        except BaseException:
            await self._forget(key)
            raise

    async def _take(self, account: str, message: Message) -> str | None:
        await self._note(account, message)
        if message.is_asking:
            try:
                async with asyncio.timeout(STORE_PATIENCE_S):
                    return await self._followers.follows(account, message.openid, message.at)
            except (DatabaseUnavailable, TimeoutError) as error:
                log.warning("tag_not_sent", account=account, why=str(error) or "it took too long")
                return NOT_NOW
        if (scene := scene_of(message.event, message.fields.get("EventKey", ""))) is not None:
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
        """Note who has scanned a code that binds them to a user; whoever does follows, if not before then now."""
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                tag = await self._followers.follows(account, message.openid, message.at)
                binding = await self._note_scan(account, scene, tag)
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("scan_not_recorded", account=account, why=str(error) or "it took too long")
            raise NotKept(str(error) or "it took too long") from error
        return CODE_OVER if binding is None else say_scanned(binding.username, tag)

    async def _subscribe(self, account: str, message: Message) -> None:
        """Note a new follower. Where that fails, the button they are told of will: the greeting is not held back."""
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                await self._followers.follows(account, message.openid, message.at)
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("follower_not_recorded", account=account, why=str(error) or "it took too long")

    async def _unsubscribe(self, account: str, message: Message) -> None:
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                await self._followers.leaves(account, message.openid, message.at)
        except (DatabaseUnavailable, TimeoutError) as error:
            raise NotKept(str(error)) from error

    async def _finish(self, account: str, message: Message) -> None:
        """Pass on what became of messages; history matches it, whether it knows a message already or not yet."""
        ends = [end for end in _read_ends(message) if end.msgid]
        if not ends:
            log.warning("receipt_unreadable", account=account, status=message.fields.get("Status", "")[:64])
            return
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                tags = await self._followers.tags_of(account, message.openid, message.at - RENEWED_S)
        except (DatabaseUnavailable, TimeoutError) as error:
            raise NotKept(str(error)) from error
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
                # WeChat gives whole seconds; the end of one, or a message would be delivered before it was accepted.
                at=datetime.fromtimestamp(min(message.at + 1, self._now()), UTC),
            )
            await self._keep(receipt, BROKER_PATIENCE_S)

    async def _is_first(self, key: str) -> bool:
        """Remember a message; without Redis each counts as the first, since nothing here does harm twice."""
        try:
            async with asyncio.timeout(REDIS_PATIENCE_S):
                return await self._redis.call("SET", key, int(self._now()), "NX", "EX", SEEN_S) is not None
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            log.warning("wechat_not_deduplicated", why=str(error) or "Redis took too long")
            return True

    async def _forget(self, key: str) -> None:
        try:
            async with asyncio.timeout(REDIS_PATIENCE_S):
                await self._redis.call("DEL", key)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            log.warning("wechat_nonce_not_removed", why=str(error) or "Redis took too long")


@dataclass(frozen=True, slots=True)
class End:
    """What became of one message."""

    msgid: str
    """Empty where it can't be read."""
    code: str | None = None
    """Why it did not arrive; None: it did."""
    detail: str | None = None


def _read_ends(message: Message) -> Sequence[End]:
    """Read what became of a template message, or of notices."""
    if message.event == NOTIFIED:
        return [_read_notice(item) for item in message.items]
    msgid = message.fields.get("MsgID", "") or message.fields.get("MsgId", "")
    said = message.fields.get("Status", "")
    result = "".join(said.lower().split())
    if result == "success":
        return [End(msgid)]
    if not result.startswith("failed"):
        return []
    code, detail = RESULTS.get(result, ("failed", "WeChat did not deliver it."))
    return [End(msgid, code, f"{detail} ({said[:64]})")]


def _read_notice(item: Mapping[str, str]) -> End:
    msgid, code, said = (item.get(name, "") for name in ("MsgID", "ErrorCode", "ErrorStatus"))
    if code == "0":
        return End(msgid)
    return End(msgid, f"notice_{code[:16]}", f"WeChat did not deliver the notice. ({said[:64]})") if code else End("")
