"""Chips of statuses, methods and states, with a symbol and a word beside the colour."""

from collections.abc import Mapping

from nicegui import ui
from nicegui.element import Element

from imsg_channels import BY_NAME, CHANNELS
from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, element, icon

STATUSES: Mapping[str, tuple[str, str]] = {
    "scheduled": ("event", "calm"),
    "held": ("bedtime", "calm"),
    "queued": ("schedule", "calm"),
    "retrying": ("autorenew", "warn"),
    "uncertain": ("help", "warn"),
    "sent": ("send", "info"),
    "delivered": ("done_all", "good"),
    "failed": ("error", "bad"),
    "expired": ("timer_off", "bad"),
    "cancelled": ("cancel", "calm"),
}
"""Status → symbol and tone."""

TAKEN = frozenset({"sent", "delivered"})
"""Statuses of messages that a provider took, or the sandbox in its place."""

METHODS: Mapping[str, str] = {channel.name: channel.icon for channel in CHANNELS}
"""Method → symbol."""

STATES: Mapping[str, tuple[str, str]] = {
    "open": ("check_circle", "good"),
    "paused": ("pause_circle", "warn"),
    "blocked": ("block", "bad"),
    "disabled": ("power_settings_new", "warn"),
}
"""State of a channel or a provider → symbol and tone."""


def method_name(t: Texts, method: str) -> str:
    """Return the title of a method of sending."""
    channel = BY_NAME.get(method)
    if channel is None:
        return method
    return channel.titles.zh if t.language == "zh" else channel.titles.en


def chip(text: str, symbol: str = "", tone: str = "calm") -> ui.chip:
    """Draw a chip: tone `calm`, `info`, `good`, `warn` or `bad`."""
    return ui.chip(text, icon=symbol or None, color=None).props("dense").classes(f"chip chip-{tone}")


def explain_status(t: Texts, name: str, *, simulated: bool = False) -> str:
    """Return what a status means; the sandbox delivers nothing."""
    is_played = simulated and name in TAKEN
    return t("words.simulated_message") if is_played else t.get(f"words.status_{name}_means", "")


def describe_status(t: Texts, name: str, *, simulated: bool = False) -> tuple[str, str, str]:
    """Return the words, the symbol and the tone of a status."""
    symbol, tone = STATUSES.get(name, ("help", "calm"))
    label = t.get(f"words.status_{name}", name)
    if simulated and name in TAKEN:
        return f"{t('words.simulated')} · {label}", "science", "info"
    return label, symbol, tone


def status(view: View, name: str, *, simulated: bool = False) -> Element:
    """Draw a message's status, with its meaning as a tooltip."""
    drawn = chip(*describe_status(view.t, name, simulated=simulated))
    return attrs(drawn, title=explain_status(view.t, name, simulated=simulated))


def method(view: View, name: str) -> Element:
    """Draw a method of sending."""
    with element("span", "method") as drawn:
        icon(METHODS.get(name, "send"))
        element("span", "", method_name(view.t, name))
    return drawn


def test(view: View) -> Element:
    """Draw that a message is a test."""
    return attrs(chip(view.t("words.test"), "science", "info"), title=view.t("words.test_means"))
