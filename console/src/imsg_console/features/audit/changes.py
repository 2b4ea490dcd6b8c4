"""Writes what a line of the audit changed, in words."""

import re
from collections.abc import Mapping
from typing import Any

from imsg_channels import METHODS
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_console.widgets.chips import method_name

MAX_NAME = 64
MAX_VALUE = 80
MAX_ROWS = 300

TYPED = frozenset({"id", "name", "department", "zone", "provider"})
"""Fields whose values people type: none of them is a word of iMSG."""

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\S+", re.ASCII)

State = Mapping[str, Any]


class Changes:
    """Writes the fields that differ between two states."""

    def __init__(self, t: Texts, times: TimeFormat) -> None:
        self._t, self._times = t, times

    def write(self, before: State, after: State, titles: Mapping[str, str]) -> list[str]:
        """Write each field that changed; `titles` are those of a provider's own fields."""
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return [self._write_field(name, before, after, titles) for name in changed]

    def _write_field(self, name: str, before: State, after: State, titles: Mapping[str, str]) -> str:
        old, new = before.get(name), after.get(name)
        if old and new and _is_table(old) and _is_table(new):  # of two lists the rows that went and came
            old, new = [row for row in old if row not in new], [row for row in new if row not in old]
        states = ((old, before), (new, after))
        was, is_now = (self._write_value(name, value, titles) if name in state else "" for value, state in states)
        return self._label(name, f"{was} → {is_now}" if was and is_now else was or is_now, titles)

    def _label(self, name: str, value: str, titles: Mapping[str, str]) -> str:
        own = method_name(self._t, name) if name in METHODS else line(name, MAX_NAME)
        title = titles.get(name) or self._t.get(f"audit.field_{name}", own)
        return self._t("audit.field", name=title, value=value)

    def _write_value(self, name: str, value: Any, titles: Mapping[str, str]) -> str:  # noqa: ANN401  JSON
        """Return a value in words, a provider's setting verbatim, and a person's address masked."""
        t = self._t
        if value is None or value in ("", [], {}):
            return "—"
        if isinstance(value, bool):
            return t("words.yes" if value else "words.no")
        if isinstance(value, list):
            join = t("audit.rows").join if _is_table(value) else t.join_names
            return line(join(self._write_value(name, element, titles) for element in value), MAX_ROWS)
        if isinstance(value, dict):
            return self._write_row(value)
        return self._write_word(name, value, titles) if isinstance(value, str) else str(value)

    def _write_word(self, name: str, value: str, titles: Mapping[str, str]) -> str:
        if name in ("method", "methods"):
            return method_name(self._t, value)
        if _MOMENT.fullmatch(value):
            return self._write_time(value)
        plain = line(value, MAX_VALUE)
        known = f"words.role_{value}" if name == "role" else f"audit.value_{value}"
        return plain if name in TYPED or name in titles else self._t.get(known, plain)

    def _write_row(self, row: State) -> str:
        if masked := row.get("masked"):
            return line(masked, MAX_VALUE)
        if row == {"set": True}:
            return self._t("audit.secret")
        fields = (self._label(name, self._write_value(name, value, {}), {}) for name, value in row.items())
        return line(self._t("audit.fields").join(fields), MAX_ROWS)

    def _write_time(self, text: str) -> str:
        try:
            return self._times.full(text)
        except ValueError:
            return line(text, MAX_VALUE)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(element, dict) for element in value)
