"""The faults of the sandbox: those in force, and a button for each that can be injected."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import act_in_page, attrs, button, element, heading, icon, redraw
from imsg_console.widgets.notices import toast

FAULTS = "/sandbox/faults"
ORDER = ("latency", "hang", "5xx", "reset_before", "reset_after", "greylist", "expired_token", "lost_receipt")
MAX_TIMES = 1_000_000


class FaultBoard:
    """Draws the faults, and refreshes those in force."""

    def __init__(self, view: View, supported: Mapping[str, list[str]]) -> None:
        self._view = view
        self._t = view.t
        self._shown: object = None
        t = view.t
        element("p", "page-lead", t("sandbox.faults_lead"))
        with attrs(element("section", "card"), aria_label=t("sandbox.in_force")):
            with ui.row().classes("justify-between"):
                heading(2, t("sandbox.in_force"))
                self._end_button = button(t("sandbox.calm_all"), self._end_all, symbol="healing")
            self._force = attrs(element("ul", "stack tight fault-force"), aria_live="polite")
        with element("div", "tiles"):
            for method, known in supported.items():
                with attrs(element("section", "card"), data_method=method):
                    with heading(2, ""):
                        chips.method(view, method)
                    with element("ul"):
                        for fault in sorted(known, key=_place):
                            self._draw(method, fault)

    async def refresh(self) -> None:
        """Show what is in force. Raises ApiError."""
        self._show((await self._view.sandbox.call("GET", FAULTS))["faults"])

    def _show(self, orders: list[Mapping[str, Any]]) -> None:
        if orders == self._shown:
            return
        self._shown = orders
        t = self._t
        self._end_button.set_visibility(bool(orders))
        with redraw(self._force):
            if not orders:
                with element("li"):
                    icon("check_circle")
                    element("span", "", t("sandbox.none_in_force"))
            for order in orders:
                self._draw_order(order["method"], order["fault"], order["times"])

    def _draw_order(self, method: str, fault: str, times: int | None) -> None:
        t, named = self._t, self._name(fault)
        with element("li", "line"):
            chips.method(self._view, method)
            chips.chip(named, "bolt", "warn")
            element("span", "muted", t("sandbox.always") if times is None else t("sandbox.left_times", n=times))
            calm = button(t("sandbox.calm"), lambda: self._set(method, fault, 0), kind="quiet")
            attrs(calm, aria_label=t("sandbox.calm_of", channel=self._channel(method), fault=named))

    def _draw(self, method: str, fault: str) -> None:
        t, named, channel = self._t, self._name(fault), self._channel(method)
        with element("li", "line fault"):
            with ui.column().classes("fault-words"):
                element("strong", "", named)
                element("span", "muted", t.get(f"sandbox.fault_{fault}_what", ""))
            times = ui.input(t("sandbox.times"), value="1").props("outlined dense inputmode=numeric maxlength=7")
            attrs(times.classes("fault-times"), aria_label=t("sandbox.times_of", channel=channel, fault=named))

            async def inject() -> None:
                await self._inject(method, fault, str(times.value or ""))

            times.on("keydown.enter", act_in_page(inject))
            start = button(t("sandbox.play"), inject, symbol="bolt")
            attrs(start, aria_label=t("sandbox.play_of", channel=channel, fault=named))

    async def _inject(self, method: str, fault: str, text: str) -> None:
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_TIMES))
        if not is_number or not 1 <= int(text) <= MAX_TIMES:
            toast(self._t("sandbox.bad_times"), good=False)
            return
        await self._set(method, fault, int(text))
        toast(self._t("sandbox.played", n=int(text), fault=self._name(fault)))

    async def _set(self, method: str, fault: str, times: int) -> None:
        order = {"method": method, "fault": fault, "times": times}
        self._show((await self._view.sandbox.call("PUT", FAULTS, order))["faults"])

    async def _end_all(self) -> None:
        self._show((await self._view.sandbox.call("DELETE", FAULTS))["faults"])
        toast(self._t("sandbox.calmed"))

    def _name(self, fault: str) -> str:
        return self._t.get(f"sandbox.fault_{fault}", fault)

    def _channel(self, method: str) -> str:
        return method_name(self._t, method)


def _place(fault: str) -> int:
    return ORDER.index(fault) if fault in ORDER else len(ORDER)
