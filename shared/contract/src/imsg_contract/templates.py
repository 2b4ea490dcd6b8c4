"""A published template, as the catalog writes it for the gateways."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Category, Content, Recipient, Wire


class TemplateParam(Wire):
    """What a template takes."""

    name: str
    required: bool
    """Whether any of its texts needs it."""
    max: int
    """The most characters that all providers take, where it fills a variable alone."""
    example: str


class PublishedTemplate(Wire):
    """One version of a template."""

    name: str
    version: int
    user_id: str
    shared: bool
    category: Category
    default_language: str
    languages: dict[str, dict[str, dict[str, Any]]]
    """Language → method → the content whose texts are Liquid."""
    params: tuple[TemplateParam, ...]

    def find_source(self, method: str, language: str | None) -> tuple[str, Mapping[str, Any]] | None:
        """Return the language and the source of a method, those of the default language where there is no other."""
        for name in (language, self.default_language):
            if name is not None and (source := self.languages.get(name, {}).get(method)) is not None:
                return name, source
        return None


def field_of(name: str, version: int | None = None) -> str:
    """Return the field of a template in `topology.TEMPLATES`: of the version in force, or of one by its number."""
    return name if version is None else f"{name}@{version}"


def list_approved_fields(source: Mapping[str, Any]) -> list[str]:
    """Return the fields in `topology.approved_key` of the providers' templates that a source names."""
    return [f"{provider}/{entry['template']}" for provider, entry in source.get("providers", {}).items()]


def read_approved(fields: Sequence[str], replies: Sequence[bytes | None]) -> dict[str, dict[str, TemplateLimits]]:
    """Return provider → template → limits of what was read of `approved_key`; what a newer sender wrote is left out."""
    approved: dict[str, dict[str, TemplateLimits]] = {}
    for field, reply in zip(fields, replies, strict=True):
        provider, _, template = field.partition("/")
        if reply is not None:
            with suppress(ValidationError):
                approved.setdefault(provider, {})[template] = TemplateLimits.model_validate_json(reply)
    return approved


LIQUID = "liquid"
"""The field of a content that is still to be rendered: language → source."""

_SHARED = ("template", "version", "sender", "reply_to")
"""The fields of such a content that its rendering has too."""


def is_template(content: Content | None) -> bool:
    """Return whether a content is still to be rendered."""
    return isinstance(content, dict) and LIQUID in content


def choose_source(content: Mapping[str, Any], recipient: Recipient) -> tuple[str, Mapping[str, Any], Mapping[str, str]]:
    """Return the language, the source and the params of a recipient."""
    sources = content[LIQUID]
    language: str = content["language"]
    if recipient.language is not None and recipient.language in sources:
        language = recipient.language
    return language, sources[language], {**content["params"], **(recipient.params or {})}


def write_rendered(content: Mapping[str, Any], language: str, rendered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipient gets, as the channel sends it."""
    return {**{name: content[name] for name in _SHARED if name in content}, "language": language, **rendered}
