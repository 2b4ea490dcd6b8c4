"""Fills templates: checks values against the types of their fields, and cuts free text to fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import ClassVar
from urllib.parse import quote

from imsg_channels.wechat_kinds import MAX_UNTYPED_CHARACTERS, kind_of, name_kind
from imsg_contract.route_limits import TemplateLimits
from imsg_wechat.placeholders import MessageContext, Placeholder, compute, is_computed, read
from imsg_wechat.template_settings import (
    DeliveryOption,
    MessageTemplate,
    Miniprogram,
    NoticeOption,
    TemplateOption,
    TextOption,
)

CUT = "…"

MAX_TEXT_CHARACTERS, MAX_TEXT_BYTES = 600, 2_048
"""The limits of a customer-service text."""

Content = str | tuple[str, Mapping[str, str]]
"""Free text for the default template, or a template and its params."""


class UnfitValue(Exception):  # noqa: N818  its name says the error
    """A value does not fit its field; the text says why."""


@dataclass(frozen=True, slots=True)
class Page:
    """The page that a tap opens."""

    url: str = ""
    miniprogram: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """A template message."""

    kind: ClassVar[str] = "template"
    """The option's name in settings, logs and details; others have theirs."""
    template: str
    values: Mapping[str, str]
    page: Page = Page()


@dataclass(frozen=True, slots=True)
class Notice:
    """A subscribe notice."""

    kind: ClassVar[str] = "subscribe"
    template: str
    values: Mapping[str, str]
    page: Page = Page()


@dataclass(frozen=True, slots=True)
class Text:
    """A customer-service text."""

    kind: ClassVar[str] = "text"
    text: str


Outgoing = TemplateMessage | Notice | Text
"""A message by one delivery option."""


def cut(field: str, text: str, room: int | None = None) -> str:
    """Shorten free text to fit a field: line breaks become spaces, and long text ends with `…`. Raises UnfitValue.

    `room` is the number of characters for it; None: all that the field takes.
    """
    kind = kind_of(field)
    limit = (MAX_UNTYPED_CHARACTERS if kind is None else kind.longest) if room is None else room
    line = _join_lines(text)
    for length in (limit, limit // 2):  # a Chinese name may be half as long as a Latin one
        fitting = line if len(line) <= length else line[: max(0, length - len(CUT))].rstrip() + CUT
        if kind is None or room is not None or kind.accepts(fitting):
            return fitting
    raise UnfitValue(f"{field} takes {kind.wants.en}" if kind is not None else field)


def check(field: str, value: str) -> str:
    """Return the value of a field if it fits; a field without a type cuts it. Raises UnfitValue."""
    kind = kind_of(field)
    if kind is None:
        return cut(field, value)
    if not kind.accepts(value):
        raise UnfitValue(f"{field} takes {kind.wants.en}")
    return value


def _join_lines(text: str) -> str:
    """Return a text as one line: WeChat cuts a field at its first line break."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _quote(value: str) -> str:
    return quote(value, safe="")


def _unchanged(value: str) -> str:
    return value


@dataclass(frozen=True, slots=True)
class TemplateValues:
    """The values of one message."""

    params: Mapping[str, str]
    context: MessageContext
    zone: tzinfo
    free: str | None = None
    """The parameter that is free text, which may be cut."""

    def render(self, text: str, encode: Callable[[str], str] = _unchanged, *, without: str | None = None) -> str:
        """Return a text with the values, each encoded; the parameter `without` is left empty."""
        return "".join(part if isinstance(part, str) else encode(self._value(part, without)) for part in read(text))

    def _value(self, placeholder: Placeholder, without: str | None) -> str:
        if is_computed(placeholder.name):
            return compute(placeholder, self.context, self.zone)
        return "" if placeholder.name == without else self.params[placeholder.name]

    def fill(self, field: str, text: str) -> str:
        """Return the value of one field. Raises UnfitValue."""
        if self.free is None or not _names(text, self.free):
            return check(field, self.render(text))
        if text == f"${{{self.free}}}":
            return cut(field, self.params[self.free])
        kind = kind_of(field)
        longest = MAX_UNTYPED_CHARACTERS if kind is None else kind.longest
        room = max(1, longest - len(self.render(text, without=self.free)))
        return check(field, self._replace(cut(field, self.params[self.free], room)).render(text))

    def fill_text(self, text: str) -> str:
        """Return a customer-service text; free text in it is cut to fit. Raises UnfitValue."""
        whole = self.render(text)
        if fits_text(whole):
            return whole
        if self.free is None or not _names(text, self.free):
            raise UnfitValue(f"a text takes up to {MAX_TEXT_CHARACTERS} characters and {MAX_TEXT_BYTES} bytes")
        around = self.render(text, without=self.free)
        start = self.params[self.free][: max(0, MAX_TEXT_CHARACTERS - len(around) - len(CUT))]
        room = max(0, MAX_TEXT_BYTES - len((around + CUT).encode()))
        start = start.encode()[:room].decode("utf-8", "ignore")
        return self._replace(start.rstrip() + CUT).render(text)

    def _replace(self, text: str) -> "TemplateValues":
        assert self.free is not None  # noqa: S101  checked by its callers
        return TemplateValues({**self.params, self.free: text}, self.context, self.zone, self.free)


def fits_text(text: str) -> bool:
    """Return whether a customer-service text is short enough."""
    return len(text) <= MAX_TEXT_CHARACTERS and len(text.encode("utf-8", "replace")) <= MAX_TEXT_BYTES


def _names(text: str, param: str) -> bool:
    return any(isinstance(part, Placeholder) and part.name == param for part in read(text))


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of one account."""

    default: str
    known: Mapping[str, MessageTemplate]
    zone: tzinfo = UTC

    @classmethod
    def of(cls, default: str, variable: str, more: Mapping[str, MessageTemplate], zone: tzinfo = UTC) -> "Templates":
        """Return an account's templates; a default one that is not among `more` has a single field."""
        if default in more:
            return cls(default, more, zone)
        single = MessageTemplate(options=(TemplateOption(id=default, fields={variable: f"${{{variable}}}"}),))
        return cls(default, {**more, default: single}, zone)

    def fill(self, content: Content, context: MessageContext) -> tuple[Outgoing, ...]:
        """Return a content by each delivery option that it fits, in order. Raises UnfitValue if it fits none."""
        name, params, free = self._read(content)
        values_ = TemplateValues(params, context, self.zone, free)
        fitting: list[Outgoing] = []
        why: UnfitValue | None = None
        for option in self.known[name].options:
            try:
                fitting.append(_fill(option, values_))
            except UnfitValue as unfit:
                why = unfit
        if why is not None and not fitting:
            raise why
        return tuple(fitting)

    def _read(self, content: Content) -> tuple[str, Mapping[str, str], str | None]:
        """Return the template, its params, and which of them is free text. Raises UnfitValue."""
        if isinstance(content, str):
            names = self.known[self.default].params
            if len(names) != 1:
                raise UnfitValue("the default template takes no free text; give {template, params}")
            return self.default, {names[0]: content}, names[0]
        name, params = content
        template = self.known.get(name)
        if template is None:
            raise UnfitValue(f"the account has no template {name[:64]}")
        if set(params) != set(template.params):
            raise UnfitValue(f"the template takes {', '.join(template.params) or 'no params'}")
        return name, params, None

    def limits(self) -> dict[str, TemplateLimits]:
        """Return template → the limits that the gateway checks."""
        return {name: _find_limits(template, is_default=name == self.default) for name, template in self.known.items()}

    def ids(self, kind: type[TemplateOption] | type[NoticeOption]) -> Mapping[str, frozenset[str]]:
        """Return the template ids of all options of a kind → the fields that are filled."""
        fields: dict[str, frozenset[str]] = {}
        for template in self.known.values():
            for option in template.options:
                if isinstance(option, kind):
                    fields[option.id] = fields.get(option.id, frozenset()) | frozenset(option.fields)
        return fields

    @property
    def has_texts(self) -> bool:
        """Whether a template has the option of a customer-service text."""
        return any(isinstance(option, TextOption) for template in self.known.values() for option in template.options)


def _fill(option: DeliveryOption, values_: TemplateValues) -> Outgoing:
    """Return a message by one delivery option. Raises UnfitValue."""
    if isinstance(option, TextOption):
        return Text(values_.fill_text(option.text))
    values = {name: values_.fill(name, text) for name, text in option.fields.items()}
    miniprogram = _fill_miniprogram(option.miniprogram, values_)
    if isinstance(option, NoticeOption):
        return Notice(option.id, values, Page(values_.render(option.page, _quote), miniprogram))
    return TemplateMessage(option.id, values, Page(values_.render(option.url, _quote), miniprogram))


def _fill_miniprogram(miniprogram: Miniprogram | None, values_: TemplateValues) -> Mapping[str, str] | None:
    if miniprogram is None:
        return None
    return {"appid": miniprogram.appid, "pagepath": values_.render(miniprogram.pagepath, _quote)}


def find_unfit(templates: Templates) -> Sequence[str]:
    """Return a sentence for each fixed value that does not fit its field."""
    context = MessageContext("0" * 32, "user", "account", datetime(2026, 11, 25, 15, 1, tzinfo=UTC))
    values_ = TemplateValues({}, context, templates.zone)
    wrong = []
    for name, template in templates.known.items():
        for option in template.options:
            for field, text in () if isinstance(option, TextOption) else option.fields.items():
                if any(isinstance(part, Placeholder) and not is_computed(part.name) for part in read(text)):
                    continue
                try:
                    values_.fill(field, text)
                except UnfitValue as unfit:
                    wrong.append(f"{name}: {unfit}")
    return wrong


def _find_limits(template: MessageTemplate, *, is_default: bool) -> TemplateLimits:
    """Return the limit of each param: that of the tightest field that has it."""
    longest: dict[str, int | None] = dict.fromkeys(template.params)
    kinds: dict[str, str] = {}
    breaks = True
    for option in template.options:
        texts = {"": option.text} if isinstance(option, TextOption) else option.fields
        for field, text in texts.items():
            breaks &= kind_of(field) is None
            for name, limit in _find_room(field, text).items():
                known = longest[name]
                longest[name] = limit if known is None or (limit is not None and limit < known) else known
                if text == f"${{{name}}}" and (kind := name_kind(field)) is not None:
                    kinds.setdefault(name, f"wechat.{kind}")
    return TemplateLimits(default=is_default, variables=longest, kinds=kinds, links=True, breaks=breaks)


def _find_room(field: str, text: str) -> Mapping[str, int | None]:
    """Return how many characters are left for each param beside the fixed text; None: unlimited."""
    kind = kind_of(field)
    parts = list(read(text))
    fixed = sum(len(part) for part in parts if isinstance(part, str))
    named = {part.name for part in parts if isinstance(part, Placeholder) and not is_computed(part.name)}
    longest = MAX_TEXT_CHARACTERS if not field else None if kind is None else kind.longest
    return {name: None if longest is None else max(1, longest - fixed) for name in named}


def merge_limits(accounts: Mapping[str, Templates]) -> dict[str, TemplateLimits]:
    """Merge the limits of all accounts by template: those of the first account, with the widest limit of a variable."""
    merged: dict[str, TemplateLimits] = {}
    for templates in accounts.values():
        for name, limits in templates.limits().items():
            merged[name] = limits if name not in merged else _widen(merged[name], limits)
    return merged


def _widen(first: TemplateLimits, second: TemplateLimits) -> TemplateLimits:
    bounds = {name: _larger(bound, second.variables.get(name, 0)) for name, bound in first.variables.items()}
    kinds = {name: kind for name, kind in first.kinds.items() if second.kinds.get(name) == kind}
    wider = {
        "variables": bounds,
        "kinds": kinds,
        "default": first.default or second.default,
        "breaks": first.breaks or second.breaks,
    }
    return first.model_copy(update=wider)


def _larger(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else max(first, second)
