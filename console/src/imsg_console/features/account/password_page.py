"""Changing one's own password."""

from contextlib import suppress
from functools import partial

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.features.account.agents import MAX_AGENT, name_agent
from imsg_console.layout import describe_error
from imsg_console.paths import LOGOUT
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import attrs, button, element, heading, style_sheet
from imsg_console.widgets.facts import card
from imsg_console.widgets.notices import notice

MIN_PASSWORD, MAX_PASSWORD = 8, 256
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
    with card(t("password.sessions"), "narrow"):
        await SessionsSection(view).draw()
    with card(t("password.everywhere"), "narrow"):
        element("p", "muted", t("password.everywhere_what"))
        with attrs(element("form"), method="post", action=f"{LOGOUT}?everywhere=1"):
            attrs(element("button", "button", t("password.everywhere")), type="submit")


class SessionsSection:
    """Where one is logged in on the web page, each to be ended."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def draw(self) -> None:
        """Draw the list."""
        t, view = self._t, self._view
        with element("ul", "stack tight"):
            for session in (await view.api.get("/api/v2/sessions"))["sessions"]:
                since = view.times.short(session["created_at"])
                with element("li", ""):
                    element("p", "", t("password.session", address=line(session["address"], 64), since=since))
                    attrs(element("p", "muted", name_agent(session["agent"])), title=line(session["agent"], MAX_AGENT))
                    if session["current"]:
                        element("p", "muted", t("password.session_here"))
                    else:
                        button(t("password.session_end"), partial(self._end, session["id"]))

    async def _end(self, session: str) -> None:
        await self._view.api.delete(path("/api/v2/sessions", session))
        ui.navigate.to("/password")


class PasswordForm:
    """The form, posted by the page itself so that password managers offer to save the password."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    def draw(self) -> None:
        """Draw the page."""
        t = self._t
        with element("form", "stack") as form:
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
            ui.checkbox(t("password.show"), on_change=lambda event: self._reveal(shown=bool(event.value)))
            self._error = element("div")
            submit = button(t("password.submit"), lambda: None, kind="main")
            attrs(submit, type="submit")
        form.on("submit", self._submit, js_handler="(e) => { e.preventDefault(); emit(); }")

    def _field(self, label: str, autocomplete: str) -> ui.input:
        made = ui.input(label, password=True).props("outlined stack-label")
        return attrs(made, autocomplete=autocomplete, maxlength=MAX_PASSWORD + 1)

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
                notice(describe_error(t, error), "bad")
            return
        session = self._view.session
        session.token, session.warned = answer["token"], False
        session.end_others()
        # The change ended the kept ones: this browser is listed, and stays logged in after a restart, by its new token.
        with suppress(ApiError):
            kept = session.describe(ui.context.client.request.headers)
            await self._view.api.post("/api/v2/sessions", kept)
        ui.navigate.to("/password?done=1")

    def _check_new(self, old: str, new: str) -> str:
        if len(new) < MIN_PASSWORD:
            return "password.new_short"
        if len(new) > MAX_PASSWORD:
            return "password.new_long"
        return "password.new_same" if new == old else ""


PAGE = Page("/password", "password", Group.USER, show)
