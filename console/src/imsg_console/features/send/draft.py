"""A draft that outlives the console: the browser keeps it under the username, for a week or until log-out."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from nicegui import ui
from nicegui.events import GenericEventArguments
from pydantic import TypeAdapter, ValidationError

from imsg_console.layout import DRAFTS
from imsg_console.recipients.recipient_reader import FoundRecipient, IgnoredText, Reading
from imsg_console.texts import Texts
from imsg_console.view import View

KEEP_S = 1.5
"""How long after a change the draft is kept."""

MAX_CHARACTERS = 3_000_000
"""The most that comes back in one event; browsers keep about five million."""

CHOICES = frozenset({"method", "category", "sender"})
"""Fields that alone make no draft: they are chosen again at once."""

FOUND, FULL = "draft_found", "draft_full"

FIND = """((key, most) => {
  const typed = key + ':typed';
  const read = (name) => { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } };
  for (const name of [key, typed]) {
    const kept = read(name);
    if (kept && !(kept.at > Date.now() - 7 * 86400000)) localStorage.removeItem(name);
  }
  const draft = read(key), after = read(typed);
  if (JSON.stringify([draft, after]).length < most) emitEvent('draft_found', {draft: draft, typed: after});
  else emitEvent('draft_full', {});
  if (window.imsgDraft) return;
  window.imsgDraft = true;
  document.addEventListener('input', (event) => {
    const field = event.target.closest('.send-form :is(.field-subject, .field-text, .field-html, .field-words)');
    if (!field) return;
    const name = [...field.classList].find((one) => one.startsWith('field-')).slice(6);
    try {
      localStorage.setItem(typed, JSON.stringify({...read(typed), [name]: event.target.value, at: Date.now()}));
    } catch { /* full: what the console keeps says so */ }
  }, true);
})"""
"""Hands over the draft, and from then on keeps what is typed, also while the console does not answer."""

KEEP = """((key, draft) => {
  try { localStorage.setItem(key, JSON.stringify({...draft, at: Date.now()})); } catch { emitEvent('draft_full', {}); }
})"""

FORGET = "((key) => { for (const one of [key, key + ':typed']) localStorage.removeItem(one); })"

TYPED = ("subject", "text", "html", "words")

Row = TypeVar("Row")

RECIPIENT_ROW = TypeAdapter(tuple[str, str, dict[str, str], str | None, int])
IGNORED_ROW = TypeAdapter(tuple[str, str])
"""What a draft keeps of a recipient, and of a text that is none."""


@dataclass(frozen=True, slots=True)
class KeptDraft:
    """A draft that a browser kept."""

    draft: Mapping[str, Any]
    """As the form wrote it; empty where the console ended before."""
    typed: Mapping[str, str]
    """Name of a field → its text that was typed since."""
    at_ms: int
    """When, since 1970, by the browser's clock."""


class Draft:
    """Keeps what `content` returns soon after each `change`, where it is more than at the beginning.

    `on_found` gets the draft that was kept when the page opened; `on_full` is called when the browser has no room.
    """

    def __init__(
        self,
        view: View,
        content: Callable[[], Mapping[str, Any]],
        on_found: Callable[[KeptDraft], Awaitable[object]],
        on_full: Callable[[], object],
    ) -> None:
        self._key = f"{DRAFTS}{view.session.username}"
        self._content, self._on_found = content, on_found
        self._is_changed = self._is_found = False
        self._empty = content()
        ui.on(FOUND, self._restore)
        ui.on(FULL, on_full)
        ui.context.client.on_connect(self._find)
        ui.timer(KEEP_S, self._save)

    def change(self) -> None:
        """Mark the draft as changed, to be saved soon."""
        self._is_changed = True

    def forget(self) -> None:
        """Delete the draft."""
        self._is_changed = False
        ui.run_javascript(f"{FORGET}({json.dumps(self._key)})")

    def _find(self) -> None:
        if not self._is_found:
            ui.run_javascript(f"{FIND}({json.dumps(self._key)}, {MAX_CHARACTERS})")

    async def _restore(self, event: GenericEventArguments) -> None:
        if self._is_found:
            return
        self._is_found = True
        kept = read_draft(event.args)
        if kept is not None:
            await self._on_found(kept)

    def _save(self) -> None:
        if self._is_changed and self._is_found:
            self._is_changed = False
            draft = self._content()
            if all(draft[name] == self._empty[name] for name in draft.keys() - CHOICES):
                self.forget()
            else:
                ui.run_javascript(f"{KEEP}({json.dumps(self._key)}, {json.dumps(draft)})")


def read_draft(answer: object) -> KeptDraft | None:
    """Read what a browser kept; None where it is nothing, or cannot be read."""
    kept = _object(answer)
    draft, typed = _object(kept.get("draft")), _object(kept.get("typed"))
    at, typed_at = _read_time(draft), _read_time(typed)
    after = {name: str(typed[name]) for name in TYPED if name in typed} if typed_at > at else {}
    if not draft and not any(after.values()):
        return None
    return KeptDraft(draft, after, max(at, typed_at))


def write_recipients(reading: Reading) -> dict[str, Any]:
    """Return the recipients of a draft, as `read_recipients` takes them."""
    found = [
        [recipient.text, recipient.label, recipient.params, recipient.language, recipient.row]
        for recipient in reading.found
    ]
    return {"to": found, "ignored": [[ignored.text, ignored.why] for ignored in reading.ignored]}


def read_recipients(t: Texts, draft: Mapping[str, Any]) -> Reading:
    """Read the recipients of a draft; whatever of it cannot be read is left out."""
    found = (FoundRecipient(*row) for row in _read_rows(RECIPIENT_ROW, draft.get("to")))
    ignored = (IgnoredText(*row) for row in _read_rows(IGNORED_ROW, draft.get("ignored")) if t.get(row[1], ""))
    return Reading(tuple(found), tuple(ignored))


def _read_rows(kind: "TypeAdapter[Row]", value: object) -> Iterator[Row]:
    for row in value if isinstance(value, list) else ():
        try:
            yield kind.validate_python(row)
        except ValidationError:
            continue


def _read_time(kept: Mapping[str, Any]) -> int:
    at = kept.get("at")
    return at if isinstance(at, int) and 0 <= at < 1 << 45 else 0


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
