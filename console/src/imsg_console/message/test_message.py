"""A test message to an address of one's own, followed until it is settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.element import Element

from imsg_channels import BY_NAME, CHANNELS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import Address
from imsg_console.client import ApiError, path
from imsg_console.explanations import explain
from imsg_console.message.filters import UNSETTLED
from imsg_console.message.simulated import is_simulated
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import act_in_page, attrs, button, element, link_to
from imsg_console.widgets.fields import choice_field
from imsg_console.widgets.notices import notice

MAX_REFRESHES = 40


def _mode(address: Address) -> str:
    if address.is_dialled:
        return "tel"
    return "email" if address.schema.get("format") == "email" else "text"


INPUT_MODES = {channel.name: _mode(channel.address) for channel in CHANNELS}


def ask_test_message(view: View, method: str, providers: Sequence[str], chosen: str = "") -> None:
    """Open the dialog. A provider that is chosen sends a text of iMSG's; else the channel sends a person's own."""
    t, address = view.t, BY_NAME[method].address
    label = address.label.zh if t.language == "zh" else address.label.en
    with dialog(t("channels.test_of", channel=chips.method_name(t, method))) as opened:
        element("p", "", t("channels.test_what"))
        to = ui.input(t.get(f"channels.test_to_{method}", label))
        to.props(f"outlined autofocus inputmode={INPUT_MODES[method]} maxlength=320")
        short = "" if method == SMTP.name else "_short"
        words = ui.textarea(t("channels.test_text"), value=t(f"channels.test_default{short}"))
        words.props("outlined autogrow maxlength=500")
        named = {"": t("channels.test_any")} | {name: line(name, 64) for name in providers}
        via = choice_field(t("channels.provider"), named, chosen, lambda: words.set_visibility(not via.value))
        words.set_visibility(not chosen)
        attrs(via, hint=t("channels.test_via_what")).set_visibility(bool(providers))
        result = attrs(element("div"), aria_live="polite")
        with ui.row():
            button(t("layout.close"), opened.close, kind="quiet")
            go = button(t("channels.test_send"), lambda: None, kind="main", symbol="send")

    async def send() -> None:
        go.disable()
        try:
            recipient, text = str(to.value or "").strip(), str(words.value or "").strip()
            await _send(view, _Test(method, str(via.value or ""), recipient, text), result)
        finally:
            go.enable()

    go.on_click(act_in_page(send))
    to.on("keydown.enter", act_in_page(send))
    opened.on("hide", opened.delete)
    opened.open()


@dataclass(frozen=True, slots=True)
class _Test:
    """A test message."""

    method: str
    provider: str
    """Empty: whichever the channel takes."""
    recipient: str
    text: str

    async def send(self, view: View) -> Any:  # noqa: ANN401  any JSON
        """Send it. Raises ApiError."""
        if self.provider:
            url = path("/api/v2/providers", self.method, self.provider, "test")
            return await view.api.post(url, {"to": self.recipient})
        subject = view.t("channels.test_subject")
        content: Any = {"subject": subject, "text": self.text} if self.method == SMTP.name else self.text
        body = {"to": self.recipient, "method": self.method, "content": content}
        return await view.api.post("/api/v2/messages", body)


async def _send(view: View, test: _Test, place: Element) -> None:
    t = view.t
    place.clear()
    if not test.recipient or not test.text:
        with place:
            notice(t("channels.test_missing"), "warn")
        return
    try:
        answer = await test.send(view)
    except ApiError as error:
        with place:
            notice(error.detail or t("layout.unreachable"), "bad")
        return
    _Watch(view, place, f"{answer['id']}-0", in_sandbox=await is_simulated(view, test.method, test.provider)).begin()


class _Watch:
    """Shows the status of the message until it is settled."""

    def __init__(self, view: View, place: Element, identity: str, *, in_sandbox: bool) -> None:
        self._view = view
        self._place = place
        self._identity = identity
        self._in_sandbox = in_sandbox
        self._refreshes = 0
        self._shown: object = None

    def begin(self) -> None:
        """Begin to refresh."""
        with self._place:
            notice(self._view.t("channels.test_accepted"))
            self._timer = ui.timer(0.5, self._refresh)

    async def _refresh(self) -> None:
        self._refreshes += 1
        try:
            answer = await self._view.api.get("/api/v2/messages", id=self._identity)
        except ApiError:
            return
        messages = answer["messages"]
        if messages:
            self._show(messages[0])
        if (messages and messages[0]["status"] not in (*UNSETTLED, "sent")) or self._refreshes >= MAX_REFRESHES:
            self._timer.deactivate()

    def _show(self, message: dict[str, Any]) -> None:
        t = self._view.t
        status, is_simulated = message["status"], bool(message.get("simulated"))
        code = (message["error"] or {}).get("code")
        if self._shown == (status, code):
            return  # a link that is drawn anew under the hand loses the click
        self._shown = status, code
        explained = explain(t, message["method"], status, code)
        for child in list(self._place.default_slot.children):
            if child is not self._timer:
                child.delete()
        tone = chips.describe_status(t, status, simulated=is_simulated)[2]
        with self._place, element("div", f"line notice notice-{'info' if tone == 'calm' else tone}"):
            chips.status(self._view, status, simulated=is_simulated)
            meaning = chips.explain_status(t, status, simulated=is_simulated)
            if (message["method"], status, is_simulated) == (SMTP.name, "sent", False):
                meaning = t("channels.test_look")  # of mail no receipt comes
            element("span", "", explained.meaning if explained else meaning)
            with element("p"):
                link_to(t("channels.test_see"), f"/messages/{self._identity}", "mail")
                if self._in_sandbox and status in ("sent", "delivered"):
                    link_to(t("channels.test_see_inbox"), f"/inbox?tab={message['method']}", "science")
