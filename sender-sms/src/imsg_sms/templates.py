"""Templates: which one a content uses at each provider, and the limits by which the gateway checks it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_channels.sms import accepts_value
from imsg_channels.sms_templates import SmsProviderTemplate, SmsTemplate, is_of_kind
from imsg_channels.templates import sign
from imsg_contract.results import Refused
from imsg_contract.route_limits import RouteLimits, TemplateLimits
from imsg_contract.topology import route_limits_key, template_limits_key
from imsg_runtime.redis import Redis, Script

PUBLISH = Script.of(
    """
redis.call('DEL', KEYS[1])
if #ARGV > 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return 1
"""
)
"""A script, so that no gateway reads a part of the templates."""

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")

SCOPE = "sms"
"""The `provider` of refusals by the channel itself."""


@dataclass(frozen=True, slots=True)
class Message:
    """The message of a chunk, the same for all its recipients."""

    template: str
    """Empty if no provider has templates."""
    params: Mapping[str, str]
    text: str
    """The text without signature; if the template's text is unknown, the values of its variables."""
    is_free_text: bool = False
    """The content is a text: each provider puts it into its own default template, or sends it unchanged."""
    has_words: bool = True
    """Whether `text` is the whole message. If not, providers that send any text can't send it."""
    signature: str = ""
    """In place of the account's; empty: that one."""
    by_provider: Mapping[str, tuple[str, Mapping[str, str]]] | None = None
    """Provider → its template and variables, where the user's template names them; no other provider can send it."""

    def at(self, provider: str) -> "Message | None":
        """Return the message as a provider sends it; None where it can't."""
        if self.by_provider is None:
            return self
        if provider not in self.by_provider:
            return None
        template, params = self.by_provider[provider]
        return Message(template, params, "".join(params.values()), has_words=False, signature=self.signature)


@dataclass(frozen=True, slots=True)
class ProviderTemplate:
    """The parameters of a call by an approved template."""

    id: str
    signature: str
    params: Mapping[str, str]
    """Values by the provider's names, in its order."""
    text: str
    """The text without signature."""


@dataclass(frozen=True, slots=True)
class TemplateMapping:
    """An approved template at a provider: its id, and its variables (our name → theirs, in their order)."""

    id: str
    signature: str
    names: Mapping[str, str]


class TemplateBook:
    """The templates of one account by our names, and their limits."""

    def __init__(
        self,
        signature: str,
        entries: Mapping[str, TemplateMapping],
        limits: Mapping[str, TemplateLimits],
        *,
        is_text: bool = False,
    ) -> None:
        """Make the book; `is_text`: a call has the signature in its text, in 【】."""
        self.limits = limits
        self._is_text = is_text
        self._signature = signature
        self._entries = entries
        self._default = next((name for name, template in limits.items() if template.default), None)

    def find(self, message: Message) -> ProviderTemplate:
        """Return the template and values of a message; a template without a description is used unchanged."""
        if message.is_free_text and self._default is not None:
            name, text = self._default, next(iter(message.params.values()), message.text)
            params: Mapping[str, str] = dict.fromkeys(self.limits[name].variables, text)
        else:
            name, params = message.template, message.params
        entry, limits, signature = self._entries.get(name), self.limits.get(name), message.signature
        if signature and self._is_text:
            limits = sign(limits or TemplateLimits(), signature)
            signature = limits.signature
        if entry is None:
            return ProviderTemplate(name, signature or self._signature, params, message.text)
        mapped = {theirs: params[ours] for ours, theirs in entry.names.items() if ours in params}
        words = "" if limits is None else limits.text
        return ProviderTemplate(
            entry.id,
            signature if message.signature else entry.signature,
            mapped or params,
            fill(words, params) if words else message.text,
        )


@dataclass(frozen=True, slots=True)
class TemplateAccount:
    """The settings of an account that its templates depend on."""

    provider: str
    signature: str
    longest: int | None
    """The most characters of any variable; 0: the account has no variables."""


TEXT = "text"
"""The name of the template of free text with a signature or suffix, at providers that send any text."""


def build_text_book(
    provider: str, templates: Mapping[str, SmsTemplate], *, signature: str = "", suffix: str = ""
) -> TemplateBook:
    """Return the templates of a provider that sends any text: it has every logical template."""
    entries: dict[str, TemplateMapping] = {}
    limits: dict[str, TemplateLimits] = {}
    for name, template in templates.items():
        way = template.providers.get(provider, SmsProviderTemplate())
        order = way.order or template.variables
        entries[name] = TemplateMapping(
            way.id or name, signature, {variable: way.names.get(variable, variable) for variable in order}
        )
        base = _limit(template, "", None)
        limits[name] = base.model_copy(update={"signature": signature, "text": template.text + suffix})
    if (signature or suffix) and not any(template.default for template in limits.values()):
        entries[TEXT] = TemplateMapping("", signature, {TEXT: TEXT})
        limits[TEXT] = TemplateLimits(
            default=True,
            signature=signature,
            text=f"${{{TEXT}}}{suffix}",
            variables={TEXT: None},
            links=True,
            breaks=True,
        )
    return TemplateBook(signature, entries, limits, is_text=True)


def build_account_book(
    account: TemplateAccount, templates: Mapping[str, SmsTemplate], own: Mapping[str, TemplateLimits]
) -> TemplateBook:
    """Return the templates of an account: the logical templates that name it, and those of its own settings (`own`)."""
    entries: dict[str, TemplateMapping] = {}
    limits: dict[str, TemplateLimits] = {}
    for name, template in templates.items():
        way = template.providers.get(account.provider)
        if way is None or (account.longest == 0 and template.variables):
            continue
        signature = way.signature or account.signature
        order = way.order or template.variables
        entries[name] = TemplateMapping(
            way.id, signature, {variable: way.names.get(variable, variable) for variable in order}
        )
        limits[name] = _limit(template, signature, account.longest)
    has_default = any(template.default for template in limits.values())
    for name, own_limits in own.items():
        if name in limits:
            continue
        entries[name] = TemplateMapping(
            name, account.signature, {variable: variable for variable in own_limits.variables}
        )
        variables = {
            variable: account.longest if longest is None else longest
            for variable, longest in own_limits.variables.items()
        }
        is_default = own_limits.default and not has_default and account.longest != 0
        limits[name] = own_limits.model_copy(update={"variables": variables, "default": is_default})
    return TemplateBook(account.signature, entries, limits)


def bracket(signature: str) -> str:
    """Return a signature in 【】; empty stays empty."""
    return f"【{signature}】" if signature else ""


def _limit(template: SmsTemplate, signature: str, longest: int | None) -> TemplateLimits:
    parameters = {name: template.parameter(name) for name in template.variables}
    return TemplateLimits(
        default=template.default,
        signature=bracket(signature),
        text=template.text,
        variables={name: _smaller(parameter.most, longest) for name, parameter in parameters.items()},
        least={name: parameter.least for name, parameter in parameters.items() if parameter.least},
        kinds={name: parameter.kind for name, parameter in parameters.items() if parameter.kind != "text"},
        links=template.links,
    )


def merge_limits(books: Sequence[Mapping[str, TemplateLimits]], *, takes_text: bool) -> dict[str, TemplateLimits]:
    """Merge the limits of a route's providers: text and signature of the first, the largest limit of each variable.

    Free text has the largest limit of any default template; `takes_text` says that a provider sends any text.
    """
    merged: dict[str, TemplateLimits] = {}
    for limits in books:
        for name, template in limits.items():
            merged[name] = template if name not in merged else _widen(merged[name], template)
    defaults = [name for name, template in merged.items() if template.default and len(template.variables) == 1]
    for other in defaults[1:]:
        merged[other] = merged[other].model_copy(update={"default": False})
    if defaults:
        first = merged[defaults[0]]
        default_limits = [template for limits in books for template in limits.values() if template.default]
        bounds = [bound for template in default_limits for bound in template.variables.values()]
        longest = None if takes_text or None in bounds else max(bound for bound in bounds if bound is not None)
        merged[defaults[0]] = first.model_copy(update={"variables": dict.fromkeys(first.variables, longest)})
    return merged


def _widen(first: TemplateLimits, second: TemplateLimits) -> TemplateLimits:
    """Return the first limits with the larger bound of each variable."""
    variables = {name: _larger(bound, second.variables.get(name, 0)) for name, bound in first.variables.items()}
    return first.model_copy(update={"default": first.default or second.default, "variables": variables})


def can_send(limits: Mapping[str, TemplateLimits], message: Message, *, takes_text: bool, is_known: bool) -> bool:
    """Return whether a provider can send a message.

    `limits` are its own; `is_known` says that any provider of the route describes the message's template.
    """
    if message.is_free_text:
        default = next((template for template in limits.values() if template.default), None)
        if default is None:
            return takes_text
        return takes_text or all(_fits(default, name, message) for name in default.variables)
    template = limits.get(message.template)
    if template is None:
        return takes_text or not is_known
    return all(_fits(template, name, message) for name in template.variables)


def _fits(limits: TemplateLimits, name: str, message: Message) -> bool:
    value = next(iter(message.params.values()), message.text) if message.is_free_text else message.params.get(name, "")
    return accepts_value(name, value, limits)


def describe_limits(
    limits: Mapping[str, TemplateLimits], known: Mapping[str, TemplateLimits], *, takes_text: bool
) -> dict[str, TemplateLimits] | None:
    """Return a provider's limits, by which the gateway judges as `can_send` does; None if no template is known.

    A provider that sends any text has no limit on free text, and can send every template whose text is known.
    """
    if not known or not takes_text:
        return dict(limits) if known else None
    signature = next((template.signature for template in limits.values()), "")
    others = {
        name: _without_bounds(template).model_copy(update={"default": False, "signature": signature})
        for name, template in known.items()
        if template.text and name not in limits
    }
    default = next((name for name, template in limits.items() if template.default), TEXT)
    free_text = _without_bounds(limits.get(default) or TemplateLimits(default=True, variables={TEXT: None}))
    return {**others, **limits, default: free_text}


def _without_bounds(limits: TemplateLimits) -> TemplateLimits:
    return limits.model_copy(update={"variables": dict.fromkeys(limits.variables), "links": True, "breaks": True})


def _smaller(first: int | None, second: int | None) -> int | None:
    bounds = [bound for bound in (first, second) if bound is not None]
    return min(bounds) if bounds else None


def _larger(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else max(first, second)


class Templates:
    """The templates of all providers. Free text fills the one variable of the default template, if there is one."""

    def __init__(self, limits: Mapping[str, TemplateLimits], routes: RouteLimits | None = None) -> None:
        """Make templates of the merged limits; `routes` are the limits of each provider."""
        self.limits = limits
        self._routes = routes or RouteLimits()
        self._default = next((name for name, template in limits.items() if template.default), None)

    def make_message(self, content: str | dict[str, Any] | None) -> Message | Refused:
        """Return the message of a content, a str or `{template, params}`, or why it is refused."""
        if isinstance(content, dict) and "template" not in content and isinstance(content.get("text"), str):
            content = content["text"]  # a text with the name of a sender
        if isinstance(content, str):
            if self._default is None:
                return Message("", {}, content, is_free_text=True)
            params = {next(iter(self.limits[self._default].variables)): content}
            return Message(self._default, params, self._fill(self._default, params), is_free_text=True)
        if not isinstance(content, dict) or not isinstance(name := content.get("template"), str):
            return Refused(SCOPE, "content", "It is neither a text nor {template, params}; send it again as one.")
        if (providers := content.get("providers")) is not None:
            by_provider = {
                provider: (rendered["template"], rendered.get("variables", {}))
                for provider, rendered in providers.items()
            }
            return Message(
                name, {}, "", has_words=False, signature=content.get("signature", ""), by_provider=by_provider
            )
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
        if odd := sorted(name for name, value in params.items() if not _is_right(limits, name, value)):
            return Refused(SCOPE, "params_kind", f"The template does not take {', '.join(odd)} so; send it again.")
        return None

    async def publish(self, redis: Redis) -> None:
        """Publish the templates for the gateways. Raises RedisUnavailable."""
        words = [word for name, limits in self.limits.items() for word in (name, limits.encode())]
        await redis.run(PUBLISH, [template_limits_key(SCOPE)], words)
        await redis.call("SET", route_limits_key(SCOPE), self._routes.encode())

    def _fill(self, name: str, params: Mapping[str, str]) -> str:
        limits = self.limits.get(name)
        return fill(limits.text, params) if limits is not None and limits.text else "".join(params.values())


def fill(words: str, params: Mapping[str, str]) -> str:
    """Return the text with each `${name}` replaced by its value."""
    return _VARIABLE.sub(lambda variable: params.get(variable[1], ""), words)


def _is_right(limits: TemplateLimits, name: str, value: str) -> bool:
    return len(value) >= limits.least.get(name, 0) and is_of_kind(limits.kinds.get(name, "text"), value)
