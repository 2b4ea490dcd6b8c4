"""One message in full: its status and the reason, what to do next, what was sent, and every attempt."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.explanations import explain, is_hopeless
from imsg_console.features.messages.legs import Leg, draw_legs, load_legs
from imsg_console.features.messages.timeline import draw_timeline, name_provider
from imsg_console.message.blocks import explain_block
from imsg_console.message.cancelling import confirm_and_cancel
from imsg_console.message.content import draw_content
from imsg_console.message.filters import RESENDABLE, UNSETTLED
from imsg_console.message.pace import Pace
from imsg_console.message.resend_dialog import ResendDialog, list_path
from imsg_console.message.resend_plan import UNCERTAIN
from imsg_console.message.summary import title
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.costs import write_costs
from imsg_console.widgets.elements import (
    address_text,
    attrs,
    button,
    element,
    heading,
    icon,
    link_to,
    redraw,
    style_sheet,
)
from imsg_console.widgets.facts import card, draw_facts, fact
from imsg_console.widgets.notices import empty

Message = Mapping[str, Any]

TONES = {
    "failed": "bad",
    "expired": "bad",
    "uncertain": "warn",
    "retrying": "warn",
    "delivered": "good",
    "sent": "good",
}


class MessageDetail:
    """Draws a message, and refreshes it until it is settled."""

    def __init__(self, view: View, identity: str) -> None:
        self._view = view
        self._t = view.t
        self._identity = identity
        self._pace = Pace()
        self._message: Message | None = None
        self._legs: Sequence[Leg] = ()
        self._block = ""
        """Why its channel sends nothing now; empty where it sends."""

    async def show(self) -> None:
        """Draw the message, or say that there is none."""
        view, t = self._view, self._t
        style_sheet("messages")
        self._message = await self._load()
        with element("nav"):
            link_to(t("messages.back"), list_path(view), "arrow_back")
        if self._message is None:
            heading(1, t("layout.message"))
            empty(
                t("messages.missing_title"),
                t("messages.missing"),
                "search_off",
                action=t("messages.missing_step"),
                target=list_path(view),
            )
            return
        self._head = element("header", "stack")
        with element("div", "message-columns"):
            with element("div"), card(t("messages.content"), is_landmark=True):
                draw_content(view, self._message)
            with ui.column().classes("message-side"):
                with card(t("messages.timeline"), is_landmark=True):
                    self._timeline = attrs(element("div"), aria_live="polite")
                if self._legs:
                    with card(t("messages.legs"), is_landmark=True):
                        self._story = attrs(element("div"), aria_live="polite")
                with card(t("messages.facts"), is_landmark=True):
                    self._facts = element("div")
        self._draw(self._message)
        if self._message["status"] not in ("failed", "expired", "delivered"):
            self._timer = ui.timer(self._pace.wait_s, self._refresh, immediate=False)

    async def _load(self) -> Message | None:
        if not self._identity:
            return None
        answer = await self._view.api.get("/api/v2/messages", id=self._identity)
        if any(message["status"] in UNSETTLED for message in answer["messages"]):
            self._block = await explain_block(self._view, answer["messages"][0]["method"])
        message = next((message for message in answer["messages"] if message["id"] == self._identity), None)
        self._legs = () if message is None else await load_legs(self._view, message)
        return message

    async def _refresh(self) -> None:
        try:
            fresh = await self._load()
        except ApiError:
            self._timer.interval = self._pace.slow_down()
            return
        if fresh is None or self._message is None:
            return
        changed = fresh["updated_at"] != self._message["updated_at"] or fresh["status"] != self._message["status"]
        self._timer.interval = self._pace.after(changed=changed, waiting=fresh["status"] in UNSETTLED)
        if changed or len(fresh["timeline"]) != len(self._message["timeline"]):
            self._message = fresh
            self._draw(fresh)

    def _draw(self, message: Message) -> None:
        with redraw(self._head):
            self._draw_head(message)
        with redraw(self._timeline):
            draw_timeline(self._view, message)
        if self._legs:
            with redraw(self._story):
                draw_legs(self._view, self._legs, str(message["id"]))
        with redraw(self._facts):
            self._draw_facts(message)

    def _draw_head(self, message: Message) -> None:
        view, t = self._view, self._t
        with element("div"):
            heading(1, title(message) or t("messages.no_content"))
            with element("p", "line message-line"):
                chips.status(view, message["status"], simulated=bool(message.get("simulated")))
                chips.method(view, message["method"])
                if message["test"]:
                    chips.test(view)
                icon("arrow_forward")
                address_text(line(message["to"], 320))
                element("span", "muted", self._view.times.full(message["created_at"]))
        explained = explain(t, message["method"], message["status"], (message["error"] or {}).get("code"))
        status, is_simulated = message["status"], bool(message.get("simulated"))
        tone = "calm" if is_simulated and status in chips.TAKEN else TONES.get(status, "calm")
        with element("div", f"verdict verdict-{tone}"):
            with ui.column().classes("tight"):
                with element("span", "line"):
                    words = explained.meaning if explained else chips.explain_status(t, status, simulated=is_simulated)
                    element("strong", "", words)
                    if code := line((message["error"] or {}).get("code"), 40):
                        element("code", "muted", code)
                if explained:
                    element("span", "", f"{t('messages.next_step')}{t('messages.colon')}{explained.remedy}")
                if message["status"] in UNSETTLED and self._block:
                    element("span", "held", self._block)
                if detail := (message["error"] or {}).get("detail"):
                    with element("span", "own-words"):
                        element("span", "", f"{t('messages.own_words')}{t('messages.colon')}")
                        element("q", "", line(detail, 500))
            if message["status"] in UNSETTLED and view.may("POST /messages/{id}/cancel"):
                button(t("messages.cancel"), self._cancel, kind="danger", symbol="cancel").classes("cancel-button")
            is_open = message["status"] in (*RESENDABLE, UNCERTAIN) and not message.get("resent_as")
            if not is_open or not view.may("POST /resend"):
                return
            if is_hopeless(message["method"], message["status"], (message["error"] or {}).get("code")):
                request = str(message["id"]).partition("-")[0]
                link_to(t("messages.correct"), f"/send?like={request}", "edit").classes("button button-main")
            else:
                button(t("messages.resend"), self._resend, kind="main", symbol="replay")

    def _draw_facts(self, message: Message) -> None:
        t, times, identity = self._t, self._view.times, str(message["id"])
        facts = [
            ("column_to", line(message["to"], 320)),
            ("column_username", line(message["username"], 64)),
            ("column_created", times.full(message["created_at"])),
            ("column_updated", times.full(message["updated_at"])),
            ("column_attempts", str(message["attempts"])),
            ("fact_segments", str(message.get("segments") or "")),
            ("fact_cost", write_costs(t, filter(None, [message.get("cost")]))),
            ("column_provider", message["provider"] and name_provider(t, message["provider"], message["method"])),
            ("column_provider_id", line(message["provider_id"])),
        ]
        with draw_facts((t(f"messages.{name}"), value) for name, value in facts if value):
            if message["key"]:
                with fact(t("words.key")):
                    element("span", "", line(message["key"], 64))
            for name, linked in (("resend_of", [message["resend_of"]]), ("resent_as", message.get("resent_as") or [])):
                for target_id in filter(None, linked):
                    with fact(t(f"messages.column_{name}")):
                        target = (
                            path("/messages", target_id)
                            if "-" in target_id
                            else f"{list_path(self._view)}?id={target_id}"
                        )
                        link_to(line(target_id, 60), target)
            with fact(t("messages.column_id")):
                element("code", "", identity)
                copy_button(self._view, identity, " ", name=t("messages.copy_id"))
        link_to(t("messages.fact_request_all"), f"{list_path(self._view)}?id={identity.partition('-')[0]}", "list")

    async def _cancel(self) -> None:
        if self._message is not None:
            await confirm_and_cancel(self._view, f"messages/{self._message['id']}", 1)

    async def _resend(self) -> None:
        if self._message is not None:
            await ResendDialog(self._view).ask([self._message])
