"""Templates: how a content becomes a provider's call, and the limits by which the gateway checks it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_channels.sms import takes_value
from imsg_channels.sms_templates import SmsTemplate, Way, is_of_kind
from imsg_contract.topology import route_limits_key, template_limits_key
from imsg_contract.wire import Refused, RouteLimits, TemplateLimits
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
    """The message that all recipients of a chunk get."""

    template: str
    """Empty where the providers know no templates."""
    params: Mapping[str, str]
    text: str
    """As it arrives but for the signature, as far as the template's words are known."""
    is_free: bool = False
    """It came as a text: each provider puts it into its own default template, or sends it as it is."""
    has_words: bool = True
    """Whether `text` is the whole message; else it is the variables alone, and no provider of words can send it."""


@dataclass(frozen=True, slots=True)
class ProviderTemplate:
    """An approved template as a provider is told it."""

    id: str
    signature: str
    params: Mapping[str, str]
    """By the provider's names, in its order."""
    text: str
    """The words as they arrive, but for the signature."""


@dataclass(frozen=True, slots=True)
class TemplateMapping:
    """An approved template of a provider: what it is there, and its variables, ours → theirs in their order."""

    id: str
    signature: str
    names: Mapping[str, str]


class TemplateBook:
    """The templates that one provider sends by, under our names, and what each of them takes."""

    def __init__(
        self, signature: str, entries: Mapping[str, TemplateMapping], limits: Mapping[str, TemplateLimits]
    ) -> None:
        self.limits = limits
        self._signature = signature
        self._entries = entries
        self._default = next((name for name, one in limits.items() if one.default), None)

    def find(self, message: Message) -> ProviderTemplate:
        """Say by what a message is sent there; a template that nobody described goes as it was given."""
        if message.is_free and self._default is not None:
            name, text = self._default, next(iter(message.params.values()), message.text)
            params: Mapping[str, str] = dict.fromkeys(self.limits[name].variables, text)
        else:
            name, params = message.template, message.params
        entry = self._entries.get(name)
        if entry is None:
            return ProviderTemplate(name, self._signature, params, message.text)
        mapped = {theirs: params[ours] for ours, theirs in entry.names.items() if ours in params}
        words = self.limits[name].text
        return ProviderTemplate(
            entry.id, entry.signature, mapped or params, fill(words, params) if words else message.text
        )


@dataclass(frozen=True, slots=True)
class Account:
    """What of an account's settings its templates depend on."""

    provider: str
    signature: str
    longest: int | None
    """Characters that a variable takes, whatever its template says; 0: the account has no variables at all."""


TEXT = "text"
"""The template that stands for free text at providers that send any words, where something is put around it."""


def describe_text(
    provider: str, templates: Mapping[str, SmsTemplate], *, signature: str = "", suffix: str = ""
) -> TemplateBook:
    """Make the book of a provider that sends any words: it knows every logical template, whoever else is named."""
    entries: dict[str, TemplateMapping] = {}
    limits: dict[str, TemplateLimits] = {}
    for name, template in templates.items():
        way = template.providers.get(provider, Way())
        order = way.order or template.variables
        entries[name] = TemplateMapping(way.id or name, signature, {each: way.names.get(each, each) for each in order})
        one = _limit(template, "", None)
        limits[name] = one.model_copy(update={"signature": signature, "text": template.text + suffix})
    if (signature or suffix) and not any(one.default for one in limits.values()):
        entries[TEXT] = TemplateMapping("", signature, {TEXT: TEXT})
        limits[TEXT] = TemplateLimits(
            default=True,
            signature=signature,
            text=f"${{{TEXT}}}{suffix}",
            variables={TEXT: None},
            links=True,
            breaks=True,
        )
    return TemplateBook(signature, entries, limits)


def describe(account: Account, templates: Mapping[str, SmsTemplate], own: Mapping[str, TemplateLimits]) -> TemplateBook:
    """Make the book of an account: logical templates that name it, and what its own settings say of others."""
    entries: dict[str, TemplateMapping] = {}
    limits: dict[str, TemplateLimits] = {}
    for name, template in templates.items():
        way = template.providers.get(account.provider)
        if way is None or (account.longest == 0 and template.variables):
            continue
        signature = way.signature or account.signature
        order = way.order or template.variables
        entries[name] = TemplateMapping(way.id, signature, {each: way.names.get(each, each) for each in order})
        limits[name] = _limit(template, signature, account.longest)
    has_default = any(one.default for one in limits.values())
    for name, one in own.items():
        if name in limits:
            continue
        entries[name] = TemplateMapping(name, account.signature, {each: each for each in one.variables})
        variables = {each: account.longest if most is None else most for each, most in one.variables.items()}
        is_default = one.default and not has_default and account.longest != 0
        limits[name] = one.model_copy(update={"variables": variables, "default": is_default})
    return TemplateBook(account.signature, entries, limits)


def mark(signature: str) -> str:
    """Write a signature as it arrives."""
    return f"【{signature}】" if signature else ""


def _limit(template: SmsTemplate, signature: str, longest: int | None) -> TemplateLimits:
    parameters = {name: template.parameter(name) for name in template.variables}
    return TemplateLimits(
        default=template.default,
        signature=mark(signature),
        text=template.text,
        variables={name: _smaller(one.most, longest) for name, one in parameters.items()},
        least={name: one.least for name, one in parameters.items() if one.least},
        kinds={name: one.kind for name, one in parameters.items() if one.kind != "text"},
        links=template.links,
    )


def merge_limits(books: Sequence[Mapping[str, TemplateLimits]], *, takes_text: bool) -> dict[str, TemplateLimits]:
    """Say what any provider of a route takes: words and signature as the first has them, the largest of the limits.

    Free text is bounded by the default template that takes most; with `takes_text`, one of them takes any text.
    """
    known: dict[str, TemplateLimits] = {}
    for limits in books:
        for name, one in limits.items():
            before = known.get(name)
            known[name] = one if before is None else before.model_copy(
                update={
                    "default": before.default or one.default,
                    "variables": {
                        each: _larger(most, one.variables.get(each, 0)) for each, most in before.variables.items()
                    },
                }
            )  # fmt: skip
    defaults = [name for name, one in known.items() if one.default and len(one.variables) == 1]
    for other in defaults[1:]:
        known[other] = known[other].model_copy(update={"default": False})
    if defaults:
        first = known[defaults[0]]
        free = [most for limits in books for one in limits.values() if one.default for most in one.variables.values()]
        most = None if takes_text or None in free else max(one for one in free if one is not None)
        known[defaults[0]] = first.model_copy(update={"variables": dict.fromkeys(first.variables, most)})
    return known


def takes(limits: Mapping[str, TemplateLimits], message: Message, *, takes_text: bool, is_known: bool) -> bool:
    """Tell whether a provider can send a message: others are passed by.

    `limits` are its own, `is_known` says that some provider of the route describes the message's template.
    """
    if message.is_free:
        default = next((one for one in limits.values() if one.default), None)
        if default is None:
            return takes_text
        return takes_text or all(_fits(default, name, message) for name in default.variables)
    one = limits.get(message.template)
    if one is None:
        return takes_text or not is_known
    return all(_fits(one, name, message) for name in one.variables)


def _fits(limits: TemplateLimits, name: str, message: Message) -> bool:
    value = next(iter(message.params.values()), message.text) if message.is_free else message.params.get(name, "")
    return takes_value(name, value, limits)


def describe_limits(
    limits: Mapping[str, TemplateLimits], known: Mapping[str, TemplateLimits], *, takes_text: bool
) -> dict[str, TemplateLimits] | None:
    """Say all that a provider takes, by which the gateway judges as `takes` does; None where no template is known.

    A provider of words also takes free text of any length, and the templates whose words another one knows.
    """
    if not known or not takes_text:
        return dict(limits) if known else None
    signature = next((one.signature for one in limits.values()), "")
    words = {
        name: _open(one).model_copy(update={"default": False, "signature": signature})
        for name, one in known.items()
        if one.text and name not in limits
    }
    default = next((name for name, one in limits.items() if one.default), TEXT)
    free = _open(limits.get(default) or TemplateLimits(default=True, variables={TEXT: None}))
    return {**words, **limits, default: free}


def _open(limits: TemplateLimits) -> TemplateLimits:
    return limits.model_copy(update={"variables": dict.fromkeys(limits.variables), "links": True, "breaks": True})


def _smaller(one: int | None, other: int | None) -> int | None:
    given = [each for each in (one, other) if each is not None]
    return min(given) if given else None


def _larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


class Templates:
    """The templates there are; one may be the default, into whose one variable free text goes."""

    def __init__(self, limits: Mapping[str, TemplateLimits], routes: RouteLimits | None = None) -> None:
        """`routes` say what each provider takes of them."""
        self.limits = limits
        self._routes = routes or RouteLimits()
        self._default = next((name for name, one in limits.items() if one.default), None)

    def message(self, content: str | dict[str, Any] | None) -> Message | Refused:
        """Make ready what a client wrote: a str, or `{template, params}`."""
        if isinstance(content, str):
            if self._default is None:
                return Message("", {}, content, is_free=True)
            params = {next(iter(self.limits[self._default].variables)): content}
            return Message(self._default, params, self._fill(self._default, params), is_free=True)
        if not isinstance(content, dict) or not isinstance(name := content.get("template"), str):
            return Refused(SCOPE, "content", "It is neither a text nor {template, params}; send it again as one.")
        params = content.get("params") or {}
        if not isinstance(params, dict) or not all(isinstance(value, str) for value in params.values()):
            return Refused(SCOPE, "content", "The values of params must be strings; send it again so.")
        known = self.limits.get(name)
        has_words = known is not None and bool(known.text)
        return self._refusal(name, params) or Message(name, params, self._fill(name, params), has_words=has_words)

    def _refusal(self, name: str, params: Mapping[str, str]) -> Refused | None:
        limits = self.limits.get(name)
        if limits is None:
            return None
        if missing := sorted(set(limits.variables) - set(params)):
            return Refused(SCOPE, "params_missing", f"The template wants {', '.join(missing)} too; send it again.")
        if odd := sorted(each for each, value in params.items() if not _is_right(limits, each, value)):
            return Refused(SCOPE, "params_kind", f"The template does not take {', '.join(odd)} so; send it again.")
        return None

    async def publish(self, redis: Redis) -> None:
        """Publish the templates for the gateways. Raises RedisUnavailable."""
        words = [word for name, one in self.limits.items() for word in (name, one.encode())]
        await redis.run(PUBLISH, [template_limits_key(SCOPE)], words)
        await redis.call("SET", route_limits_key(SCOPE), self._routes.encode())

    def _fill(self, name: str, params: Mapping[str, str]) -> str:
        limits = self.limits.get(name)
        return fill(limits.text, params) if limits is not None and limits.text else "".join(params.values())


def fill(words: str, params: Mapping[str, str]) -> str:
    """Put values in the places of `${name}`."""
    return _VARIABLE.sub(lambda variable: params.get(variable[1], ""), words)


def _is_right(limits: TemplateLimits, name: str, value: str) -> bool:
    return len(value) >= limits.least.get(name, 0) and is_of_kind(limits.kinds.get(name, "text"), value)
