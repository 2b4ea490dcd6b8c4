"""The groups that a message goes to, in place of single recipients."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.recipients.recipient_reader import FoundRecipient
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, live_text

PATH = "/api/v2/groups"

MAX_AT_ONCE = 10_000
"""The maximum of people in one request."""


SAMPLE = 100
"""Members of a group whose fields are offered to templates."""


class GroupChoice:
    """The field; it is not there where the user has no groups."""

    def __init__(self, view: View, groups: Sequence[Mapping[str, Any]], on_change: Callable[[], object]) -> None:
        self._view, self._on_change = view, on_change
        self._sample: list[Mapping[str, Any]] = []
        self.without_address = 0
        """The members that `read_batches` left out: they have no address of the method."""
        self._sizes = {str(group["name"]): int(group["members"]) for group in groups}
        t = view.t
        options = {name: t("send.group", name=line(name, 64), n=f"{size:,}") for name, size in self._sizes.items()}
        with ui.column().classes("tight") as self.place:
            self._field = ui.select(options, label=t("send.groups"), multiple=True, value=[], on_change=self._change)
            self._field.props("outlined dense options-dense use-chips clearable hide-bottom-space").classes("field")
            self._hint = attrs(live_text("field-hint", t("send.groups_hint")), role="status")
        self.place.set_visibility(bool(groups))

    @property
    def names(self) -> list[str]:
        """The chosen groups."""
        return [str(name) for name in self._field.value or ()]

    @property
    def total(self) -> int:
        """The members of the chosen groups."""
        return sum(self._sizes[name] for name in self.names)

    @property
    def texts(self) -> list[str]:
        """The chosen groups with their sizes, as they are shown."""
        return [self._view.t("send.group", name=line(name, 64), n=f"{self._sizes[name]:,}") for name in self.names]

    def choose(self, names: Sequence[str]) -> None:
        """Choose groups; names of others are left out."""
        self._field.set_value([name for name in names if name in self._sizes])

    async def read_batches(self, method: str) -> AsyncIterator[list[FoundRecipient]]:
        """Yield the recipients of the chosen groups, each once, in the sizes that a request takes."""
        self.without_address = 0
        seen: set[str] = set()
        batch: list[FoundRecipient] = []
        for name in self.names:
            async for members in self._view.api.pages(path(PATH, name, "members"), "members"):
                for member in members:
                    to = member["contacts"].get(method) or member["to"]
                    self.without_address += not to
                    if to and to not in seen:
                        seen.add(to)
                        batch.append(_read_member(to, member))
                while len(batch) >= MAX_AT_ONCE:
                    yield batch[:MAX_AT_ONCE]
                    batch = batch[MAX_AT_ONCE:]
        if batch:
            yield batch

    def read_sample(self, method: str) -> list[FoundRecipient]:
        """Return a few members of each chosen group."""
        people = [(member["contacts"].get(method) or member["to"], member) for member in self._sample]
        return [_read_member(to, member) for to, member in people if to]

    async def _change(self) -> None:
        t, n, names = self._view.t, self.total, self.names
        parts = -(-n // MAX_AT_ONCE)
        self._hint.text = t("send.groups_parts", n=f"{n:,}", parts=parts) if parts > 1 else t("send.groups_hint")
        self._sample = []
        self._on_change()
        for name in names:
            try:
                answer = await self._view.api.get(path(PATH, name, "members"), limit=SAMPLE)
            except ApiError:
                return  # the check names a group that is gone
            if names != self.names:
                return  # others were chosen meanwhile
            self._sample += answer["members"]
        if names:
            self._on_change()


def _read_member(to: str, member: Mapping[str, Any]) -> FoundRecipient:
    return FoundRecipient(to, next(iter(member["params"].values()), ""), member["params"], member["language"])
