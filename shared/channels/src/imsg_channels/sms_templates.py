"""A logical SMS template: its text and parameters, and the approved template of each provider."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")

Kind = Literal["text", "digits", "letters"]
"""The kinds of a parameter: any text, digits 0 to 9, or ASCII letters and digits."""

KINDS: Mapping[str, re.Pattern[str]] = {"digits": re.compile(r"[0-9]*"), "letters": re.compile(r"[0-9A-Za-z]*")}


class Parameter(BaseModel):
    """The limits of one parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "text"
    least: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=1)] | None = None
    """The most characters; None: the limit of the provider's account."""


def _read_most(given: object) -> object:
    """Read `code = 6` as the most characters."""
    return {"most": given} if isinstance(given, int) and not isinstance(given, bool) else given


class SmsProviderTemplate(BaseModel):
    """How one provider sends a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = ""
    """The provider's approved template; empty for providers that take the text itself."""
    signature: str = ""
    """The signature in place of the account's, without 【】."""
    order: tuple[str, ...] = ()
    """The parameters in the provider's order, for templates with {1}, {2}; empty: the order of the text."""
    names: Mapping[str, str] = {}
    """Parameter → its name at the provider, where that differs."""


class SmsTemplate(BaseModel):
    """`[sms.templates.NAME]` in imsg.toml."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    """The text around `${parameter}`, without the signature."""
    parameters: Mapping[str, Annotated[Parameter, BeforeValidator(_read_most)]] = {}
    """The limits of each parameter."""
    default: bool = False
    """Whether free text goes into the template's one parameter."""
    links: bool = False
    """Whether a parameter may hold a link."""
    providers: Mapping[str, SmsProviderTemplate]
    """How each account sends the template. Other accounts are skipped, unless they send any text."""

    @model_validator(mode="after")
    def _check_variables(self) -> "SmsTemplate":
        wanted = self.variables
        if unknown := sorted(set(self.parameters) - set(wanted)):
            raise ValueError(f"describes {', '.join(unknown)}, which its text has no ${{…}} for")
        if self.default and len(wanted) != 1:
            raise ValueError("is the default, so its text has to have exactly one ${…}")
        for name, template in self.providers.items():
            if template.order and sorted(template.order) != sorted(wanted):
                raise ValueError(f"has an order for {name} that does not name each of {', '.join(wanted)} once")
            if unknown := sorted(set(template.names) - set(wanted)):
                raise ValueError(f"names {', '.join(unknown)} for {name}, which its text has no ${{…}} for")
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the parameters in the order of the text."""
        return find_variables(self.text)

    def parameter(self, name: str) -> Parameter:
        """Return the limits of a parameter."""
        return self.parameters.get(name, Parameter())


def find_variables(text: str) -> tuple[str, ...]:
    """Return the names of the `${name}` in a text, each once."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text)))


def is_of_kind(kind: str, value: str) -> bool:
    """Return whether a value fits its parameter; an unknown kind accepts any value."""
    pattern = KINDS.get(kind)
    return pattern is None or pattern.fullmatch(value) is not None
