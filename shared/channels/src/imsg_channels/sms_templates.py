"""A logical SMS template: words and parameters once, and by which approved template each provider sends them."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")

Kind = Literal["text", "digits", "letters"]
"""What a parameter may hold: anything, digits 0 to 9, or ASCII letters and digits."""

KINDS: Mapping[str, re.Pattern[str]] = {"digits": re.compile(r"[0-9]*"), "letters": re.compile(r"[0-9A-Za-z]*")}


class Parameter(BaseModel):
    """What one parameter takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "text"
    least: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=1)] | None = None
    """Characters; None: as many as the provider's account takes."""


def _read(given: object) -> object:
    """Read `code = 6` as the most characters it takes."""
    return {"most": given} if isinstance(given, int) and not isinstance(given, bool) else given


class Way(BaseModel):
    """How one provider sends a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = ""
    """The approved template there; empty for providers that take the words themselves."""
    signature: str = ""
    """Instead of the account's own, without 【】."""
    order: tuple[str, ...] = ()
    """Our parameters in the provider's order, for templates with {1}, {2}; empty: as they stand in the text."""
    names: Mapping[str, str] = {}
    """Ours → what the provider calls it; left out: as ours."""


class SmsTemplate(BaseModel):
    """`[sms.templates.NAME]` in imsg.toml."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    """The words around `${parameter}`, without the signature."""
    parameters: Mapping[str, Annotated[Parameter, BeforeValidator(_read)]] = {}
    """What each parameter takes."""
    default: bool = False
    """Whether free text goes into the template's one parameter."""
    links: bool = False
    """Whether a parameter may hold a link."""
    providers: Mapping[str, Way]
    """How each account sends the template. An account that is not named is passed over, unless it sends any text."""

    @model_validator(mode="after")
    def _is_whole(self) -> "SmsTemplate":
        wanted = self.variables
        if unknown := sorted(set(self.parameters) - set(wanted)):
            raise ValueError(f"describes {', '.join(unknown)}, which its text has no ${{…}} for")
        if self.default and len(wanted) != 1:
            raise ValueError("is the default, so its text has to have exactly one ${…}")
        for name, way in self.providers.items():
            if way.order and sorted(way.order) != sorted(wanted):
                raise ValueError(f"has an order for {name} that does not name each of {', '.join(wanted)} once")
            if unknown := sorted(set(way.names) - set(wanted)):
                raise ValueError(f"names {', '.join(unknown)} for {name}, which its text has no ${{…}} for")
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Name the parameters as they stand in the text."""
        return tuple(dict.fromkeys(_VARIABLE.findall(self.text)))

    def parameter(self, name: str) -> Parameter:
        """Say what a parameter takes."""
        return self.parameters.get(name, Parameter())


def is_of_kind(kind: str, value: str) -> bool:
    """Tell whether a value is what its parameter takes; a kind that is not known here takes anything."""
    pattern = KINDS.get(kind)
    return pattern is None or pattern.fullmatch(value) is not None
