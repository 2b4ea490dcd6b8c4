"""Templates as settings describe them: the ways a message may go, in the order in which they are tried."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from imsg_wechat.placeholders import Placeholder, is_computed, read

FIELD = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"

_ORIGIN = re.compile(r"https?://[^\s/?#@$]+(?:[/?#]\S*)?")


def _is_text(text: str) -> str:
    list(read(text))
    return text


def _is_link(url: str) -> str:
    if url and not _ORIGIN.fullmatch(url):
        raise ValueError("must be a URL such as https://example.com/orders/${order}: no ${…} in its host, no spaces")
    return _is_text(url)


Text = Annotated[str, AfterValidator(_is_text)]
"""Words around `${…}`."""

Link = Annotated[str, AfterValidator(_is_link)]
Name = Annotated[str, Field(pattern=FIELD)]

_PARAMETER = re.compile(FIELD)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Miniprogram(_Part):
    """Which page of a mini program a tap opens; where there is a url too, WeChat prefers this."""

    appid: Annotated[str, Field(min_length=1)]
    pagepath: Text = ""


class _ByTemplate(_Part):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    """The template's, in WeChat's console."""
    fields: Annotated[Mapping[Name, Text], Field(min_length=1)]
    """Field of the template → fixed words, `${param}`, `${imsg.…}` that is computed, or all of them."""
    miniprogram: Miniprogram | None = None

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield from self.fields.values()
        if self.miniprogram is not None:
            yield self.miniprogram.pagepath


class TemplateWay(_ByTemplate):
    """By a template message."""

    kind: Literal["template"] = "template"
    url: Link = ""

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield from super().texts()
        yield self.url


class NoticeWay(_ByTemplate):
    """By a subscribe notice, of which the follower has granted one or more."""

    kind: Literal["subscribe"]
    page: Link = ""

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield from super().texts()
        yield self.page


class TextWay(_Part):
    """By a customer-service text, for 48 h after the follower has written, or a minute after they did anything else."""

    kind: Literal["text"]
    text: Annotated[Text, Field(min_length=1, max_length=600)]

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield self.text


Way = TemplateWay | NoticeWay | TextWay


class MessageTemplate(_Part):
    """`[wechat.accounts.NAME.templates.TEMPLATE]`."""

    ways: Annotated[tuple[Annotated[Way, Field(discriminator="kind")], ...], Field(min_length=1)]
    """In the order in which they are tried."""

    @model_validator(mode="after")
    def _is_sound(self) -> "MessageTemplate":
        for name in self.params:
            if not _PARAMETER.fullmatch(name):
                raise ValueError(f"has a parameter ${{{name[:64]}}}: 1 to 64 letters, digits and _, a letter first")
        return self

    @property
    def params(self) -> tuple[str, ...]:
        """Name what `params` of a message has to hold, in the order in which it stands here."""
        parts = (part for way in self.ways for text in way.texts() for part in read(text))
        named = (part.name for part in parts if isinstance(part, Placeholder) and not is_computed(part.name))
        return tuple(dict.fromkeys(named))


def _read_templates(given: Any) -> Any:  # noqa: ANN401  whatever settings hold
    """Read `ID = ["thing1", "time2"]`, and a table with `id` and `fields`, which is the one way it has."""
    return {name: _read_one(name, one) for name, one in given.items()} if isinstance(given, Mapping) else given


def _read_one(name: str, given: Any) -> Any:  # noqa: ANN401
    if isinstance(given, list | tuple):
        return {"ways": [{"kind": "template", "id": name, "fields": {str(one): f"${{{one}}}" for one in given}}]}
    if isinstance(given, Mapping) and "ways" not in given:
        return {"ways": [{"kind": "template", **given}]}
    if isinstance(given, Mapping) and isinstance(given["ways"], list | tuple):
        ways = [{"kind": "template", **way} if isinstance(way, Mapping) else way for way in given["ways"]]
        return {**given, "ways": ways}
    return given


MessageTemplates = Annotated[
    Mapping[Annotated[str, Field(min_length=1, max_length=128)], MessageTemplate], BeforeValidator(_read_templates)
]
