"""The forms of a user: new, changed, with a new password, and limits for several at once."""

from collections.abc import Awaitable, Callable
from typing import Any

from imsg_channels import CONTACTS
from imsg_console.client import path
from imsg_console.features.users.records import (
    CATEGORIES,
    LIMITS,
    MAX_LIMIT,
    MAX_NAME,
    MAX_PASSWORD,
    MIN_PASSWORD,
    NEW,
    User,
    find_changes,
    make_password,
    read_countries,
    read_senders,
    write_senders,
)
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.dialogs import dialog, foot, remove
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.facts import fact
from imsg_console.widgets.fields import Check
from imsg_console.widgets.forms import Field, FieldMaker, Form, Part, ask_form
from imsg_console.widgets.notices import notice, toast
from imsg_contract.roles import ROLES

REQUIRED = ("per_hour", "per_day")
"""Limits that a user with one keeps."""

Refresh = Callable[[], Awaitable[object]]
"""Shows the list again after a change."""


async def create(view: View, refresh: Refresh) -> None:
    """Show the form of a new user, create it, and show its password."""
    t = view.t

    async def save(form: Form) -> tuple[str, str]:
        values = {name: value for name, value in _read(form).items() if value not in ("", None)}
        await view.api.post("/api/v2/register", values)
        return values["username"], values["password"]

    def check_name(text: str) -> str:
        return t("users.bad_name") if ":" in text or "/" in text else ""

    name = FieldMaker(t, "users.")("username", max_length=MAX_NAME, check=check_name)
    parts: list[Field | Part] = [name, _make_password_field(view), *_make_services(view, NEW)]
    created = await ask_form(view, t("users.new_title"), parts, t("users.create"), save, wide=True)
    if created:
        await refresh()
        await show_password(view, t("users.created", name=line(created[0], MAX_NAME)), *created)


async def change(view: View, user: User, refresh: Refresh) -> None:
    """Show a user's form, and save what was changed."""
    t, name = view.t, line(user["username"], MAX_NAME)

    async def save(form: Form) -> dict[str, Any]:
        changes = find_changes(user, _read(form))
        if changes:
            await view.api.patch(path("/api/v2/users", user["username"]), changes)
        return changes

    parts = _make_services(view, user)
    changes = await ask_form(view, t("users.edit_of", name=name), parts, t("users.save"), save, wide=True)
    if changes is not None:
        toast(t("users.saved", name=name) if changes else t("users.unchanged"))
        await refresh()


async def reset_password(view: View, user: User, refresh: Refresh) -> None:
    """Set a new password of a user, and show it."""
    t, username = view.t, user["username"]
    name = line(username, MAX_NAME)

    async def save(form: Form) -> str:
        password = str(form.read()["password"])
        await view.api.patch(path("/api/v2/users", username), {"password": password})
        return password

    def prepare(form: Form) -> None:
        field = form.input("password")
        button(t("users.make_another"), lambda: field.set_value(make_password()), kind="quiet", symbol="casino")
        if username == view.session.username:
            notice(t("users.reset_own"), "warn")

    password = await ask_form(
        view,
        t("users.reset_of", name=name),
        [_make_password_field(view)],
        t("users.reset"),
        save,
        text=t("users.reset_text", name=name),
        prepare=prepare,
    )
    if password:
        await show_password(view, t("users.was_reset", name=name), username, password)
        await refresh()


async def ask_limits(view: View, count: int) -> dict[str, int]:
    """Show a form of limits for several users; return them, empty where the dialog was closed."""
    t = view.t

    async def save(form: Form) -> dict[str, int] | None:
        limits = {name: value for name, value in form.read().items() if value is not None}
        if not limits:
            form.show_sentence(t("users.set_limits_none"))
        return limits or None

    check = _make_limit_check(view, may_be_empty=True)
    fields = [Field(name, t(f"users.{name}"), None, "whole", check=check) for name in LIMITS]
    title, text = t("users.set_limits_title", n=count), t("users.set_limits_hint")
    return await ask_form(view, title, fields, t("users.set_limits"), save, text=text) or {}


async def show_password(view: View, title: str, username: str, password: str) -> None:
    """Show a password, this once."""
    t = view.t
    with dialog(title) as shown:
        with element("dl"):
            for name, value in ((t("users.username"), username), (t("users.password"), password)):
                with fact(name):
                    element("span", "mono", value)
        notice(t("users.handover"), "warn")
        with foot():
            copy_button(view, password, t("users.copy_password"))
            button(t("users.done"), lambda: shown.submit("done"), kind="main")
    await shown
    remove(shown)


def _read(form: Form) -> dict[str, Any]:
    values = form.read()
    return {
        **values,
        "senders": read_senders(values["senders"]),
        "sms_countries": read_countries(values["sms_countries"]),
        "department": str(values["department"] or "").strip() or None,
    }


def _make_password_field(view: View) -> Field:
    t = view.t

    def check(text: str) -> str:
        return "" if len(text) >= MIN_PASSWORD else t("users.short_password")

    return FieldMaker(t, "users.", {"password": make_password()})("password", max_length=MAX_PASSWORD, check=check)


def _make_services(view: View, user: User) -> list[Part]:
    t = view.t
    shown = {**user, "senders": write_senders(user["senders"]), "sms_countries": ", ".join(user["sms_countries"])}
    make = FieldMaker(t, "users.", shown)
    contacts = [
        make("email", max_length=254, check=_make_email_check(view)),
        make("phone", max_length=32),
        make("wechat", max_length=32),
    ]
    limits = [
        make(name, "whole", check=_make_limit_check(view, may_be_empty=name not in REQUIRED or user[name] is None))
        for name in LIMITS
    ]
    roles = {role: t(f"words.role_{role}") for role in reversed(ROLES)}
    categories = {category: t(f"users.category_{category}") for category in CATEGORIES}
    rights = [
        make("role", "choice", options=roles),
        make("available", "switch"),
        make("may_send_codes", "switch"),
        make("senders", max_length=1000),
        make("sms_countries", max_length=1000),
        make("default_category", "choice", options=categories),
        make("department", max_length=64),
    ]
    assert {contact.name for contact in contacts} == set(CONTACTS)  # noqa: S101  a new contact wants a field here
    return [
        Part(t("users.contacts"), contacts, t("users.contacts_hint")),
        Part(t("users.limits"), limits, t("users.limits_hint")),
        Part(t("users.rights"), rights),
    ]


def _make_email_check(view: View) -> Check:
    def check(text: str) -> str:
        address = text.strip()
        name, at, host = address.rpartition("@")
        is_right = not address or (at and name and "." in host and " " not in address)
        return "" if is_right else view.t("users.bad_email")

    return check


def _make_limit_check(view: View, *, may_be_empty: bool = False) -> Check:
    def check(text: str) -> str:
        limit = text.strip()
        is_limit = limit.isascii() and limit.isdigit() and int(limit) <= MAX_LIMIT
        return "" if is_limit or (may_be_empty and not limit) else view.t("users.not_a_number")

    return check
