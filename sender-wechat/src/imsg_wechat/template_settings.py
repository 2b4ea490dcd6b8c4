"""The settings of templates: their delivery options in the order in which they are tried."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from imsg_runtime.lines import fill
from imsg_wechat.placeholders import Placeholder, is_computed, read

FIELD = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"

_ORIGIN = re.compile(r"https?://[^\s/?#@$]+(?:[/?#]\S*)?")


def _is_text(text: str) -> str:
    list(read(text))
    return text


def _is_link(url: str) -> str:
    if url and not _ORIGIN.fullmatch(url):
        raise ValueError(
            fill("must be a URL such as https://example.com/orders/${order}: no ${…} in its host, no spaces")
        )
    return _is_text(url)


Text = Annotated[str, AfterValidator(_is_text)]
"""Text with `${…}` placeholders."""

Link = Annotated[str, AfterValidator(_is_link)]
Name = Annotated[str, Field(pattern=FIELD)]

_PARAMETER = re.compile(FIELD)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Miniprogram(_Table):
    """The page of a mini program that a tap opens; WeChat prefers it to a url."""

    appid: Annotated[str, Field(min_length=1)]
    pagepath: Text = ""


class _ByTemplate(_Table):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    """The template's id in WeChat's console."""
    fields: Annotated[Mapping[Name, Text], Field(min_length=1)]
    """Field of the template → its text, with `${param}` and computed `${imsg.…}`."""
    miniprogram: Miniprogram | None = None

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield from self.fields.values()
        if self.miniprogram is not None:
            yield self.miniprogram.pagepath


class TemplateOption(_ByTemplate):
    """Delivery by a template message."""

    kind: Literal["template"] = "template"
    url: Link = ""

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield from super().texts()
        yield self.url


class NoticeOption(_ByTemplate):
    """Delivery by a subscribe notice, which needs a grant of the follower."""

    kind: Literal["subscribe"]
    page: Link = ""

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield from super().texts()
        yield self.page


class TextOption(_Table):
    """Delivery by a customer-service text, within the follower's reply window (48 h after a message)."""

    kind: Literal["text"]
    text: Annotated[Text, Field(min_length=1, max_length=600)]

    def texts(self) -> Iterator[str]:
        """Yield every text that may hold a placeholder."""
        yield self.text


DeliveryOption = TemplateOption | NoticeOption | TextOption


class MessageTemplate(_Table):
    """The settings `[wechat.accounts.NAME.templates.TEMPLATE]`."""

    options: Annotated[tuple[Annotated[DeliveryOption, Field(discriminator="kind")], ...], Field(min_length=1)]
    """The delivery options, in the order in which they are tried."""

    @model_validator(mode="after")
    def _check_params(self) -> "MessageTemplate":
        for name in self.params:
            if not _PARAMETER.fullmatch(name):
                raise ValueError(
                    fill("has a parameter ${{{0}}}: 1 to 64 letters, digits and _, a letter first", name[:64])
                )
        return self

    @property
    def params(self) -> tuple[str, ...]:
        """The names that `params` of a message must have, in the order of the placeholders."""
        parts = (part for option in self.options for text in option.texts() for part in read(text))
        named = (part.name for part in parts if isinstance(part, Placeholder) and not is_computed(part.name))
        return tuple(dict.fromkeys(named))


def _read_templates(values: Any) -> Any:  # noqa: ANN401  not validated yet
    """Expand the short forms: `ID = ["thing1", "time2"]`, and a table with `id` and `fields`, to one option."""
    return (
        {name: _expand(name, template) for name, template in values.items()} if isinstance(values, Mapping) else values
    )


def _expand(name: str, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return {
            "options": [{"kind": "template", "id": name, "fields": {str(field): f"${{{field}}}" for field in value}}]
        }
    if isinstance(value, Mapping) and "options" not in value:
        return {"options": [{"kind": "template", **value}]}
    if isinstance(value, Mapping) and isinstance(value["options"], list | tuple):
        options = [
            {"kind": "template", **option} if isinstance(option, Mapping) else option for option in value["options"]
        ]
        return {**value, "options": options}
    return value


MessageTemplates = Annotated[
    Mapping[Annotated[str, Field(min_length=1, max_length=128)], MessageTemplate], BeforeValidator(_read_templates)
]
