"""Template limits as the channels publish them in Redis, read again every few seconds."""

import json
import time
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from imsg_channels.content import Templates
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.topology import template_limits_key
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis

log = logger(__name__)

FRESH_S = 1.0
"""Templates change when a sender is configured anew: a send may go by what was right seconds ago."""


class PublishedTemplates:
    """The templates of each method."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._now = now
        self._kept: dict[str, tuple[float, Templates]] = {}
        self._problem = RecurringProblem(log, "templates_unreadable", quiet_s=QUIET_S)

    async def of(self, method: str) -> Templates:
        """Return a method's templates; empty where its sender has published none. Raises RedisUnavailable."""
        kept = self._kept.get(method)
        if kept is not None and self._now() < kept[0]:
            return kept[1]
        reply = await self._redis.call("HGETALL", template_limits_key(method))
        templates = self._read(reply)
        self._kept[method] = (self._now() + FRESH_S, templates)
        return templates

    def _read(self, reply: Mapping[bytes, bytes]) -> Templates:
        templates = {}
        for name, limits in reply.items():
            try:
                templates[name.decode()] = TemplateLimits.model_validate_json(limits)
            except (ValidationError, json.JSONDecodeError, UnicodeDecodeError):
                # A sender newer than this gateway: it will check the content itself.
                self._problem.report(name.decode(errors="replace"))
        return templates
