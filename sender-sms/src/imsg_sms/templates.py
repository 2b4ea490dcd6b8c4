"""What is sent by which template: contents made ready, and the limits that the gateway checks them by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imsg_contract.topology import template_limits_key
from imsg_contract.wire import Refused, TemplateLimits
from imsg_runtime.redis import Redis, Script

PUBLISH = Script.of(
    """
redis.call('DEL', KEYS[1])
if #ARGV > 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return 1
"""
)
"""In one step, so that no gateway sees half of the templates."""

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")

SCOPE = "sms"
"""Who refuses what no provider was asked for."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a chunk's recipients all get."""

    template: str
    """Empty where the providers know no templates."""
    params: Mapping[str, str]
    text: str
    """As it arrives but for the signature, as far as the template's words are known."""


class Templates:
    """The templates there are; one may be the default, into whose one variable free text goes."""

    def __init__(self, limits: Mapping[str, TemplateLimits]) -> None:
        self.limits = limits
        self._default = next((name for name, one in limits.items() if one.default), None)

    def message(self, content: str | dict[str, Any] | None) -> Message | Refused:
        """Make ready what a client wrote: a str, or `{template, params}`."""
        if isinstance(content, str):
            if self._default is None:
                return Message("", {}, content)
            params = {next(iter(self.limits[self._default].variables)): content}
            return Message(self._default, params, self._fill(self._default, params))
        if not isinstance(content, dict) or not isinstance(name := content.get("template"), str):
            return Refused(SCOPE, "content", "It is neither a text nor {template, params}; send it again as one.")
        params = content.get("params") or {}
        if not isinstance(params, dict) or not all(isinstance(value, str) for value in params.values()):
            return Refused(SCOPE, "content", "The values of params must be strings; send it again so.")
        limits = self.limits.get(name)
        if limits is not None and (missing := sorted(set(limits.variables) - set(params))):
            return Refused(SCOPE, "params_missing", f"The template wants {', '.join(missing)} too; send it again.")
        return Message(name, params, self._fill(name, params))

    async def publish(self, redis: Redis) -> None:
        """Tell the gateways. Raises RedisUnavailable."""
        words = [word for name, one in self.limits.items() for word in (name, one.encode())]
        await redis.run(PUBLISH, [template_limits_key(SCOPE)], words)

    def _fill(self, name: str, params: Mapping[str, str]) -> str:
        limits = self.limits.get(name)
        if limits is None or not limits.text:
            return "".join(params.values())
        return _VARIABLE.sub(lambda variable: params.get(variable[1], ""), limits.text)
