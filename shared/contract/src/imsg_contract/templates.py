"""A published template, as the catalog writes it for the gateways."""

from collections.abc import Mapping
from typing import Any

from imsg_contract.wire import Category, Wire


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
