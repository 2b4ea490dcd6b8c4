"""What a template's variables take, by the types WeChat gives them: what fits, what is cut, what is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imsg_contract.wire import TemplateLimits

CUT = "…"

MAX_UNTYPED_CHARACTERS = 1_000
"""Of a classic variable such as `content` or `keyword1`: WeChat names no limit, and cuts what it shows."""


class Unfit(Exception):  # noqa: N818  a verdict about a value
    """A value does not fit its variable; the text says why."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of variables (docs/providers.md, WeChat)."""

    longest: int
    shape: re.Pattern[str]
    wants: str


_ANY = re.compile(r".*", re.DOTALL)
_TIME = re.compile(r"(?=.*\d)[\d年月日时分秒点上下午星期周一二三四五六天:：/.~\- ]{1,40}")

KINDS: Mapping[str, Kind] = {
    "thing": Kind(20, _ANY, "up to 20 characters"),
    "number": Kind(32, re.compile(r"[+-]?\d+(?:\.\d+)?"), "a number of up to 32 digits"),
    "letter": Kind(32, re.compile(r"[A-Za-z]+"), "up to 32 letters"),
    "symbol": Kind(5, re.compile(r"[^\w\s]+"), "up to 5 symbols"),
    "character_string": Kind(32, re.compile(r"[\x20-\x7e]+"), "up to 32 ASCII characters"),
    "time": Kind(40, _TIME, "a time such as 15:01 or 2026年11月25日 15:01"),
    "date": Kind(40, _TIME, "a date such as 2026年11月25日"),
    "amount": Kind(14, re.compile(r"[^\w\s.]?\d{1,10}(?:\.\d+)?元?"), "a currency sign and up to 10 digits"),
    "phone_number": Kind(17, re.compile(r"[0-9+\- ]+"), "a phone number of up to 17 characters"),
    "car_number": Kind(8, re.compile(r"[\w·]+"), "a number plate of up to 8 characters"),
    "name": Kind(20, re.compile(r"[A-Za-z .·]{1,20}|\D{1,10}"), "up to 10 Chinese characters or 20 letters"),
    "phrase": Kind(5, re.compile(r"[\u3400-\u9fff]+"), "up to 5 Chinese characters"),
    "const": Kind(20, _ANY, "one of the template's own values"),
    "enum": Kind(20, _ANY, "one of the template's own values"),
}
"""Type → what it takes. A variable `thing3` is of the type `thing`; one without a number has none."""

_TYPED = re.compile(r"([a-z_]+?)\d+")


def kind_of(variable: str) -> Kind | None:
    """Find the type of a variable by its name; None for a classic one."""
    match = _TYPED.fullmatch(variable)
    return KINDS.get(match[1]) if match else None


def longest(variable: str) -> int | None:
    """Say how many characters a variable takes; None where WeChat names no limit."""
    kind = kind_of(variable)
    return None if kind is None else kind.longest


def cut(variable: str, text: str) -> str:
    """Make free text fit: its line breaks become spaces, and what is too long ends with `…`. Raises Unfit."""
    kind = kind_of(variable)
    limit = MAX_UNTYPED_CHARACTERS if kind is None else kind.longest
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    for most in (limit, limit // 2):  # a Chinese name may be half as long as a Latin one
        fitting = line if len(line) <= most else line[: most - len(CUT)].rstrip() + CUT
        if kind is None or kind.shape.fullmatch(fitting):
            return fitting
    raise Unfit(f"{variable} takes {kind.wants}" if kind is not None else variable)


def check(variable: str, value: str) -> str:
    """Return a value that somebody chose for this variable, if it fits. Raises Unfit."""
    kind = kind_of(variable)
    if kind is not None and (len(value) > kind.longest or not value.isprintable() or not kind.shape.fullmatch(value)):
        raise Unfit(f"{variable} takes {kind.wants}")
    return value


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of one account."""

    default: str
    variable: str
    more: Mapping[str, tuple[str, ...]]

    def fill(self, content: str | tuple[str, Mapping[str, str]]) -> tuple[str, dict[str, str]]:
        """Return (template, its values) for free text, or for (template, params). Raises Unfit."""
        if isinstance(content, str):
            return self.default, {self.variable: cut(self.variable, content)}
        template, params = content
        wanted = (self.variable,) if template == self.default else self.more.get(template)
        if wanted is None:
            raise Unfit(f"the account has no template {template[:64]}")
        if set(params) != set(wanted):
            raise Unfit(f"the template takes {', '.join(wanted)}")
        return template, {name: check(name, params[name]) for name in wanted}

    def limits(self) -> dict[str, TemplateLimits]:
        """Say what the gateway may check, by template."""
        more = {name: _limits(variables, default=False) for name, variables in self.more.items()}
        return more | {self.default: _limits((self.variable,), default=True)}


def _limits(variables: tuple[str, ...], *, default: bool) -> TemplateLimits:
    breaks = all(kind_of(name) is None for name in variables)
    limits = {name: longest(name) for name in variables}
    return TemplateLimits(default=default, variables=limits, links=True, breaks=breaks)
