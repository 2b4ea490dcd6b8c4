"""What happened to a message, in order: accepted, every attempt with the provider's answer, its later report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from imsg_channels.smtp import SMTP
from imsg_console.explanations import explain
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets.chips import STATUSES, method_name
from imsg_console.widgets.elements import attrs, element, icon

UNLISTED = "an unlisted code"
"""What senders write beside an answer whose code is in none of their tables."""

COMPLAINT = "complaint"
"""The status of an entry for a recipient who reported the message as spam."""


def name_provider(t: Texts, name: str, method: str) -> str:
    """Return the title of a provider; an account or a mail server has its name from the settings."""
    kind = t("messages.mail_server") if method == SMTP.name else method_name(t, method)
    if name == method:
        return kind
    return f"{kind} {line(name, 40)}" if method == SMTP.name else line(name, 40)


def draw_timeline(view: View, message: Mapping[str, Any]) -> None:
    """Draw the timeline as a list, the oldest entry first."""
    t, times = view.t, view.times
    # Not ui.timeline: Quasar draws an h6 into each of its entries. Empty, axe refuses it as such; with a title in it,
    # for the levels that it jumps over (our headings end at h2). And it is no list to a screen reader, as this is.
    with element("ol", "timeline"):
        accepted = t("messages.accepted_what", who=line(message["username"], 64))
        at = message["created_at"]
        _step(Step(times.clock(at), times.full(at), t("messages.accepted"), [accepted], "inbox", "calm"), "")
        for entry in message["timeline"]:
            _draw(view, message, entry)


def _draw(view: View, message: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    t, times, status = view.t, view.times, entry["status"]
    symbol, tone = ("report", "warn") if status == COMPLAINT else STATUSES.get(status, ("help", "calm"))
    name = t("messages.attempt", n=entry["attempt"]) if entry["attempt"] else t("messages.receipt")
    if status == COMPLAINT:
        name = t("messages.complaint")
    if entry["provider"]:
        name = f"{name} · {name_provider(t, entry['provider'], message['method'])}"
    _step(
        Step(
            times.clock(entry["at"]),
            times.full(entry["at"]),
            name,
            describe(t, message["method"], entry),
            symbol,
            tone,
            code=line(entry["code"], 60),
            words=line(entry["detail"], 500),
        ),
        t("messages.own_words"),
    )


def describe(t: Texts, method: str, entry: Mapping[str, Any]) -> Sequence[str]:
    """Describe an entry in sentences; for an unknown code add one that says so."""
    status = entry["status"]
    if status == COMPLAINT:
        return [t("messages.complained")]
    if status == "sent":
        return [t("messages.took_it")]
    if status == "delivered":
        return [t("messages.reported_delivered")]
    explained = explain(t, method, status, entry["code"])
    sentences = [explained.meaning] if explained else []
    return [*sentences, t("messages.unlisted")] if UNLISTED in (entry["detail"] or "") else sentences


@dataclass(frozen=True, slots=True)
class Step:
    """An entry of the timeline, ready to draw."""

    clock: str
    full: str
    name: str
    sentences: Sequence[str]
    symbol: str
    tone: str
    code: str = ""
    words: str = ""
    """The provider's own text."""


def _step(step: Step, own_words: str) -> None:
    with element("li", f"step step-{step.tone}"):
        with ui.row().classes("justify-between"):
            with element("strong", "line"):
                icon(step.symbol)
                element("span", "", step.name)
            attrs(element("time", "muted", step.clock), title=step.full)
        for sentence in step.sentences:
            element("p", "", sentence)
        if step.words or step.code:
            with element("p", "own-words"):
                if step.code:
                    element("code", "", step.code)
                if step.words:
                    attrs(element("q", "", step.words), title=own_words)
