"""Sends what the form holds: the check before it, in one request or several, and each message once."""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, make_url
from imsg_console.features.send.confirm import Checked, Confirmation, join_checks
from imsg_console.features.send.form import MANY, SendForm
from imsg_console.features.send.groups import MAX_AT_ONCE
from imsg_console.features.send.preview import Preview
from imsg_console.features.send.steps import Steps
from imsg_console.message.blocks import explain_block
from imsg_console.view import View
from imsg_console.widgets.elements import element
from imsg_console.widgets.work import Work, draw_work, start

UNDO = timedelta(seconds=30)
"""How long a message to more than MANY waits, so that it can be taken back; messages by the API wait for nothing."""

PREVIEWED = 3
"""Recipients whose messages the check shows, where they differ."""

CHECKED = ("to", "groups", "method", "content", "template", "params", "language", "category", "sender", "send_at")
"""What the check takes of a message."""

NOT_SURE = 10012


class Sending:
    """Draws the form, and in its place the check before a message goes to many."""

    def __init__(self, view: View, form: SendForm) -> None:
        self._view, self._t, self._form = view, view.t, form
        self._key = ("", "")
        """The digest of the body that was sent, and its Idempotency-Key: the same body is sent under the same key."""
        self._confirmed = ""
        """The key of the body that a person has confirmed."""
        self._undo = ("", "")
        """The key of the last message to many, and until when it can be taken back."""
        self._is_sending = False

    def draw(self) -> None:
        """Draw the steps and the form."""
        self._steps = Steps(self._t, "who")
        self._confirming = ui.column().classes("send-confirming")
        self._confirming.set_visibility(False)
        self._form.draw(self._show_step, self._submit)

    def _show_step(self) -> None:
        self._steps.show(self._form.step)

    async def _submit(self) -> None:
        if self._is_sending:
            return
        self._is_sending = True
        try:
            with self._form.busy():
                if await self._form.check():
                    await self._send_or_ask()
        finally:
            self._is_sending = False

    async def _send_or_ask(self) -> None:
        try:
            body = await self._form.make_body()
            if self._confirmed != self._make_key(body) and await self._ask_confirmation(body):
                return
            if self._form.groups.total > MAX_AT_ONCE:
                self._send_in_parts(body)
                return
            key = self._make_key(body)
            if "send_at" not in body and self._form.count > MANY:
                body["send_at"] = self._find_undo_end(key)
            answer = await self._view.api.post("/api/v2/messages", body, idempotency_key=key)
        except ApiError as error:
            self._leave_confirmation()
            is_unknown = error.code == NOT_SURE or error.reason == "unreachable"
            if not is_unknown:
                self._key = ("", "")
            self._form.show_error(error, is_unknown=is_unknown)
        else:
            self._form.forget()
            ui.navigate.to(f"/sent/{answer['id']}?n={answer['count']}")

    async def _ask_confirmation(self, body: Mapping[str, Any]) -> bool:
        """Show the check of a message; return False where a short list has nothing to confirm. Raises ApiError."""
        form = self._form
        check, block = await self._check(body), await explain_block(self._view, form.method)
        if form.is_short and not (block or check["suppressed"] or check["held_until"]):
            return False
        previews = await self._preview_first()

        async def send() -> None:
            self._confirmed = self._make_key(body)
            await self._submit()

        self._steps.show("check")
        form.place.set_visibility(False)
        self._confirming.clear()
        self._confirming.set_visibility(True)
        with self._confirming:
            Confirmation(self._view, send, self._leave_confirmation, self._leave_out).draw(
                Checked(form.method, form.listed, check, form.ignored, block, str(body.get("send_at") or "")),
                partial(self._draw_previews, previews) if previews else form.draw_preview,
            )
        ui.run_javascript("window.scrollTo(0, 0); document.querySelector('.confirm-title')?.focus()")
        return True

    async def _check(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a send would meet, of all requests that it becomes. Raises ApiError."""
        plain = {name: body[name] for name in CHECKED if name in body}
        if (
            "attachment" in body
            and "content" in body
            and not str(body["content"].get("text") or body["content"].get("html") or "")
        ):
            plain["content"] = {**body["content"], "text": " "}  # a text may be empty only beside an attachment
        form = self._form
        if form.groups.total <= MAX_AT_ONCE:
            return await self._view.api.post("/api/v2/messages/check", plain)
        del plain["groups"]
        checks = [
            await self._view.api.post("/api/v2/messages/check", {**plain, "to": form.read_entries(batch)})
            async for batch in form.groups.read_batches(form.method)
        ]
        return {**join_checks(checks), "without_address": form.groups.without_address}

    async def _leave_out(self, texts: Collection[str]) -> None:
        """Remove recipients, and check the others again."""
        await self._form.leave_out(texts)
        self._leave_confirmation()
        await self._submit()

    def _send_in_parts(self, body: Mapping[str, Any]) -> None:
        """Send to groups of more people than a request takes, as work: several requests of one reference."""
        t, key, form = self._t, self._make_key(body), self._form
        rest = {name: value for name, value in body.items() if name != "groups"} | {"reference": f"groups-{key}"}

        async def send(work: Work) -> None:
            async for batch in form.groups.read_batches(str(body["method"])):
                send_at = (datetime.now(UTC) + UNDO).isoformat(timespec="milliseconds")
                part = {"send_at": send_at, **rest, "to": form.read_entries(batch)}
                await self._view.api.post("/api/v2/messages", part, idempotency_key=f"{key}-{work.done}")
                work.done += len(batch)
            work.link, work.link_text = make_url("/mine", reference=rest["reference"]), t("sent.listing")

        work = start(self._view, t("send.work", names=", ".join(form.groups.names)), send, form.groups.total)
        form.forget()
        self._confirming.clear()
        self._steps.show("progress")
        with self._confirming, element("section", "card stack"):
            draw_work(self._view, work)
            element("p", "muted", t("layout.work_leave"))

    def _leave_confirmation(self) -> None:
        self._show_step()
        self._confirming.set_visibility(False)
        self._form.place.set_visibility(True)

    async def _preview_first(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return what the first recipients of a template would get. Raises ApiError."""
        template = self._form.template
        if not template.name:
            return []
        return [(person.text, await template.preview(person)) for person in self._form.people[:PREVIEWED]]

    def _draw_previews(self, previews: Sequence[tuple[str, Mapping[str, Any]]], preview: Preview) -> None:
        """Show the message as it arrives at the first recipients."""
        for number, (to, answer) in enumerate(previews):
            place = Preview(self._view) if number else preview
            self._form.content.show_template(place, answer, [to])

    def _make_key(self, body: Mapping[str, Any]) -> str:
        digest = hashlib.sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()
        if digest != self._key[0]:
            self._key = (digest, secrets.token_hex(16))
        return self._key[1]

    def _find_undo_end(self, key: str) -> str:
        """Return until when a message to many can be taken back: a repeat under one key names the same time."""
        if key != self._undo[0]:
            self._undo = (key, (datetime.now(UTC) + UNDO).isoformat(timespec="milliseconds"))
        return self._undo[1]
