"""The check before a message goes to many: recipients, their number, the cost, and the message as it arrives."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from imsg_console.features.send.preview import Preview
from imsg_console.features.send.recipients import Recipient
from imsg_console.quota import read_quotas
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.costs import write_costs
from imsg_console.widgets.elements import attrs, button, element, heading
from imsg_console.widgets.facts import draw_facts
from imsg_console.widgets.notices import notice

SHOWN = 10
"""Recipients that are named; the others are counted."""

SHOWN_DOMAINS = 5
SHOWN_PROBLEMS = 20


class Confirmation:
    """Draws the check in place of the form."""

    def __init__(self, view: View, on_send: Callable[[], Awaitable[object]], on_back: Callable[[], object]) -> None:
        self._view, self._t = view, view.t
        self._on_send, self._on_back = on_send, on_back

    def draw(
        self,
        method: str,
        recipients: Sequence[Recipient],
        check: Mapping[str, Any],
        preview: Callable[[Preview], object],
    ) -> None:
        """Draw the answer of POST /api/v2/messages/check; `preview` draws the message."""
        t, count = self._t, check["count"]
        with attrs(element("section", "card stack"), aria_label=t("send.confirm_title")):
            attrs(heading(2, t("send.confirm_title"), "confirm-title"), tabindex="-1")
            draw_facts(self._list_facts(method, check))
            self._draw_recipients(recipients)
            if check["problems"]:
                self._draw_problems(check)
        with attrs(element("section", "card stack"), aria_label=t("send.confirm_preview")):
            heading(2, t("send.confirm_preview"))
            preview(Preview(self._view))
        with element("div", "actions"):
            button(t("send.confirm_back"), self._on_back, symbol="arrow_back")
            send = button(t("send.confirm_send", n=f"{count:,}"), self._on_send, kind="main", symbol="send")
            send.classes("confirm-button")
            if check["problems"]:
                send.disable()

    def _list_facts(self, method: str, check: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        t = self._t
        yield t("send.confirm_method"), method_name(t, method)
        recipients = t("send.confirm_people", n=f"{check['count']:,}")
        if check["duplicates"]:
            recipients += t("send.confirm_duplicates", n=f"{check['duplicates']:,}")
        yield t("send.confirm_count"), recipients
        if check.get("segments"):
            yield t("send.confirm_segments"), t("send.confirm_sms", n=f"{check['segments']:,}")
        if cost := write_costs(t, check["cost"]):
            yield t("send.confirm_cost"), cost
        for quota in read_quotas(check, self._view.timezone):
            numbers = t("send.confirm_of", left=f"{quota.left:,}", limit=f"{quota.limit:,}")
            yield quota.name(t), numbers

    def _draw_recipients(self, recipients: Sequence[Recipient]) -> None:
        t = self._t
        with element("ul"):
            for one in recipients[:SHOWN]:
                element("li", "wrap-anywhere", line(one.text, 80))
            if len(recipients) > SHOWN:
                element("li", "muted", t("send.confirm_more", n=f"{len(recipients) - SHOWN:,}"))
        domains = Counter(one.text.rpartition("@")[2].lower() for one in recipients if "@" in one.text)
        if domains:
            named = t("send.draft_listing").join(
                f"{line(name, 60)} {n:,}" for name, n in domains.most_common(SHOWN_DOMAINS)
            )
            element("p", "muted", t("send.confirm_domains", named=named, n=len(domains)))

    def _draw_problems(self, check: Mapping[str, Any]) -> None:
        notice(self._t("send.confirm_problems", n=f"{check['problems_total']:,}"), "bad")
        with element("ul"):
            for one in check["problems"][:SHOWN_PROBLEMS]:
                with element("li"):
                    element("strong", "wrap-anywhere", line(one["to"], 80))
                    element("span", "", f" {line(one['detail'], 200)}")
