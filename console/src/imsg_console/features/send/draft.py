"""A draft that outlives the console: kept where it was written, under its writer's name, a week or until log-out."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from imsg_console.layout import DRAFTS
from imsg_console.view import View

KEEP_S = 1.5
"""How long after a change it is kept."""

MAX_CHARACTERS = 3_000_000
"""What comes back in one event of a page; browsers keep about five million."""

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
"""Hands over what is there, and from then on keeps what is typed, even while nobody answers."""

KEEP = """((key, draft) => {
  try { localStorage.setItem(key, JSON.stringify({...draft, at: Date.now()})); } catch { emitEvent('draft_full', {}); }
})"""

FORGET = "((key) => { for (const one of [key, key + ':typed']) localStorage.removeItem(one); })"

TYPED = ("subject", "text", "html", "words")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a browser had."""

    draft: Mapping[str, Any]
    """As the form gave it; empty where the console ended before it gave any."""
    typed: Mapping[str, str]
    """What was typed into the fields since, by their names."""
    at_ms: int
    """When, since 1970, by the browser's clock."""


class Draft:
    """Keeps what `content` gives soon after each `change`.

    `on_found` is told what was there when the page came, `on_full` that the browser has no room.
    """

    def __init__(
        self,
        view: View,
        content: Callable[[], Mapping[str, Any]],
        on_found: Callable[[Kept], Awaitable[object]],
        on_full: Callable[[], object],
    ) -> None:
        self._key = f"{DRAFTS}{view.session.username}"
        self._content, self._on_found = content, on_found
        self._is_changed = self._is_found = False
        ui.on(FOUND, self._take)
        ui.on(FULL, on_full)
        ui.context.client.on_connect(self._find)
        ui.timer(KEEP_S, self._keep)

    def change(self) -> None:
        """Keep it soon."""
        self._is_changed = True

    def forget(self) -> None:
        """Forget it: it was sent, or is not wanted any more."""
        self._is_changed = False
        ui.run_javascript(f"{FORGET}({json.dumps(self._key)})")

    def _find(self) -> None:
        if not self._is_found:
            ui.run_javascript(f"{FIND}({json.dumps(self._key)}, {MAX_CHARACTERS})")

    async def _take(self, event: GenericEventArguments) -> None:
        if self._is_found:
            return
        self._is_found = True
        kept = read(event.args)
        if kept is not None:
            await self._on_found(kept)

    def _keep(self) -> None:
        if self._is_changed and self._is_found:
            self._is_changed = False
            ui.run_javascript(f"{KEEP}({json.dumps(self._key)}, {json.dumps(self._content())})")


def read(said: object) -> Kept | None:
    """Read what a browser kept; None where there is nothing, or nothing that can be read."""
    found = _object(said)
    draft, typed = _object(found.get("draft")), _object(found.get("typed"))
    at, typed_at = _time(draft), _time(typed)
    after = {name: str(typed[name]) for name in TYPED if name in typed} if typed_at > at else {}
    if not draft and not any(after.values()):
        return None
    return Kept(draft, after, max(at, typed_at))


def _time(kept: Mapping[str, Any]) -> int:
    at = kept.get("at")
    return at if isinstance(at, int) and 0 <= at < 1 << 45 else 0


def _object(said: object) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}
