"""Long work that shows its progress. It belongs to the session, and continues when its page is left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from nicegui import background_tasks, ui

from imsg_console.bug_log import log_bug
from imsg_console.client import ApiError, SessionOver
from imsg_console.session import Session
from imsg_console.view import View
from imsg_console.widgets.bars import bar
from imsg_console.widgets.elements import attrs, button, element, link_to, live_text, redraw

T = TypeVar("T")

KEPT = 20
"""How many finished works a session remembers."""


class Work:
    """Something that takes a while. Its code counts `done` and `failed` up, and may set `link` to its result."""

    def __init__(self, title: str, total: int | None = None) -> None:
        self.title = title
        self.total = total
        """None where it is not known."""
        self.done = 0
        self.failed = 0
        self.notes: list[str] = []
        """What went wrong, a line each."""
        self.link = ""
        """The address of the result."""
        self.link_text = ""
        self.why = ""
        """The error that ended it, as a sentence; empty where there was none."""
        self._task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether it is going on."""
        return self._task is not None and not self._task.done()

    @property
    def was_stopped(self) -> bool:
        """Whether it was stopped by `stop`."""
        return self._task is not None and self._task.done() and self._task.cancelled()

    def stop(self) -> None:
        """Cancel it."""
        if self._task is not None:
            self._task.cancel()

    def begin(self, task: Awaitable[None]) -> None:
        """Begin; `start` is what pages call."""
        self._task = background_tasks.create(task, name="work")


def start(view: View, title: str, do: Callable[[Work], Awaitable[None]], total: int | None = None) -> Work:
    """Begin work that continues whichever page is open, until it ends, is stopped, or the session ends.

    `do` counts on the work. An ApiError that it raises ends the work, with the API's sentence.
    """
    work = Work(title, total)
    t = view.t

    async def run() -> None:
        try:
            await do(work)
        except ApiError as error:
            work.why = error.detail or t("layout.unreachable")
        except SessionOver:
            work.why = t("login.ended")
        except Exception as error:  # noqa: BLE001  the edge: the work is shown as broken
            work.why = t("layout.bug", trace=log_bug(error))

    _remember(view.session, work)
    work.begin(run())
    return work


def _remember(session: Session, work: Work) -> None:
    finished = [task for task in session.tasks if isinstance(task, Work) and not task.runs]
    for task in finished[: max(0, len(finished) - KEPT + 1)]:
        session.tasks.remove(task)
    session.tasks.append(work)


def works(session: Session) -> list[Work]:
    """Return the works of a session, newest first."""
    return [task for task in reversed(session.tasks) if isinstance(task, Work)]


async def run_each(
    work: Work, items: Iterable[T], do: Callable[[T, Work], Awaitable[object]], *, at_once: int = 4
) -> None:
    """Call `do` for each item, a few at a time, and count them on the work. Raises the first error of `do`."""
    waiting = iter(items)

    async def process_items() -> None:
        for item in waiting:
            await do(item, work)
            work.done += 1

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(process_items())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


def draw_work(view: View, work: Work) -> None:
    """Draw how far a work is, live, with a button that stops it."""
    t = view.t
    with element("div", "work") as card:
        with ui.row().classes("justify-between"):
            element("strong", "", work.title)
            state = attrs(live_text("muted"), aria_live="polite")
        progress = bar(work.title, 0.0)
        with ui.row().classes("justify-between"):
            failures = live_text("bad-text")
            link = link_to("", "").classes("button")
            stop = button(t("layout.work_stop"), work.stop, kind="quiet")

    def show() -> None:
        state.text = describe(view, work)
        progress.props["indeterminate"] = work.runs and not work.total
        progress.value = work.done / work.total if work.runs and work.total else 1.0
        failures.text = t("layout.work_failed", n=work.failed) if work.failed else ""
        stop.set_visibility(work.runs)
        link.set_visibility(bool(work.link) and not work.runs)
        link.text = work.link_text
        attrs(link, href=work.link)
        if not work.runs:
            timer.deactivate()

    with card:
        timer = ui.timer(0.4, show)
    show()


def describe(view: View, work: Work) -> str:
    """Describe the state of a work in a few words."""
    t = view.t
    if work.why:
        return t("layout.work_broken", why=work.why)
    if work.was_stopped:
        return t("layout.work_stopped")
    if work.total:
        counted = t("layout.work_progress", done=work.done, total=work.total)
    else:
        counted = t("layout.work_counted", done=work.done)
    return counted if work.runs else f"{t('layout.work_finished')} · {counted}"


def tasks_button(view: View) -> Callable[[], object]:
    """Draw the header's button that lists the works; it counts those that run.

    Return the function that starts its timers. Call it when the page is drawn: NiceGUI sends a page at its first timer,
    and whatever the page asks for when its browser connects would come too late.
    """
    t = view.t
    with ui.button(icon="pending_actions").props("flat round dense") as opener:
        count = live_text()
        with attrs(ui.menu().classes("menu"), role="dialog", aria_label=t("layout.work_done")):
            element("div", "menu-title", t("layout.work_done"))
            inside = ui.column().classes("menu-works")
    attrs(opener, aria_haspopup="dialog")
    shown: list[Work] = []

    def refresh() -> None:
        now = works(view.session)
        running = sum(work.runs for work in now)
        opener.set_visibility(bool(now))
        count.text = str(running) if running else ""
        attrs(opener, aria_label=t("layout.work_running", n=running) if running else t("layout.work_done"))
        if now != shown:
            shown[:] = now
            with redraw(inside):
                for work in now:
                    draw_work(view, work)

    def start_timers() -> None:
        refresh()  # each work that it draws has a timer
        with opener:
            ui.timer(1.0, refresh, immediate=False)

    return start_timers
