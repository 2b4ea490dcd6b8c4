"""`${…}` placeholders in the texts of templates: parameters of a message, and values that iMSG computes."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

COMPUTED = "imsg."
"""The prefix of the names of computed values; no parameter has it."""

TIME, DATE = "%Y年%m月%d日 %H:%M", "%Y年%m月%d日"

_PLACEHOLDER = re.compile(r"\$\{([^{}:]{1,64})(?::([^{}]{1,64}))?\}")
_PART_OF_TIME = re.compile(r"%([A-Za-z%])")
_TIME_PARTS: Mapping[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "H": lambda at: f"{at.hour:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "%": lambda _: "%",
}
"""The codes of strftime whose result does not depend on the machine's language."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`${name}`, or `${name:form}` for a time."""

    name: str
    form: str = ""


@dataclass(frozen=True, slots=True)
class MessageContext:
    """The data for computed values, the same at every attempt."""

    request: str
    username: str
    account: str
    accepted_at: datetime


_VALUES: Mapping[str, Callable[[MessageContext, datetime, str], str]] = {
    f"{COMPUTED}time": lambda _, at, form: write_time(at, form or TIME),
    f"{COMPUTED}date": lambda _, at, form: write_time(at, form or DATE),
    f"{COMPUTED}request": lambda context, _, __: context.request,
    f"{COMPUTED}username": lambda context, _, __: context.username,
    f"{COMPUTED}account": lambda context, _, __: context.account,
}
"""Name → its value, given the context, the time in the time zone, and the form."""

_TIMES = (f"{COMPUTED}time", f"{COMPUTED}date")


def is_computed(name: str) -> bool:
    """Return whether iMSG computes the value."""
    return name.startswith(COMPUTED)


def read(text: str) -> Iterator[str | Placeholder]:
    """Yield the fixed parts and the placeholders of a text. Raises ValueError for a malformed placeholder."""
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        yield from _yield_fixed(text[end : match.start()])
        yield _check(Placeholder(match[1], match[2] or ""))
        end = match.end()
    yield from _yield_fixed(text[end:])


def _yield_fixed(words: str) -> Iterator[str]:
    if "${" in words:
        raise ValueError("has a ${ without a }, or with more than a name in it")
    if words:
        yield words


def _check(placeholder: Placeholder) -> Placeholder:
    if is_computed(placeholder.name) and placeholder.name not in _VALUES:
        raise ValueError(f"has no value ${{{placeholder.name}}}; there are {', '.join(_VALUES)}")
    if placeholder.form:
        if placeholder.name not in _TIMES:
            raise ValueError(f"gives a form to ${{{placeholder.name}}}, and only {' and '.join(_TIMES)} have one")
        for part in _PART_OF_TIME.findall(placeholder.form):
            if part not in _TIME_PARTS:
                raise ValueError(f"has %{part} in a time; there are {', '.join(f'%{code}' for code in _TIME_PARTS)}")
    return placeholder


def compute(placeholder: Placeholder, context: MessageContext, zone: tzinfo) -> str:
    """Return a computed value."""
    return _VALUES[placeholder.name](context, context.accepted_at.astimezone(zone), placeholder.form)


def write_time(at: datetime, form: str) -> str:
    """Return a time in a form that `read` has checked."""
    return _PART_OF_TIME.sub(lambda part: _TIME_PARTS[part[1]](at), form)
