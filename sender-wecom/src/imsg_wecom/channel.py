"""The WeCom channel: it posts each message to a group by a robot, within the robot's rate."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from imsg_channels.wecom import WECOM
from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient, message_id
from imsg_delivery.channel import Terms, Uncertain
from imsg_delivery.provider_pool import PooledProvider, ProviderPool, refuse_switched_off
from imsg_delivery.routes import Route
from imsg_limits.breakers import Breakers
from imsg_limits.pace import Bucket
from imsg_wecom import webhook
from imsg_wecom.codes import PROVIDER
from imsg_wecom.settings import WeCom

MAX_WAIT_S = {Lane.PRIORITY: 60.0, Lane.NORMAL: 10.0, Lane.BULK: 3.0}
"""Lane → the longest wait for a robot's rate. A message that would wait longer is tried again later, so that a list
does not delay codes."""


def terms(uncertain: Uncertain) -> Terms:
    """Return the channel's terms. A call posts to one group."""
    return Terms(
        chunk_size=WECOM.chunk_size,
        call_size=1,
        concurrency={Lane.PRIORITY: 14, Lane.NORMAL: 12, Lane.BULK: 4},
        uncertain=uncertain,
        repeat_for_s=None,
    )


class WeComChannel:
    """Posts to groups by their robots."""

    method = "wecom"

    def __init__(
        self,
        settings: WeCom,
        client: httpx.AsyncClient,
        pace: Bucket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.terms = terms(settings.uncertain)
        self.provider_pool = ProviderPool(
            self.method, [Route(name) for name in settings.robots], clock, by_address=True
        )
        self._robots = settings.robots
        self._breakers = {name: Breakers(name, clock) for name in settings.robots}
        self._client = client
        self._pace = pace

    async def prepare(self, job: Job) -> Mapping[str, Any] | Refused:
        """Return the body of a job, the same for all recipients."""
        content = job.content
        if isinstance(content, str):
            return {"msgtype": "text", "text": {"content": content}}
        if isinstance(content, dict) and isinstance(content.get("markdown"), str):
            return {"msgtype": "markdown", "markdown": {"content": content["markdown"]}}
        return Refused(PROVIDER, "content", "The content is neither a text nor Markdown.")

    async def deliver(
        self, job: Job, prepared: Mapping[str, Any], recipients: Sequence[Recipient]
    ) -> Mapping[int, Result]:
        """Post to the group of one robot."""
        (recipient,) = recipients
        name = recipient.address
        provider = self.provider_pool.find(name)
        if provider is None:
            why = "No robot of this name is configured."
            return {recipient.n: Refused(PROVIDER, "no_robot", why, "recipient")}

        if not (provider.is_on or job.provider == name):
            return {recipient.n: refuse_switched_off(PROVIDER, name)}
        began = self.provider_pool.clock()
        result = await self._post(provider, message_id(job.request, recipient.n), job, prepared)
        provider.stats.record(result, self.provider_pool.clock() - began)
        return {recipient.n: result}

    def find_outage(self) -> Blocked | None:
        """Return a block if every robot is switched off; any other block stops one robot alone."""
        return self.provider_pool.find_outage({})

    async def _post(self, provider: PooledProvider, message: str, job: Job, prepared: Mapping[str, Any]) -> Result:
        """Post by a robot within its rate, unless its circuit breaker is open."""
        name = provider.name
        breakers = self._breakers[name]
        if (blocked := breakers.find_block({}, (message,))) is not None:
            return blocked
        wait_s = self.provider_pool.retry_after.wait_s(name)
        if wait_s <= MAX_WAIT_S[job.lane]:
            wait_s = await self._pace.acquire(name, within_s=MAX_WAIT_S[job.lane])
        if wait_s:
            detail = f"The robot posts again in {wait_s:.0f} s: WeCom accepts a limited number a minute."
            return Again(PROVIDER, "paced", detail, wait_s, is_paced=True, was_called=False)
        if not (provider.is_on or job.provider == name):  # it may have been disabled during the wait
            return refuse_switched_off(PROVIDER, name)
        result = await webhook.call(self._client, name, self._robots[name], prepared)
        if isinstance(result, Again) and result.is_paced:
            self.provider_pool.retry_after.set_all(name, result.after_s, message)
            return result
        return breakers.record_result({}, result, message)
