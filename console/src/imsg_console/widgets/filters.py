"""The filters above a list, which the page's address keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nicegui import ui

from imsg_console.view import View
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.fields import choice_field, read_search, search_field


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: a text, or one of some options."""

    name: str
    """As the API and the page's address name it."""
    label: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Value → label; the empty value is that of no filter."""
    max_length: int = 254
    """The most characters of a text."""


class Filters:
    """Draws the filters, and reads what is chosen."""

    def __init__(
        self,
        view: View,
        filters: Sequence[Filter],
        on_change: Callable[[], object],
        on_refresh: Callable[[], object] | None = None,
    ) -> None:
        """`on_change` loads the list anew; `on_refresh`, where there is one, is called by a button."""
        self._view, self._filters, self._on_change = view, filters, on_change
        self._fields: dict[str, ui.input | ui.textarea | ui.select] = {}
        if not filters:
            return
        with element("search", "line"):
            for field in filters:
                value = view.query.get(field.name, "").replace("\0", "").strip()[: field.max_length]
                if field.options:
                    chosen = value if value in field.options else ""
                    self._fields[field.name] = choice_field(field.label, field.options, chosen, self._change)
                else:
                    self._fields[field.name] = search_field(
                        field.label, value, self._change, max_length=field.max_length
                    )
            if on_refresh is not None:
                button(view.t("layout.refresh"), on_refresh, kind="quiet", symbol="refresh")

    @property
    def values(self) -> dict[str, str]:
        """The value of each; empty where it is not set."""
        return {field.name: read_search(self._fields[field.name])[: field.max_length] for field in self._filters}

    def _change(self) -> object:
        self._view.replace_query(**self.values)
        return self._on_change()
