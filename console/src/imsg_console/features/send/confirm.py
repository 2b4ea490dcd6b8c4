"""The check before a message goes to many: recipients, their number, the cost, and the message as it arrives."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.features.send.preview import Preview
from imsg_console.quota import describe_reset, read_quotas
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.costs import sum_costs, write_costs
from imsg_console.widgets.elements import attrs, button, element, heading
from imsg_console.widgets.facts import card, draw_facts
from imsg_console.widgets.notices import notice

SHOWN = 10
"""Recipients that are named; the others are counted."""

SUMMED = ("count", "duplicates", "suppressed", "problems_total")

SHOWN_DOMAINS = 5
SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Checked:
    """What is checked."""

    method: str
    listed: Sequence[str]
    """Recipients, or groups with their sizes."""
    check: Mapping[str, Any]
    """The answer of POST /api/v2/messages/check."""
    ignored: int
    """Texts that were read, and are no recipients."""
    block: str
    """Why the channel sends nothing now; empty where it does."""
    when: str
    """When it is to be sent; empty: at once."""


def join_checks(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the checks of the requests that a send becomes."""
    segments = [check["segments"] for check in checks]
    sums = {name: sum(check[name] for check in checks) for name in SUMMED}
    return {
        **checks[0],
        **sums,
        "segments": None if None in segments else sum(segments),
        "cost": sum_costs(cost for check in checks for cost in check["cost"]),
        "problems": [problem for check in checks for problem in check["problems"]],
    }


class Confirmation:
    """Draws the check in place of the form."""

    def __init__(
        self,
        view: View,
        on_send: Callable[[], Awaitable[object]],
        on_back: Callable[[], object],
        on_leave_out: Callable[[Collection[str]], Awaitable[object]],
    ) -> None:
        """`on_leave_out` gets the recipients who cannot be sent to."""
        self._view, self._t = view, view.t
        self._on_send, self._on_back, self._on_leave_out = on_send, on_back, on_leave_out

    def draw(
        self,
        checked: Checked,
        preview: Callable[[Preview], object],
    ) -> None:
        """Draw what is checked; `preview` draws the message."""
        t, check = self._t, checked.check
        with attrs(element("section", "card stack"), aria_label=t("send.confirm_title")):
            attrs(heading(2, t("send.confirm_title"), "confirm-title"), tabindex="-1")
            if checked.block:
                notice(checked.block, "warn")
            self._draw_shortages(checked)
            draw_facts(self._list_facts(checked))
            self._draw_recipients(checked.listed)
            if check["problems"]:
                self._draw_problems(check)
        with card(t("send.confirm_preview"), is_landmark=True):
            preview(Preview(self._view))
        with ui.row():
            button(t("send.confirm_back"), self._on_back, symbol="arrow_back")
            send = button(t("send.confirm_send", n=f"{check['count']:,}"), self._on_send, kind="main", symbol="send")
            send.classes("confirm-button")
            if check["problems"]:
                send.disable()

    def _list_facts(self, checked: Checked) -> Iterator[tuple[str, str]]:
        t, check = self._t, checked.check
        yield t("send.confirm_method"), method_name(t, checked.method)
        recipients = t("send.confirm_people", n=f"{check['count']:,}")
        if check["duplicates"]:
            recipients += t("send.confirm_duplicates", n=f"{check['duplicates']:,}")
        yield t("send.confirm_count"), recipients
        for name, n in (
            ("ignored", checked.ignored),
            ("without_address", check["without_address"]),
            ("suppressed", check["suppressed"]),
        ):
            if n:
                yield t(f"send.confirm_{name}"), t("send.confirm_people", n=f"{n:,}")
        if checked.when:
            yield t("send.confirm_held"), self._view.times.full(checked.when)
        if check.get("held_until"):
            held = self._view.times.short(check["held_until"])
            yield t("send.confirm_held"), t("send.confirm_held_until", at=held)
        if check.get("segments"):
            yield t("send.confirm_segments"), t("send.confirm_sms", n=f"{check['segments']:,}")
        if cost := write_costs(t, check["cost"]):
            yield t("send.confirm_cost"), cost
        for quota in read_quotas(check, self._view.timezone):
            yield quota.name(t), quota.write_left(t)

    def _draw_shortages(self, checked: Checked) -> None:
        """Show the quotas that the message would exceed: it would be refused."""
        t, check = self._t, checked.check
        needs = {"requests": 1, "recipients": check["count"], "segments": check["segments"] or 0}
        for quota in read_quotas(check, self._view.timezone):
            need = needs[quota.counts]
            if quota.left < need and quota.method in (None, checked.method):
                numbers = {"left": f"{quota.left:,}", "need": f"{need:,}", "opens": describe_reset(t, quota)}
                notice(t("send.confirm_short", name=quota.name(t), **numbers), "bad")

    def _draw_recipients(self, recipients: Sequence[str]) -> None:
        t = self._t
        with element("ul"):
            for recipient in recipients[:SHOWN]:
                element("li", "wrap-anywhere", line(recipient, 80))
            if len(recipients) > SHOWN:
                element("li", "muted", t("send.confirm_more", n=f"{len(recipients) - SHOWN:,}"))
        domains = Counter(recipient.rpartition("@")[2].lower() for recipient in recipients if "@" in recipient)
        if domains:
            named = t.join_names(f"{line(name, 60)} {n:,}" for name, n in domains.most_common(SHOWN_DOMAINS))
            element("p", "muted", t("send.confirm_domains", named=named, n=len(domains)))

    def _draw_problems(self, check: Mapping[str, Any]) -> None:
        notice(self._t("send.confirm_problems", n=f"{check['problems_total']:,}"), "bad")
        whom: dict[str, list[str]] = {}
        for problem in check["problems"][:SHOWN_PROBLEMS]:
            whom.setdefault(problem["detail"], []).append(line(problem["to"], 80))
        with element("ul"):
            for detail, recipients in whom.items():
                with element("li"):
                    element("strong", "wrap-anywhere", self._t.join_names(recipients))
                    element("span", "", f" {line(detail, 300)}")
        wrong = {problem["to"] for problem in check["problems"]}
        button(self._t("send.confirm_leave_out", n=f"{check['count']:,}"), partial(self._on_leave_out, wrong))
