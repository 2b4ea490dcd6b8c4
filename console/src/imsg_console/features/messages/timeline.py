"""What happened to a message, in order: accepted, every attempt with the provider's answer, its later report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_channels import METHODS
from imsg_channels.smtp import SMTP
from imsg_console.explanations import explain
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets.chips import STATUSES, method_name
from imsg_console.widgets.elements import attrs, element, icon

PROVIDERS: Mapping[str, tuple[str, str]] = {
    "aliyun": ("阿里云短信", "Alibaba Cloud SMS"),
    "tencent": ("腾讯云短信", "Tencent Cloud SMS"),
    "volcengine": ("火山引擎短信", "Volcengine SMS"),
    "twilio": ("Twilio", "Twilio"),
    "smtp": ("邮件服务器", "Mail server"),
    "wechat": ("微信", "WeChat"),
    "http": ("短信服务商", "SMS provider"),
}

UNLISTED = "an unlisted code"
"""What senders write beside the whole answer where no table of theirs has its code."""

COMPLAINT = "complaint"
"""The code of a line that says that whoever got the message called it spam."""


def provider_name(t: Texts, name: str, method: str) -> str:
    """Name a provider as people do. One of several mail servers goes by the name that settings give it.

    Somebody may call a mail server `aliyun`, and an SMS account `smtp`, too.
    """
    if method == SMTP.name and name != SMTP.name:
        return f"{provider_name(t, SMTP.name, method)} {line(name, 40)}"
    if name in METHODS and name != method:  # an account's own name
        return name
    if name not in PROVIDERS:
        return line(method_name(t, name))
    zh, en = PROVIDERS[name]
    return line(zh if t.language == "zh" else en)


def timeline(view: View, moments: TimeFormat, message: Mapping[str, Any]) -> None:
    """Draw it as a list, the oldest first."""
    t = view.t
    # Not ui.timeline: Quasar draws an h6 into each of its entries. Empty, axe refuses it as such; with a title in it,
    # for the levels that it jumps over (our headings end at h2). And it is no list to a screen reader, as this is.
    with element("ol", "timeline"):
        accepted = t("messages.accepted_what", who=line(message["username"], 64))
        at = message["created_at"]
        _step(Step(moments.clock(at), moments.full(at), t("messages.accepted"), [accepted], "inbox", "calm"), "")
        for entry in message["timeline"]:
            _draw(view, moments, message, entry)


def _draw(view: View, moments: TimeFormat, message: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    t, status = view.t, entry["status"]
    symbol, tone = ("report", "warn") if is_complaint(entry) else STATUSES.get(status, ("help", "calm"))
    name = t("messages.attempt", n=entry["attempt"]) if entry["attempt"] else t("messages.receipt")
    if is_complaint(entry):
        name = t("messages.complaint")
    if entry["provider"]:
        name = f"{name} · {provider_name(t, entry['provider'], message['method'])}"
    _step(
        Step(
            moments.clock(entry["at"]),
            moments.full(entry["at"]),
            name,
            say(t, message["method"], entry),
            symbol,
            tone,
            code=line(entry["code"], 60),
            words=line(entry["detail"], 500),
        ),
        t("messages.own_words"),
    )


def is_complaint(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry says that the recipient complained; its status is that they have got it."""
    return entry["attempt"] is None and entry["code"] == COMPLAINT


def say(t: Texts, method: str, entry: Mapping[str, Any]) -> Sequence[str]:
    """Say in sentences what an entry means, and whether nobody listed its code."""
    status = entry["status"]
    if is_complaint(entry):
        return [t("messages.complained")]
    if status == "sent":
        return [t("messages.took_it")]
    if status == "delivered":
        return [t("messages.reported_delivered")]
    said = explain(t, method, status, entry["code"])
    sentences = [said.meaning] if said else []
    return [*sentences, t("messages.unlisted")] if UNLISTED in (entry["detail"] or "") else sentences


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it is shown."""

    clock: str
    full: str
    name: str
    sentences: Sequence[str]
    symbol: str
    tone: str
    code: str = ""
    words: str = ""
    """The provider's own."""


def _step(step: Step, own_words: str) -> None:
    with element("li", f"step step-{step.tone}"):
        with element("div", "spread"):
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
