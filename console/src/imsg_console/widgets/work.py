"""Long work that shows how far it is and can be left: it belongs to the session, not to the page that began it."""

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import background_tasks, ui

from imsg_console.bug_log import log_bug
from imsg_console.client import ApiError, SessionOver
from imsg_console.session import Session
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, link_to, live_text

KEPT = 20
"""How many finished works a session remembers."""


class Work:
    """Something that takes a while. The doer counts `done` and `failed` up, and may set `link` to what came of it."""

    def __init__(self, title: str, total: int | None = None) -> None:
        self.title = title
        self.total = total
        """None where nobody knows beforehand."""
        self.done = 0
        self.failed = 0
        self.notes: list[str] = []
        """What went wrong, a line each, for people."""
        self.link = ""
        """Where to look, or what to download, once it is finished."""
        self.link_text = ""
        self.why = ""
        """Why it broke off, if it did."""
        self._task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether it is going on."""
        return self._task is not None and not self._task.done()

    @property
    def was_stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self._task is not None and self._task.done() and self._task.cancelled()

    def stop(self) -> None:
        """Stop it after what it is at."""
        if self._task is not None:
            self._task.cancel()

    def begin(self, doing: Awaitable[None]) -> None:
        """Begin; `start` is what pages call."""
        self._task = background_tasks.create(doing, name="work")


def start(view: View, title: str, doing: Callable[[Work], Awaitable[None]], total: int | None = None) -> Work:
    """Begin work that goes on whichever page is open, until it ends, is stopped, or the session ends.

    `doing` is given the work to count on. An ApiError that it raises breaks the work off, with the API's sentence.
    """
    work = Work(title, total)
    t = view.t

    async def do() -> None:
        try:
            await doing(work)
        except ApiError as error:
            work.why = error.detail or t("layout.unreachable")
        except SessionOver:
            work.why = t("login.ended")
        except Exception as error:  # noqa: BLE001  the edge: nobody else hears of it
            work.why = t("layout.bug", trace=log_bug(error))

    _remember(view.session, work)
    work.begin(do())
    return work


def _remember(session: Session, work: Work) -> None:
    finished = [one for one in session.tasks if isinstance(one, Work) and not one.runs]
    for one in finished[: max(0, len(finished) - KEPT + 1)]:
        session.tasks.remove(one)
    session.tasks.append(work)


def works(session: Session) -> list[Work]:
    """Return the works of a session, newest first."""
    return [one for one in reversed(session.tasks) if isinstance(one, Work)]


def progress(view: View, work: Work) -> None:
    """Draw how far a work is, live, with a way to stop it."""
    t = view.t
    with element("div", "work") as card:
        with element("div", "spread work-head"):
            element("strong", "", work.title)
            state = live_text("muted")
        with attrs(element("div", "bar"), role="progressbar", aria_label=work.title) as bar:
            fill = element("div", "bar-fill")
        with element("div", "spread work-foot"):
            trouble = live_text("bad-text")
            link = link_to("", "").classes("button")
            stop = button(t("layout.work_stop"), work.stop, kind="quiet")
    attrs(state, aria_live="polite")

    def show() -> None:
        state.text = describe(view, work)
        share = 100 if not work.runs else round(100 * work.done / work.total) if work.total else 0
        fill.style(f"width: {share:d}%")
        attrs(bar, aria_valuenow=share)
        bar.classes(
            toggle=None,
            add="bar-busy" if work.runs and not work.total else "",
            remove="bar-busy" if not work.runs else "",
        )
        trouble.text = t("layout.work_failed", n=work.failed) if work.failed else ""
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
    """Say in a few words how a work stands."""
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
    """Draw the header's list of works: there while there are any, counting those that run.

    Return what makes it look again and again, for once the page is drawn: NiceGUI delivers a page with the first timer.
    """
    t = view.t
    with ui.button(icon="pending_actions").props("flat round dense").classes("top-tasks") as opener:
        count = live_text("top-count")
        with attrs(ui.menu().classes("menu menu-wide"), role="dialog", aria_label=t("layout.work_done")):
            element("div", "menu-title", t("layout.work_done"))
            inside = element("div", "stack menu-works")
    attrs(opener, aria_haspopup="dialog")
    shown: list[Work] = []

    def look() -> None:
        now = works(view.session)
        running = sum(work.runs for work in now)
        opener.set_visibility(bool(now))
        count.text = str(running) if running else ""
        attrs(opener, aria_label=t("layout.work_running", n=running) if running else t("layout.work_done"))
        if now != shown:
            shown[:] = now
            inside.clear()
            with inside:
                for work in now:
                    progress(view, work)

    def live() -> None:
        with opener:
            ui.timer(1.0, look, immediate=False)

    look()
    return live
