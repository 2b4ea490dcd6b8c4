"""The last look before many are written to: who, how many, what it costs, and the text as it arrives."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from imsg_console.features.send.preview import Preview
from imsg_console.features.send.recipients import Recipient
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import attrs, button, element, heading
from imsg_console.widgets.notices import notice

SHOWN = 10
"""Recipients that are named; the rest is counted."""

SHOWN_DOMAINS = 5
SHOWN_PROBLEMS = 20

LIMITS = ("per_hour", "per_day", "recipients_per_day")


class Confirmation:
    """Draws it in place of the form; `on_send` and `on_back` are what can be done."""

    def __init__(self, view: View, on_send: Callable[[], Awaitable[object]], on_back: Callable[[], object]) -> None:
        self._view, self._t = view, view.t
        self._on_send, self._on_back = on_send, on_back

    def draw(
        self,
        method: str,
        people: Sequence[Recipient],
        found: Mapping[str, Any],
        preview: Callable[[Preview], object],
    ) -> None:
        """Draw what POST /api/v2/messages/check found."""
        t, count = self._t, found["count"]
        with attrs(element("section", "card stack send-confirm"), aria_label=t("send.confirm_title")):
            attrs(heading(2, t("send.confirm_title"), "confirm-title"), tabindex="-1")
            with element("dl", "facts"):
                self._fact(t("send.confirm_method"), method_name(t, method))
                self._fact(t("send.confirm_count"), self._count(count, found["duplicates"]))
                if found.get("segments"):
                    self._fact(t("send.confirm_segments"), t("send.confirm_sms", n=f"{found['segments']:,}"))
                for name in LIMITS:
                    limit = found["limits"].get(name)
                    if limit is not None:
                        left = t("send.confirm_of", left=f"{limit['left']:,}", limit=f"{limit['limit']:,}")
                        self._fact(t(f"send.confirm_{name}"), left)
            self._draw_people(people)
            if found["problems"]:
                self._draw_problems(found)
        with attrs(element("section", "card stack"), aria_label=t("send.confirm_preview")):
            heading(2, t("send.confirm_preview"))
            preview(Preview(self._view))
        with element("div", "actions dialog-foot"):
            button(t("send.confirm_back"), self._on_back, symbol="arrow_back")
            send = button(t("send.confirm_send", n=f"{count:,}"), self._on_send, kind="main", symbol="send")
            send.classes("confirm-button")
            if found["problems"]:
                send.disable()

    def _count(self, count: int, duplicates: int) -> str:
        said = self._t("send.confirm_people", n=f"{count:,}")
        return f"{said}{self._t('send.confirm_duplicates', n=f'{duplicates:,}')}" if duplicates else said

    def _draw_people(self, people: Sequence[Recipient]) -> None:
        t = self._t
        with element("ul", "confirm-people"):
            for one in people[:SHOWN]:
                element("li", "wrap-anywhere", line(one.text, 80))
            if len(people) > SHOWN:
                element("li", "muted", t("send.confirm_more", n=f"{len(people) - SHOWN:,}"))
        domains = Counter(one.text.rpartition("@")[2].lower() for one in people if "@" in one.text)
        if domains:
            named = t("send.draft_listing").join(
                f"{line(name, 60)} {n:,}" for name, n in domains.most_common(SHOWN_DOMAINS)
            )
            element("p", "muted", t("send.confirm_domains", named=named, n=len(domains)))

    def _draw_problems(self, found: Mapping[str, Any]) -> None:
        notice(self._t("send.confirm_problems", n=f"{found['problems_total']:,}"), "bad")
        with element("ul", "confirm-problems"):
            for one in found["problems"][:SHOWN_PROBLEMS]:
                with element("li"):
                    element("strong", "wrap-anywhere", line(one["to"], 80))
                    element("span", "", f" {line(one['detail'], 200)}")

    def _fact(self, name: str, value: str) -> None:
        with element("div", "fact"):
            element("dt", "", name)
            element("dd", "", value)
