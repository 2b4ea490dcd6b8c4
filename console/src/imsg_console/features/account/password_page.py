"""Changing one's own password."""

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.layout import sentence
from imsg_console.paths import LOGOUT
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import attrs, button, element, heading, style_sheet
from imsg_console.widgets.notices import notice

LEAST, MOST = 8, 256
"""As the API has it."""


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    style_sheet("send")
    heading(1, t("password.title"))
    element("p", "page-lead narrow", t("password.lead"))
    if view.query.get("done"):
        notice(t("password.done"), "good")
    with element("section", "card narrow"):
        PasswordForm(view).draw()
    with element("section", "card narrow stack"):
        heading(2, t("password.everywhere"))
        element("p", "muted", t("password.everywhere_what"))
        with attrs(element("form"), method="post", action=f"{LOGOUT}?everywhere=1"):
            attrs(element("button", "button", t("password.everywhere")), type="submit")


class PasswordForm:
    """The form, posted by the page itself so that password managers offer to save the password."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    def draw(self) -> None:
        """Draw it."""
        t = self._t
        with element("form", "stack password-form") as form:
            # Password managers look for the username.
            attrs(
                element("input", "unseen"),
                type="text",
                autocomplete="username",
                value=self._view.session.username,
                readonly=True,
                tabindex=-1,
                aria_hidden="true",
            )
            self._old = self._field(t("password.old"), "current-password")
            self._new = self._field(t("password.new"), "new-password")
            attrs(self._new, hint=t("password.new_hint"))
            self._again = self._field(t("password.again"), "new-password")
            show = ui.checkbox(t("password.show"), on_change=lambda event: self._reveal(shown=bool(event.value)))
            show.classes("password-show")
            self._error = element("div", "")
            submit = button(t("password.submit"), lambda: None, kind="main")
            attrs(submit, type="submit")
        form.on("submit", self._submit, js_handler="(e) => { e.preventDefault(); emit(); }")

    def _field(self, label: str, autocomplete: str) -> ui.input:
        made = ui.input(label, password=True).props("outlined stack-label")
        return attrs(made, autocomplete=autocomplete, maxlength=MOST + 1)

    def _reveal(self, *, shown: bool) -> None:
        for made in (self._old, self._new, self._again):
            attrs(made, type="text" if shown else "password")

    async def _submit(self) -> None:
        t = self._t
        self._error.clear()
        old, new = self._old.value, self._new.value
        wrong = {
            self._old: "" if old else "password.old_missing",
            self._new: self._check_new(old, new),
            self._again: "" if self._again.value == new else "password.again_differs",
        }
        for made, key in wrong.items():
            made.error = t(key) if key else None
        if first := next((made for made, key in wrong.items() if key), None):
            first.run_method("focus")
            return
        try:
            answer = await self._view.api.post("/api/v2/password", {"old": old, "new": new})
        except ApiError as error:
            if error.reason == "wrong_password":
                self._old.error = t("password.old_wrong")
                self._old.run_method("focus")
                return
            with self._error:
                notice(sentence(t, error), "bad")
            return
        session = self._view.session
        session.token, session.warned = answer["token"], False
        session.end_others()
        ui.navigate.to("/password?done=1")

    def _check_new(self, old: str, new: str) -> str:
        if len(new) < LEAST:
            return "password.new_short"
        if len(new) > MOST:
            return "password.new_long"
        return "password.new_same" if new == old else ""


PAGE = Page("/password", "password", Group.USER, show)
