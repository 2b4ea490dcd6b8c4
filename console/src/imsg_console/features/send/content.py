"""What a message says: a template of the API, or words of its own; and the attachments of a mail."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imsg_channels import BY_NAME
from imsg_channels.smtp import SMTP
from imsg_console.features.send.attachments import Attachments
from imsg_console.features.send.content_form import MailForm, Problem, TextForm
from imsg_console.features.send.preview import Preview
from imsg_console.features.send.template_choice import TemplateChoice
from imsg_console.features.send.templates import read_templates
from imsg_console.message.summary import is_template
from imsg_console.view import View
from imsg_console.widgets.chips import METHODS
from imsg_console.widgets.elements import attrs
from imsg_console.widgets.fields import choice_field

OWN = ""
"""The sender of a message that names none: the default one, or the account's own signature."""


class Content:
    """The fields, of which those of the method are shown."""

    def __init__(
        self,
        view: View,
        templates: Sequence[Mapping[str, Any]],
        on_change: Callable[[], None],
        *,
        channels: Sequence[Mapping[str, Any]],
        may_send_codes: bool,
    ) -> None:
        """`templates` and `channels` are all of GET /api/v2/templates and /api/v2/channels."""
        t = self._t = view.t
        self._on_change = on_change
        self._channels = {channel["method"]: channel for channel in channels}
        self.template = TemplateChoice(view, templates, on_change)
        names = ("notice", "marketing", *(("code",) if may_send_codes else ()))
        self._categories = {name: t(f"send.category_{name}") for name in names}
        self._category = choice_field(t("send.category"), self._categories, "notice", on_change)
        if may_send_codes:
            attrs(self._category, hint=t("send.category_hint"))
        self._sender = choice_field(t("send.sender"), {OWN: t("send.sender_own")}, OWN, self._change_sender)
        self._words: dict[str, MailForm | TextForm] = {
            method: MailForm(view, on_change)
            if method == SMTP.name
            else TextForm(view, method, read_templates(method, templates), on_change)
            for method in METHODS
        }
        self._attachments = Attachments(view, on_change)
        self._method = SMTP.name

    @property
    def category(self) -> str:
        """What the message is for; a template has a category of its own."""
        return "notice" if self.template.name else str(self._category.value)

    @property
    def draft(self) -> dict[str, Any]:
        """What was written, as `restore` takes it; of attachments their names."""
        words = {method: form.content for method, form in self._words.items()}
        return {
            "category": self._category.value,
            "sender": self._sender.value,
            "template": self.template.draft,
            "mail": words.pop(SMTP.name),
            "words": words,
            "files": [file.name for file in self._attachments.files],
        }

    def show_method(self, method: str) -> None:
        """Show the fields of a method."""
        self._method = method
        self.template.show_method(method)
        self._show_senders()
        self._attachments.place.set_visibility(BY_NAME[method].has_attachments)

    def show_fields(self) -> None:
        """Show the fields of words where no template is chosen."""
        has_words = not self.template.name
        self._category.set_visibility(has_words)
        for method, words in self._words.items():
            words.place.set_visibility(has_words and method == self._method)

    async def restore(self, draft: Mapping[str, Any], typed: Mapping[str, str]) -> None:
        """Fill in a draft, and the fields that were typed after it was kept; whatever does not fit is left out."""
        mail, kept = draft.get("mail"), draft.get("words")
        contents = {**kept} if isinstance(kept, dict) else {}
        contents[SMTP.name] = {**(mail if isinstance(mail, dict) else {}), **typed}
        if "words" in typed and self._method != SMTP.name:
            contents[self._method] = typed["words"]
        for method, words in self._words.items():
            words.fill(contents.get(method))
        self._choose_category(draft.get("category"))
        self._choose_sender(draft.get("sender"))
        await self.template.restore(draft.get("template"))

    async def fill(self, content: object, category: object) -> bool:
        """Fill in the content of a request that was sent; return whether its template is still there."""
        self._choose_category(category)
        self._choose_sender(content.get("sender") if isinstance(content, dict) else None)
        if isinstance(content, dict) and is_template(content):
            await self.template.restore(content)
            return self.template.name == str(content["template"])
        self._words[self._method].fill(content)
        return True

    def count_segments(self, numbers: list[str]) -> int | None:
        """Count the segments of an SMS to these numbers, and show them; None where that is no matter of the words."""
        words = self._words[self._method]
        if self.template.name or not isinstance(words, TextForm) or BY_NAME[self._method].segments is None:
            return None
        return words.count_segments(numbers)

    def find_problems(self) -> Sequence[Problem]:
        """Return what is wrong, and where."""
        if self.template.name:
            return self.template.find_problems()
        return self._words[self._method].find_problems(has_files=bool(self._attachments.files))

    def show(self, preview: Preview, to: Sequence[str]) -> None:
        """Show the message as it arrives."""
        if not self.template.name:
            self._words[self._method].show(preview, to, self._attachments.files)
        elif self.template.shown is not None:
            self.show_template(preview, self.template.shown, to)

    def show_template(self, preview: Preview, answer: Mapping[str, Any], to: Sequence[str]) -> None:
        """Show what a template becomes: the answer of its `preview`."""
        preview.show_template(answer, to, self._attachments.files, self._signatures.get(str(self._sender.value), ""))

    async def read(self) -> dict[str, Any]:
        """Return what a send has of it."""
        if self.template.name:
            fields = self.template.fields
        else:
            fields = {"content": self._words[self._method].content}
            if self.category != "notice":
                fields["category"] = self.category
        if self._sender.value != OWN:
            fields["sender"] = self._sender.value
        if BY_NAME[self._method].has_attachments and self._attachments.files:
            fields["attachment"] = await self._attachments.encode()
        return fields

    def _choose_category(self, category: object) -> None:
        if category in self._categories:
            self._category.set_value(category)

    def _show_senders(self) -> None:
        """Offer the senders of the method that the user may name; a signature is shown as it arrives."""
        shown = {name: f"{name} · 【{signature}】" for name, signature in self._signatures.items()}
        names = self._channels.get(self._method, {}).get("senders", ())
        own = {OWN: self._t("send.sender_own")}
        self._sender.set_options({**own, **{name: shown.get(name, name) for name in names}}, value=OWN)
        self._sender.set_visibility(bool(names))

    @property
    def _signatures(self) -> Mapping[str, str]:
        signatures: Mapping[str, str] = self._channels.get(self._method, {}).get("signatures", {})
        return signatures

    def _choose_sender(self, name: object) -> None:
        if name in self._sender.options:
            self._sender.set_value(name)

    def _change_sender(self) -> None:
        words = self._words[self._method]
        if isinstance(words, TextForm):
            words.signature = self._signatures.get(str(self._sender.value), "")
        self._on_change()
