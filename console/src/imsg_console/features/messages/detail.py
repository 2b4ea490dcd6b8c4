"""One message in full: what became of it and why, what to do next, what was sent, and every attempt."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.explanations import explain, is_hopeless
from imsg_console.features.messages.timeline import provider_name, timeline
from imsg_console.message.content import content
from imsg_console.message.filters import RESENDABLE, UNSETTLED
from imsg_console.message.hold import explain_hold
from imsg_console.message.pace import Pace
from imsg_console.message.resend_dialog import Again, base
from imsg_console.message.resend_plan import UNCERTAIN
from imsg_console.message.summary import title
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.elements import attrs, button, element, heading, icon, link_to, style_sheet
from imsg_console.widgets.notices import empty, toast

Message = Mapping[str, Any]

TONES = {
    "failed": "bad",
    "expired": "bad",
    "uncertain": "warn",
    "retrying": "warn",
    "delivered": "good",
    "sent": "good",
}


class Detail:
    """Draws a message and keeps it fresh until it is settled."""

    def __init__(self, view: View, identity: str) -> None:
        self._view = view
        self._t = view.t
        self._identity = identity
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")
        self._pace = Pace()
        self._message: Message | None = None
        self._held = ""
        """Why it can't go out now, where it waits for its channel."""

    async def show(self) -> None:
        """Draw it, or say that there is no such message."""
        view, t = self._view, self._t
        style_sheet("messages")
        self._message = await self._load()
        with element("nav", "crumbs"):
            link_to(t("messages.back"), base(view), "arrow_back")
        if self._message is None:
            heading(1, t("layout.message"))
            empty(
                t("messages.missing_title"),
                t("messages.missing"),
                "search_off",
                action=t("messages.missing_step"),
                target=base(view),
            )
            return
        self._head = element("header", "stack message-head")
        with element("div", "message-columns"):
            with (
                element("div", "message-main"),
                attrs(element("section", "card"), aria_label=t("messages.content")),
            ):
                heading(2, t("messages.content"))
                content(view, self._message)
            with element("div", "stack message-side"):
                with attrs(element("section", "card"), aria_label=t("messages.timeline")):
                    heading(2, t("messages.timeline"))
                    self._timeline = attrs(element("div"), aria_live="polite")
                self._facts = attrs(element("section", "card"), aria_label=t("messages.facts"))
        self._draw(self._message)
        if self._message["status"] not in ("failed", "expired", "delivered"):
            self._timer = ui.timer(self._pace.wait_s, self._look, immediate=False)

    async def _load(self) -> Message | None:
        if not self._identity:
            return None
        answer = await self._view.api.get("/api/v2/messages", id=self._identity)
        if any(one["status"] in UNSETTLED for one in answer["messages"]):
            self._held = await explain_hold(self._view, answer["messages"][0]["method"])
        return next((one for one in answer["messages"] if one["id"] == self._identity), None)

    async def _look(self) -> None:
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
        self._head.clear()
        with self._head:
            self._draw_head(message)
        self._timeline.clear()
        with self._timeline:
            timeline(self._view, self._moments, message)
        self._facts.clear()
        with self._facts:
            self._draw_facts(message)

    def _draw_head(self, message: Message) -> None:
        view, t = self._view, self._t
        with element("div", "message-title"):
            heading(1, title(message) or t("messages.no_content"))
            with element("p", "line message-line"):
                chips.status(view, message["status"])
                chips.method(view, message["method"])
                icon("arrow_forward")
                element("bdi", "message-to", line(message["to"], 320))
                element("span", "muted", self._moments.full(message["created_at"]))
        said = explain(t, message["method"], message["status"], (message["error"] or {}).get("code"))
        with element("div", f"verdict verdict-{TONES.get(message['status'], 'calm')}"):
            with element("div", "stack tight verdict-words"):
                element("strong", "", said.meaning if said else t(f"words.status_{message['status']}_means"))
                if said:
                    element("span", "", f"{t('messages.next_step')}{t('messages.colon')}{said.remedy}")
                if message["status"] in UNSETTLED and (held := self._held):
                    element("span", "held", held)
                if detail := (message["error"] or {}).get("detail"):
                    with element("span", "own-words"):
                        element("span", "", f"{t('messages.own_words')}{t('messages.colon')}")
                        element("q", "", line(detail, 500))
            if message["status"] not in (*RESENDABLE, UNCERTAIN) or message.get("resent_as"):
                return
            if is_hopeless(message["method"], message["status"], (message["error"] or {}).get("code")):
                request = str(message["id"]).partition("-")[0]
                link_to(t("messages.correct"), f"/send?like={request}", "edit").classes("button button-main")
            else:
                button(t("messages.resend"), self._resend, kind="main", symbol="replay")

    def _draw_facts(self, message: Message) -> None:
        t = self._t
        heading(2, t("messages.facts"))
        request = str(message["id"]).partition("-")[0]
        with element("dl", "facts"):
            self._fact("column_to", line(message["to"], 320))
            self._fact("column_username", line(message["username"], 64))
            self._fact("column_created", self._moments.full(message["created_at"]))
            self._fact("column_updated", self._moments.full(message["updated_at"]))
            self._fact("column_attempts", str(message["attempts"]))
            if message.get("segments"):
                self._fact("fact_segments", str(message["segments"]))
            if message["provider"]:
                self._fact("column_provider", provider_name(self._view.t, message["provider"], message["method"]))
            if message["provider_id"]:
                self._fact("column_provider_id", line(message["provider_id"]))
            if message["resend_of"]:
                self._fact_link("column_resend_of", str(message["resend_of"]))
            for identity in message.get("resent_as") or ():
                self._fact_link("column_resent_as", str(identity))
            with element("div", "fact"):
                element("dt", "", t("messages.column_id"))
                with element("dd", "line fact-id"):
                    element("code", "", message["id"])
                    copy = button("", lambda: self._copy(str(message["id"])), kind="quiet", symbol="content_copy")
                    attrs(copy, aria_label=t("messages.copy_id"), title=t("messages.copy_id"))
        link_to(t("messages.fact_request_all"), f"{base(self._view)}?id={request}", "list")

    def _fact(self, name: str, value: str) -> None:
        with element("div", "fact"):
            element("dt", "", self._t(f"messages.{name}"))
            with element("dd"):
                element("bdi", "", value)

    def _fact_link(self, name: str, identity: str) -> None:
        is_message = "-" in identity
        target = path("/messages", identity) if is_message else f"{base(self._view)}?id={identity}"
        with element("div", "fact"):
            element("dt", "", self._t(f"messages.{name}"))
            with element("dd"):
                link_to(line(identity, 60), target)

    async def _resend(self) -> None:
        if self._message is not None:
            await Again(self._view).ask([self._message])

    def _copy(self, text: str) -> None:
        ui.clipboard.write(text)
        toast(self._t("layout.copied"))
