"""Several users at once: limits, availability, removal; each its own call, in work that can be left."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from imsg_console.client import ApiError, path
from imsg_console.features.users.form import Done, limit_check
from imsg_console.features.users.records import MOST_NAME, User, place_error
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.dialogs import confirm, dialog
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.fields import sound, whole, whole_field
from imsg_console.widgets.notices import notice
from imsg_console.widgets.work import Work, start

AT_ONCE = 4
"""Calls in flight: a list is quick, and the API stays free for others."""


async def each(view: View, users: Sequence[User], work: Work, do: Callable[[str], Awaitable[object]]) -> None:
    """Do it for every user; what is refused is noted, and the rest goes on. Raises ApiError where nobody answers."""
    waiting = iter(users)

    async def worker() -> None:
        for user in waiting:
            try:
                await do(user["username"])
            except ApiError as error:
                if error.reason == "unreachable":
                    raise
                work.failed += 1
                name = line(user["username"], MOST_NAME)
                work.notes.append(view.t("users.work_note", name=name, why=place_error(view.t, error)[1]))
            work.done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


def change(view: View, users: Sequence[User], fields: Mapping[str, Any], done: Done) -> Work:
    """Change the same of each."""

    async def change_all(work: Work) -> None:
        await _together(view, users, work, lambda name: view.api.patch(path("/api/v2/users", name), fields))
        await done()

    return start(view, view.t("users.work_change", n=len(users)), change_all, len(users))


def remove(view: View, users: Sequence[User], done: Done) -> Work:
    """Remove each."""

    async def remove_all(work: Work) -> None:
        await _together(view, users, work, lambda name: view.api.delete(path("/api/v2/users", name)))
        await done()

    return start(view, view.t("users.work_delete", n=len(users)), remove_all, len(users))


async def _together(view: View, users: Sequence[User], work: Work, do: Callable[[str], Awaitable[object]]) -> None:
    try:
        await each(view, users, work, do)
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


async def ask_limits(view: View, number: int) -> dict[str, Any]:
    """Ask which limits to set; nothing where nobody said."""
    t = view.t
    with dialog(t("users.set_limits_title", n=number)) as asked:
        element("p", "muted", t("users.set_limits_hint"))
        check = limit_check(view, may_be_empty=True)
        fields = {
            name: whole_field(t(f"users.{name}"), None, check=check)
            for name in ("per_hour", "per_day", "recipients_per_day")
        }
        trouble = element("div", "form-trouble")

        def save() -> None:
            if not sound(list(fields.values())):
                return
            chosen = {name: value for name, field in fields.items() if (value := whole(field)) is not None}
            if chosen:
                asked.submit(chosen)
                return
            trouble.clear()
            with trouble:
                notice(t("users.set_limits_none"), "bad")

        with element("div", "actions dialog-foot"):
            button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
            button(t("users.set_limits"), save, kind="main")
    chosen: dict[str, Any] | None = await asked
    asked.delete()
    return chosen or {}


async def ask_agreement(view: View, what: str, number: int) -> bool:
    """Ask before many can no longer send, or are gone."""
    t = view.t
    if what == "delete":
        return await confirm(view, t("users.delete_several", n=number), t("users.delete_text"), t("users.delete"))
    return await confirm(view, t("users.stop_title", n=number), t("users.stop_text"), t("users.stop"))
