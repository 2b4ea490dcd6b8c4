"""The sender-wecom service: wires its channel, and publishes the names of its robots."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from imsg_contract.provider_accounts import ProviderTrouble, Words
from imsg_contract.results import Again, Blocked, Refused, Sent, Unknown
from imsg_delivery.gateway_directory import publish_addresses
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS, AccountSettings, ProviderKind, quote
from imsg_delivery.sender import Sender, make_sender
from imsg_limits.pace import Bucket, Pace, Rate, SharedPace
from imsg_runtime.redis import Redis
from imsg_runtime.settings import variable
from imsg_web.callers import Apps
from imsg_web.responses import refuse_every_url
from imsg_web.service import Service
from imsg_wecom.channel import WeComChannel
from imsg_wecom.settings import Robot, Settings, WeCom
from imsg_wecom.webhook import open_client, try_key

__all__ = ["Settings", "WeCom", "app", "check_account", "open_channel"]


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError if a setting is wrong or missing."""
    del apps  # the service calls no other
    remedy = f"set {variable('wecom', 'robots', 'NAME', 'key')}"
    return make_sender("wecom", Settings, settings, _open_parts, remedy=remedy, accounts=ACCOUNTS)


async def _open_parts(sender: Sender, settings: Settings) -> ASGIApp:
    channel = await sender.stack.enter_async_context(open_channel(settings.wecom, sender.redis))
    sender.work(channel)
    sender.watch(publish_addresses(sender.redis, channel.method, settings.wecom.robots), "addresses")
    return refuse_every_url


@asynccontextmanager
async def open_channel(settings: WeCom, redis: Redis | None = None) -> AsyncIterator[WeComChannel]:
    """Open the channel; it connects at the first message. Without Redis, the rate limit is for this process only."""
    async with open_client(settings) as client:
        # Alerts come in bursts: half of a minute's messages may be sent at once.
        rate = Rate(settings.per_minute, 60.0, max(1, settings.per_minute // 2))
        own = Pace(rate, time.monotonic)
        pace: Bucket = own if redis is None else SharedPace(redis, WeComChannel.method, rate, own)
        yield WeComChannel(settings, client, pace)


async def check_account(settings: WeCom, name: str) -> Sequence[ProviderTrouble]:
    """Check a robot's key by a call that posts nothing; return why WeCom refuses it."""
    async with open_client(settings) as client:
        result = await try_key(client, name, settings.robots[name])
    said = quote(result.detail or "")
    match result:
        case Sent() | Refused():  # of the missing file
            return ()
        case Unknown() | Again(code="unreachable"):
            trouble = ProviderTrouble(
                code="unreachable",
                zh="无法连接企业微信。",
                en=said,
                remedy_zh="请确认本机能访问 qyapi.weixin.qq.com 的 443 端口。",
                remedy_en="See that this machine reaches qyapi.weixin.qq.com on port 443.",
            )
        case Again():  # too many calls, or a code that says nothing about the key
            trouble = ProviderTrouble(
                code="busy",
                zh=f"企业微信暂时没有校验密钥：{said}",
                en=f"WeCom has not checked the key yet: {said}",
                remedy_zh="请一分钟后再检查；每个机器人每分钟最多发 20 条。仍然如此的，"
                "请在企业微信开发者中心的“全局错误码”中查找。",
                remedy_en="Check again in a minute: a robot may post 20 messages a minute. If it stays so, look the "
                "code up in WeCom's documents.",
            )
        case Blocked(code=FORBIDDEN_ADDRESS.code):
            trouble = FORBIDDEN_ADDRESS
        case Blocked():
            trouble = ProviderTrouble(
                code="key",
                zh=f"企业微信不认这个密钥：{said}",
                en=f"WeCom does not take the key: {said}",
                remedy_zh="请在群设置的“群机器人”中重新复制 Webhook 地址，填写 key= 之后的部分；"
                "机器人被移除后须重新添加。",
                remedy_en="Copy the webhook URL of the robot again, and write what stands after key=; "
                "add a robot that was removed.",
            )
    return (trouble,)


def _list_robots(settings: WeCom) -> Mapping[str, tuple[str, Robot]]:
    return {name: ("robot", robot) for name, robot in settings.robots.items()}


ROBOT = ProviderKind("robot", Words(zh="企业微信群机器人", en="WeCom group robot"), Robot)

ACCOUNTS = AccountSettings(WeCom, "robots", (ROBOT,), _list_robots, check_account)
