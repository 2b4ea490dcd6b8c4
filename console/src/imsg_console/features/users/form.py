"""The form of a user: new, or as they are."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from imsg_channels import CONTACTS
from imsg_console.client import ApiError, path
from imsg_console.features.users import secret
from imsg_console.features.users.records import (
    ALL,
    LEAST_PASSWORD,
    MOST,
    MOST_NAME,
    MOST_PASSWORD,
    PER_DAY,
    PER_HOUR,
    User,
    changes,
    place_error,
    read_senders,
    show_senders,
)
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.fields import choice_field, sound, text_field, whole, whole_field
from imsg_console.widgets.notices import notice, toast

Done = Callable[[], Awaitable[object]]
"""What to do once something has changed: show the list anew."""

NEW: User = {
    "email": "",
    "phone": "",
    "wechat": "",
    "role": "user",
    "per_hour": PER_HOUR,
    "per_day": PER_DAY,
    "recipients_per_day": None,
    "available": True,
    "may_send_codes": False,
    "senders": ALL,
}

AFTER = ("recipients_per_day", "may_send_codes", "senders")
"""What register does not take: it is set once the user exists."""


def limit_check(view: View, *, may_be_empty: bool = False) -> Callable[[str], str]:
    """Make the check of a field that holds a limit."""

    def check(text: str) -> str:
        plain = text.strip()
        if not plain and may_be_empty:
            return ""
        is_limit = plain.isascii() and plain.isdigit() and int(plain) <= MOST
        return "" if is_limit else view.t("users.not_a_number")

    return check


class Form:
    """The fields that new and known users share."""

    def __init__(self, view: View, user: User) -> None:
        t = view.t
        self._view = view
        with element("fieldset", "form-part"):
            element("legend", "", t("users.contacts"))
            element("p", "muted", t("users.contacts_hint"))
            with element("div", "form-grid"):
                self.email = text_field(t("users.email"), user["email"] or "", most=254, check=self._email)
                self.phone = text_field(t("users.phone"), user["phone"] or "", hint=t("users.phone_hint"), most=32)
                self.wechat = text_field(t("users.wechat"), user["wechat"] or "", hint=t("users.wechat_hint"), most=32)
        with element("fieldset", "form-part"):
            element("legend", "", t("users.limits"))
            element("p", "muted", t("users.limits_hint"))
            with element("div", "form-grid"):
                limit, open_limit = limit_check(view), limit_check(view, may_be_empty=True)
                self.per_hour = whole_field(t("users.per_hour"), user["per_hour"], check=limit)
                self.per_day = whole_field(t("users.per_day"), user["per_day"], check=limit)
                self.recipients_per_day = whole_field(
                    t("users.recipients_per_day"),
                    user["recipients_per_day"],
                    hint=t("users.recipients_hint"),
                    check=open_limit,
                )
        with element("fieldset", "form-part"):
            element("legend", "unseen", t("users.role"))
            with element("div", "form-grid"):
                roles = {role: t(f"words.role_{role}") for role in ("user", "admin")}
                self.role = choice_field(t("users.role"), roles, user["role"])
                attrs(self.role, hint=t("users.role_hint"))
                with element("div", "stack switch-place"):
                    self.available = ui.switch(t("users.available"), value=user["available"])
                    element("span", "muted", t("users.available_hint"))
                with element("div", "stack switch-place"):
                    self.may_send_codes = ui.switch(t("users.may_send_codes"), value=bool(user.get("may_send_codes")))
                    element("span", "muted", t("users.may_send_codes_hint"))
                self.senders = text_field(
                    t("users.senders"), show_senders(user.get("senders", ALL)), hint=t("users.senders_hint"), most=1000
                )
        self.fields: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("email", "phone", "wechat", "per_hour", "per_day", "recipients_per_day", "senders")
        }

    def is_sound(self, *more: ui.input) -> bool:
        """Check what can be checked here; the API checks the rest."""
        return sound((*more, *self.fields.values()))

    def values(self) -> dict[str, Any]:
        """Return what stands in the form, as the API names it."""
        return {
            **{name: str(self.fields[name].value or "").strip() for name in CONTACTS},
            "role": self.role.value,
            "per_hour": whole(self.per_hour),
            "per_day": whole(self.per_day),
            "recipients_per_day": whole(self.recipients_per_day),
            "available": self.available.value,
            "may_send_codes": self.may_send_codes.value,
            "senders": read_senders(str(self.senders.value or "")),
        }

    def show_refusal(self, error: ApiError, place: ui.element, **more: ui.input) -> None:
        """Say what the API refused: at the field it is about, else above the buttons."""
        name, sentence = place_error(self._view.t, error)
        field = {**self.fields, **more}.get(name)
        place.clear()
        if field is not None:
            attrs(field, error=True, error_message=sentence)
            field.run_method("focus")
            field.on_value_change(lambda: attrs(field, error=False))
        else:
            with place:
                notice(sentence, "bad")

    def _email(self, text: str) -> str:
        plain = text.strip()
        name, at, host = plain.rpartition("@")
        return (
            "" if not plain or (at and name and "." in host and " " not in plain) else self._view.t("users.bad_email")
        )


async def create(view: View, done: Done) -> None:
    """Ask for a new user, make it, and hand its password over."""
    t = view.t
    with dialog(t("users.new_title"), wide=True) as asked:
        with element("div", "form-grid"):
            name = text_field(
                t("users.username"), hint=t("users.username_hint"), most=MOST_NAME, check=lambda text: _name(view, text)
            )
            password = text_field(
                t("users.password"),
                secret.password(),
                hint=t("users.password_hint"),
                most=MOST_PASSWORD,
                check=lambda text: "" if len(text) >= LEAST_PASSWORD else t("users.short_password"),
            )
            attrs(name, autofocus=True)
        form = Form(view, NEW)
        trouble = element("div", "form-trouble")

        async def save() -> None:
            if not form.is_sound(name, password):
                return
            values = {one: value for one, value in form.values().items() if value not in ("", None)}
            body = {**values, "username": name.value.strip(), "password": password.value}
            more = {name: value for name in AFTER if (value := body.pop(name, None)) not in (None, False, ALL)}
            try:
                await view.api.post("/api/v2/register", body)
                if more:
                    await view.api.patch(path("/api/v2/users", body["username"]), more)
            except ApiError as error:
                form.show_refusal(error, trouble, username=name, password=password)
                return
            asked.submit((body["username"], body["password"]))

        _buttons(view, asked, t("users.create"), save)
    made = await asked
    asked.delete()
    if made:
        await done()
        await hand_over(view, t("users.created", name=line(made[0], MOST_NAME)), *made)


async def edit(view: View, user: User, done: Done) -> None:
    """Show a user's form, and change what was changed."""
    t, username = view.t, user["username"]
    with dialog(t("users.edit_of", name=line(username, MOST_NAME)), wide=True) as asked:
        form = Form(view, user)
        trouble = element("div", "form-trouble")

        async def save() -> None:
            if not form.is_sound():
                return
            changed = changes(user, form.values())
            if changed:
                try:
                    await view.api.patch(path("/api/v2/users", username), changed)
                except ApiError as error:
                    form.show_refusal(error, trouble)
                    return
            asked.submit(bool(changed))

        _buttons(view, asked, t("users.save"), save)
    changed = await asked
    asked.delete()
    if changed is not None:
        name = line(username, MOST_NAME)
        toast(t("users.saved", name=name) if changed else t("users.unchanged"))
        await done()


async def reset(view: View, user: User, done: Done) -> None:
    """Give a user a new password."""
    t, username = view.t, user["username"]
    name = line(username, MOST_NAME)
    with dialog(t("users.reset_of", name=name)) as asked:
        element("p", "", t("users.reset_text", name=name))
        if username == view.session.username:
            notice(t("users.reset_own"), "warn")
        password = text_field(
            t("users.password"),
            secret.password(),
            hint=t("users.password_hint"),
            most=MOST_PASSWORD,
            check=lambda text: "" if len(text) >= LEAST_PASSWORD else t("users.short_password"),
        )
        button(t("users.make_another"), lambda: password.set_value(secret.password()), kind="quiet", symbol="casino")
        trouble = element("div", "form-trouble")

        async def save() -> None:
            if not sound([password]):
                return
            try:
                await view.api.patch(path("/api/v2/users", username), {"password": password.value})
            except ApiError as error:
                trouble.clear()
                with trouble:
                    notice(place_error(t, error)[1], "bad")
                return
            asked.submit(password.value)

        _buttons(view, asked, t("users.reset"), save)
    made = await asked
    asked.delete()
    if made:
        await hand_over(view, t("users.was_reset", name=name), username, made)
        await done()


async def hand_over(view: View, title: str, username: str, password: str) -> None:
    """Show a password this once."""
    t = view.t
    with dialog(title) as shown:
        with element("dl", "notice handover"):
            element("dt", "", t("users.username"))
            element("dd", "mono", username)
            element("dt", "", t("users.password"))
            element("dd", "mono", password)
        notice(t("users.handover"), "warn")
        with element("div", "actions dialog-foot"):
            copy_button(view, lambda: password, t("users.copy_password"))
            button(t("users.done"), lambda: shown.submit(True), kind="main")  # noqa: FBT003  the answer itself
    await shown
    shown.delete()


def _name(view: View, text: str) -> str:
    plain = text.strip()
    if not plain:
        return view.t("users.needs_name")
    return view.t("users.bad_name") if ":" in plain or "/" in plain else ""


def _buttons(view: View, asked: ui.dialog, action: str, save: Callable[[], Awaitable[None]]) -> None:
    with element("div", "actions dialog-foot"):
        button(view.t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
        button(action, save, kind="main")
