"""From contents to what WeChat is sent: fields filled and held to their types, free text cut to the room there is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from urllib.parse import quote

from imsg_channels.wechat_kinds import MAX_UNTYPED_CHARACTERS, kind_of, name_kind
from imsg_contract.wire import TemplateLimits
from imsg_wechat.placeholders import Occasion, Placeholder, compute, is_computed, read
from imsg_wechat.template_settings import MessageTemplate, Miniprogram, NoticeWay, TemplateWay, TextWay, Way

CUT = "…"

MAX_TEXT_CHARACTERS, MAX_TEXT_BYTES = 600, 2_048
"""Of a customer-service text."""

Content = str | tuple[str, Mapping[str, str]]
"""Free text for the default template, or a template and its params."""


class Unfit(Exception):  # noqa: N818  a verdict about a value
    """A value does not fit its field; the text says why."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where a tap leads."""

    url: str = ""
    miniprogram: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """A template message."""

    template: str
    values: Mapping[str, str]
    page: Page = Page()


@dataclass(frozen=True, slots=True)
class Notice:
    """A subscribe notice."""

    template: str
    values: Mapping[str, str]
    page: Page = Page()


@dataclass(frozen=True, slots=True)
class Text:
    """A customer-service text."""

    text: str


Outgoing = TemplateMessage | Notice | Text
"""One way in which a message may be sent."""


def cut(field: str, text: str, room: int | None = None) -> str:
    """Make free text fit: its line breaks become spaces, and what is too long ends with `…`. Raises Unfit.

    `room` is how many characters there are for it; left out: all that the field takes.
    """
    kind = kind_of(field)
    limit = (MAX_UNTYPED_CHARACTERS if kind is None else kind.longest) if room is None else room
    line = _fold(text)
    for most in (limit, limit // 2):  # a Chinese name may be half as long as a Latin one
        fitting = line if len(line) <= most else line[: max(0, most - len(CUT))].rstrip() + CUT
        if kind is None or room is not None or kind.takes(fitting):
            return fitting
    raise Unfit(f"{field} takes {kind.wants.en}" if kind is not None else field)


def check(field: str, value: str) -> str:
    """Return a value that somebody chose for this field, if it fits; a classic field cuts it. Raises Unfit."""
    kind = kind_of(field)
    if kind is None:
        return cut(field, value)
    if not kind.takes(value):
        raise Unfit(f"{field} takes {kind.wants.en}")
    return value


def _fold(text: str) -> str:
    """Make one line of a text: WeChat cuts a field at its first line break."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _quote(value: str) -> str:
    return quote(value, safe="")


def _as_it_is(value: str) -> str:
    return value


@dataclass(frozen=True, slots=True)
class Filling:
    """The values of one message."""

    params: Mapping[str, str]
    occasion: Occasion
    zone: tzinfo
    free: str | None = None
    """The one parameter that is free text, which may be cut."""

    def write(self, text: str, encode: Callable[[str], str] = _as_it_is, *, without: str | None = None) -> str:
        """Put the values into a text, each encoded; the parameter `without` as if it were empty."""
        return "".join(part if isinstance(part, str) else encode(self._value(part, without)) for part in read(text))

    def _value(self, place: Placeholder, without: str | None) -> str:
        if is_computed(place.name):
            return compute(place, self.occasion, self.zone)
        return "" if place.name == without else self.params[place.name]

    def fill(self, field: str, text: str) -> str:
        """Write one field. Raises Unfit."""
        if self.free is None or not _names(text, self.free):
            return check(field, self.write(text))
        if text == f"${{{self.free}}}":
            return cut(field, self.params[self.free])
        kind = kind_of(field)
        longest = MAX_UNTYPED_CHARACTERS if kind is None else kind.longest
        room = max(1, longest - len(self.write(text, without=self.free)))
        return check(field, self._replace(cut(field, self.params[self.free], room)).write(text))

    def say(self, text: str) -> str:
        """Write a customer-service text, cut where it is free text. Raises Unfit."""
        whole = self.write(text)
        if fits_text(whole):
            return whole
        if self.free is None or not _names(text, self.free):
            raise Unfit(f"a text takes up to {MAX_TEXT_CHARACTERS} characters and {MAX_TEXT_BYTES} bytes")
        around = self.write(text, without=self.free)
        said = self.params[self.free][: max(0, MAX_TEXT_CHARACTERS - len(around) - len(CUT))]
        room = max(0, MAX_TEXT_BYTES - len((around + CUT).encode()))
        said = said.encode()[:room].decode("utf-8", "ignore")
        return self._replace(said.rstrip() + CUT).write(text)

    def _replace(self, text: str) -> "Filling":
        assert self.free is not None  # noqa: S101  its callers have looked
        return Filling({**self.params, self.free: text}, self.occasion, self.zone, self.free)


def fits_text(text: str) -> bool:
    """Tell whether a customer-service text is short enough."""
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
        """Know an account's templates; the default one is described with the others, or is one of a single field."""
        if default in more:
            return cls(default, more, zone)
        plain = MessageTemplate(ways=(TemplateWay(id=default, fields={variable: f"${{{variable}}}"}),))
        return cls(default, {**more, default: plain}, zone)

    def fill(self, content: Content, occasion: Occasion) -> tuple[Outgoing, ...]:
        """Return the ways in which a content may go, in order; those that it does not fit are left out.

        Raises Unfit where it fits none.
        """
        name, params, free = self._read(content)
        filling = Filling(params, occasion, self.zone, free)
        fitting: list[Outgoing] = []
        why: Unfit | None = None
        for way in self.known[name].ways:
            try:
                fitting.append(_fill(way, filling))
            except Unfit as unfit:
                why = unfit
        if why is not None and not fitting:
            raise why
        return tuple(fitting)

    def _read(self, content: Content) -> tuple[str, Mapping[str, str], str | None]:
        """Return the template, its params, and which of them is free text. Raises Unfit."""
        if isinstance(content, str):
            wanted = self.known[self.default].params
            if len(wanted) != 1:
                raise Unfit("the default template takes no free text; give {template, params}")
            return self.default, {wanted[0]: content}, wanted[0]
        name, params = content
        template = self.known.get(name)
        if template is None:
            raise Unfit(f"the account has no template {name[:64]}")
        if set(params) != set(template.params):
            raise Unfit(f"the template takes {', '.join(template.params) or 'no params'}")
        return name, params, None

    def limits(self) -> dict[str, TemplateLimits]:
        """Say what the gateway may check, by template."""
        return {name: _limits(one, is_default=name == self.default) for name, one in self.known.items()}

    def ids(self, kind: type[TemplateWay] | type[NoticeWay]) -> Mapping[str, frozenset[str]]:
        """List the ids that are used at WeChat by ways of a kind → the fields that are filled of each."""
        found: dict[str, frozenset[str]] = {}
        for template in self.known.values():
            for way in template.ways:
                if isinstance(way, kind):
                    found[way.id] = found.get(way.id, frozenset()) | frozenset(way.fields)
        return found

    @property
    def has_texts(self) -> bool:
        """Whether any message may go as a customer-service text."""
        return any(isinstance(way, TextWay) for template in self.known.values() for way in template.ways)


def _fill(way: Way, filling: Filling) -> Outgoing:
    """Write a message as one way sends it. Raises Unfit."""
    if isinstance(way, TextWay):
        return Text(filling.say(way.text))
    values = {name: filling.fill(name, text) for name, text in way.fields.items()}
    miniprogram = _fill_miniprogram(way.miniprogram, filling)
    if isinstance(way, NoticeWay):
        return Notice(way.id, values, Page(filling.write(way.page, _quote), miniprogram))
    return TemplateMessage(way.id, values, Page(filling.write(way.url, _quote), miniprogram))


def _fill_miniprogram(miniprogram: Miniprogram | None, filling: Filling) -> Mapping[str, str] | None:
    if miniprogram is None:
        return None
    return {"appid": miniprogram.appid, "pagepath": filling.write(miniprogram.pagepath, _quote)}


def find_wrong(templates: Templates) -> Sequence[str]:
    """Say which values that no message changes do not fit their fields, as sentences."""
    occasion = Occasion("0" * 32, "user", "account", datetime(2026, 11, 25, 15, 1, tzinfo=UTC))
    filling = Filling({}, occasion, templates.zone)
    wrong = []
    for name, template in templates.known.items():
        for way in template.ways:
            for field, text in () if isinstance(way, TextWay) else way.fields.items():
                if any(isinstance(part, Placeholder) and not is_computed(part.name) for part in read(text)):
                    continue
                try:
                    filling.fill(field, text)
                except Unfit as unfit:
                    wrong.append(f"{name}: {unfit}")
    return wrong


def _limits(template: MessageTemplate, *, is_default: bool) -> TemplateLimits:
    """Say of each param what the tightest of the fields that it goes into takes."""
    longest: dict[str, int | None] = dict.fromkeys(template.params)
    kinds: dict[str, str] = {}
    breaks = True
    for way in template.ways:
        texts = {"": way.text} if isinstance(way, TextWay) else way.fields
        for field, text in texts.items():
            breaks &= kind_of(field) is None
            for name, most in _room(field, text).items():
                known = longest[name]
                longest[name] = most if known is None or (most is not None and most < known) else known
                if text == f"${{{name}}}" and (kind := name_kind(field)) is not None:
                    kinds.setdefault(name, f"wechat.{kind}")
    return TemplateLimits(default=is_default, variables=longest, kinds=kinds, links=True, breaks=breaks)


def _room(field: str, text: str) -> Mapping[str, int | None]:
    """Say how many characters each param of a text may have, the fixed words being there; None: no limit is known."""
    kind = kind_of(field)
    parts = list(read(text))
    fixed = sum(len(part) for part in parts if isinstance(part, str))
    named = {part.name for part in parts if isinstance(part, Placeholder) and not is_computed(part.name)}
    longest = MAX_TEXT_CHARACTERS if not field else None if kind is None else kind.longest
    return {name: None if longest is None else max(1, longest - fixed) for name in named}


def merge_limits(accounts: Mapping[str, Templates]) -> dict[str, TemplateLimits]:
    """Say what the gateway may check, by template: where several accounts have one of a name, by the tightest."""
    found: dict[str, TemplateLimits] = {}
    for templates in accounts.values():
        for name, limits in templates.limits().items():
            found[name] = limits if name not in found else _tighten(found[name], limits)
    return found


def _tighten(one: TemplateLimits, other: TemplateLimits) -> TemplateLimits:
    variables = {
        name: min((most for most in (one.variables[name], other.variables.get(name)) if most is not None), default=None)
        for name in one.variables
    }
    return one.model_copy(
        update={
            "variables": variables,
            "default": one.default or other.default,
            "kinds": {**other.kinds, **one.kinds},
            "breaks": one.breaks and other.breaks,
        }
    )
