"""The providers of a channel: their state and weight, switched on and off, and tried with one message."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.client import path
from imsg_console.explanations import explain_listed
from imsg_console.features.channels.test_message import ask_test_message
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, button, element, heading
from imsg_console.widgets.forms import Field, Form, ask_form
from imsg_console.widgets.notices import toast

MAX_WEIGHT = 1_000
MAX_WORDS = 300

Refresh = Callable[[], Awaitable[None]]
Provider = Mapping[str, Any]


class ProviderList:
    """Draws the providers; again only when more than a count has changed, so that no button moves under a finger."""

    def __init__(self, view: View, method: str, refresh: Refresh) -> None:
        self._view = view
        self._t = view.t
        self._method = method
        self._refresh = refresh
        self._shown: object = None
        self._counts: dict[str, ui.label] = {}
        with element("section", "stack tight") as self._place:
            heading(3, view.t("channels.providers"))
            self._rows = attrs(element("div", "stack tight"), role="list")

    def show(self, providers: Sequence[Provider]) -> None:
        """Show the providers as they are now."""
        self._place.set_visibility(bool(providers))
        shown = [{key: one[key] for key in one if key not in ("sent", "failed", "p95_ms")} for one in providers]
        if shown != self._shown:
            self._shown = shown
            self._counts = {}
            self._rows.clear()
            with self._rows:
                for one in providers:
                    self._draw(one)
        for one in providers:
            self._counts[one["name"]].text = self._write_counts(one)

    def _draw(self, one: Provider) -> None:
        name = one["name"]
        with attrs(element("div", "stack tight channel-provider"), role="listitem", data_provider=name):
            with element("div", "spread"):
                element("strong", "", line(name, 64))
                chips.state(self._view, one["state"])
            if (share := self._write_share(one)) is not None:
                element("p", "muted", share)
            self._counts[name] = ui.label("").classes("muted")
            self._draw_reasons(one)
            with element("div", "line"):
                self._draw_buttons(one)

    def _draw_reasons(self, one: Provider) -> None:
        t = self._t
        for block in one["blocks"]:
            self._draw_explanation(block["code"])
            why = f"{block['what']}: {block['code']} {block['detail']}"
            element("p", "own-words", t("channels.provider_block", why=line(why, MAX_WORDS)))
            since, until = self._view.times.full(block["since"]), self._view.times.full(block["until"])
            element("p", "muted", t("channels.provider_block_times", since=since, until=until))
        last = one["last_error"]
        if last is not None and not one["blocks"]:
            self._draw_explanation(last["code"])
            answer = line(f"{last['code']} {last['detail']}".strip(), MAX_WORDS)
            element("p", "muted", t("channels.provider_last", at=self._view.times.full(last["at"]), said=answer))

    def _draw_explanation(self, code: str) -> None:
        """Draw what a code means and what to do, where it is known."""
        if (explained := explain_listed(self._t, self._method, code)) is not None:
            element("p", "", explained.meaning)
            element("p", "muted", explained.remedy)

    def _draw_buttons(self, one: Provider) -> None:
        t, name = self._t, one["name"]
        if one["enabled"]:
            switch = button(t("channels.provider_off"), lambda: self._switch_off(name), kind="quiet")
            attrs(switch, aria_label=t("channels.provider_off_of", name=name))
        else:
            switch = button(t("channels.provider_on"), lambda: self._change(name, enabled=True), kind="main")
            attrs(switch, aria_label=t("channels.provider_on_of", name=name))
        if one["weight"] is not None:
            weigh = button(t("channels.provider_weigh"), lambda: self._ask_weight(one), kind="quiet")
            attrs(weigh, aria_label=t("channels.provider_weigh_of", name=name))
        test = button(
            t("channels.provider_test"), lambda: ask_test_message(self._view, self._method, name), kind="quiet"
        )
        attrs(test, aria_label=t("channels.provider_test_of", name=name))

    async def _switch_off(self, name: str) -> None:
        t = self._t
        if await confirm(
            self._view,
            t("channels.provider_off_ask", name=name),
            t("channels.provider_off_what"),
            t("channels.provider_off"),
        ):
            await self._change(name, enabled=False)

    async def _ask_weight(self, one: Provider) -> None:
        t = self._t

        async def save(form: Form) -> Mapping[str, int]:
            return {"weight": form.read()["weight"]}

        def check(text: str) -> str:
            is_right = text.isascii() and text.isdigit() and int(text) <= MAX_WEIGHT
            return "" if is_right else t("channels.provider_weight_wrong", most=MAX_WEIGHT)

        field = Field("weight", t("channels.provider_weight"), one["weight"], "whole", check=check)
        title, text = t("channels.provider_weigh_of", name=one["name"]), t("channels.provider_weigh_what")
        chosen = await ask_form(self._view, title, [field], t("channels.provider_weigh_save"), save, text=text)
        if chosen:
            await self._change(one["name"], **chosen)

    async def _change(self, name: str, **fields: bool | int) -> None:
        await self._view.api.patch(path("/api/v2/providers", self._method, name), fields)
        toast(self._t("channels.provider_changed", name=name))
        await self._refresh()

    def _write_share(self, one: Provider) -> str | None:
        t = self._t
        if one["weight"] is None:
            return None
        if one["share"] is None:
            return t("channels.provider_special", weight=one["weight"])
        return t("channels.provider_share", percent=round(one["share"] * 100), weight=one["weight"])

    def _write_counts(self, one: Provider) -> str:
        counts = self._t("channels.provider_counts", sent=f"{one['sent']:,}", failed=f"{one['failed']:,}")
        if one["p95_ms"] is None:
            return counts
        return counts + self._t("channels.listing") + self._t("channels.provider_p95", ms=f"{one['p95_ms']:,}")
