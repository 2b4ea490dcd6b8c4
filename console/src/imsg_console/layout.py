"""The layout of every page: header, navigation, banners, and the errors that a page does not catch."""

import json
import logging
from collections.abc import Callable, Sequence

from nicegui import ui
from nicegui.client import Client

from imsg_console.bug_log import log_bug
from imsg_console.client import ApiError, SessionOver, make_url
from imsg_console.nicegui_internals import arrange
from imsg_console.paths import LOGOUT, PREFER, STATIC, login_url
from imsg_console.texts import Texts
from imsg_console.view import Group, Page, View
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, element, heading, icon, link_to, style_sheet
from imsg_console.widgets.notices import error_notice, toast
from imsg_console.widgets.work import tasks_button

DRAFTS = "imsg-draft:"
"""The beginning of the keys of drafts in the browser's storage; a username follows."""

FORGET_DRAFTS = """() => {
  for (const key of Object.keys(localStorage)) if (key.startsWith('imsg-draft:')) localStorage.removeItem(key);
}"""
"""Run at log-out: the next person at this computer finds no draft."""

CLOSE_MS = 1_000
"""How long a page whose session is over stays: a browser that is loading another page has loaded it by then."""


class Tab:
    """An open page of a session."""

    def __init__(self, client: Client, page: str) -> None:
        self._client = client
        self._page = page

    def discard(self) -> None:
        """Remove the page from the server; a browser that still shows it loads it again."""
        if not self._client.is_deleted:
            self._client.delete()

    def close(self, why: str) -> None:
        """Redirect to the log-in page, which shows the reason and leads back here."""
        replace = f"window.location.replace({json.dumps(login_url(self._page, '', why))})"
        self._client.run_javascript(f"setTimeout(() => {replace}, {CLOSE_MS})")


def render_layout(view: View, page: Page, pages: Sequence[Page]) -> Callable[[], object]:
    """Draw the layout around a page. Return a function that starts its timers, to be called once the page is drawn."""
    client = ui.context.client
    link_style_sheets(client)
    ui.page_title(f"{view.t(f'layout.{page.name}')} · iMSG")
    content = arrange(client)
    drawer = _draw_navigation(view, page, pages)
    start_timers = _draw_header(view, drawer.toggle)
    if page.name == "overview" and view.session.warned and view.session.is_admin:
        _draw_banner(view)
    ui.skip_link(view.t("layout.skip"), target=content)  # last: NiceGUI moves it to the beginning of the page
    client.on_exception(lambda error: show_error(view, error))
    return start_timers


def link_style_sheets(client: Client) -> None:
    """Link the style sheets of every page."""
    with client:
        for sheet in ("theme", "page", "quasar"):
            style_sheet(sheet)


def show_error(view: View, error: Exception) -> None:
    """Show an error of an event: a refusal's detail, the log-in page for an ended session, or a bug's number."""
    if isinstance(error, SessionOver):
        Tab(ui.context.client, view.path).close("ended")
    elif isinstance(error, ApiError):
        toast(describe_error(view.t, error), good=False)
    else:
        toast(view.t("layout.bug", trace=log_bug(error)), good=False)


def show_failure(view: View, error: Exception) -> None:
    """Draw an error in place of the page."""
    t = view.t
    with element("div"):
        if isinstance(error, ApiError):
            error_notice(t("layout.failed_title"), describe_error(t, error), t("layout.retry"), ui.navigate.reload)
        else:
            trace = log_bug(error)
            error_notice(t("layout.bug_title"), t("layout.bug", trace=trace), t("layout.retry"), ui.navigate.reload)


def describe_error(t: Texts, error: ApiError) -> str:
    """Return an error as a sentence: what happened, and what to do."""
    return error.detail or t("layout.unreachable")


class ExpectedErrors(logging.Filter):
    """Keeps refusals and ended sessions out of NiceGUI's log: pages show them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged."""
        return not (record.exc_info and isinstance(record.exc_info[1], ApiError | SessionOver))


def _draw_navigation(view: View, page: Page, pages: Sequence[Page]) -> ui.left_drawer:
    here = page.under or page.path
    with (
        ui.left_drawer(value=False).props("show-if-above width=232 breakpoint=1023").classes("side") as drawer,
        attrs(element("nav", "side-nav"), aria_label=view.t("layout.navigation")),
    ):
        for group in Group:
            shown = [page for page in pages if page.group is group and page.icon and is_visible(page, view)]
            if not shown or (group is Group.ADMIN and not view.session.sees_all):
                continue
            element("p", "side-group", view.t(f"layout.group_{group.value}"))
            with element("ul", "side-list"):
                for item_page in shown:
                    with element("li"):
                        item = attrs(element("a", "side-by-side side-item"), href=item_page.path)
                        if item_page.path == here:
                            attrs(item, aria_current="page")
                        with item:
                            icon(item_page.icon)
                            element("span", "", view.t(f"layout.{item_page.name}"))
    return drawer


def is_visible(page: Page, view: View) -> bool:
    """Return whether a person may see a page here."""
    is_allowed = view.session.role in page.roles and (page.group is Group.USER or view.session.sees_all)
    return is_allowed and (view.has_sandbox or not page.needs_sandbox)


def _draw_header(view: View, toggle: Callable[[], object]) -> Callable[[], object]:
    t = view.t
    with ui.header(fixed=True, bordered=False, wrap=False).classes("top"):
        menu = ui.button(icon="menu", on_click=toggle).props("flat round dense").classes("top-menu")
        attrs(menu, aria_label=t("layout.menu"))
        with attrs(element("a", "side-by-side top-brand"), href="/", aria_label="iMSG"):
            attrs(element("img"), src=f"{STATIC}icon.svg", alt="", width="28", height="28")
            element("span", "", "iMSG")
        element("div")
        start_timers = tasks_button(view)
        _draw_language(view)
        _draw_account(view)
    return start_timers


def _draw_language(view: View) -> None:
    other = "en" if view.preferences.language == "zh" else "zh"
    target = _prefer(view, language=other)
    switch = link_to(view.t("layout.language"), target).classes("top-language")
    attrs(switch, lang={"en": "en", "zh": "zh-CN"}[other], aria_label=view.t("layout.language_label"))


def _draw_account(view: View) -> None:
    t = view.t
    button = ui.button(icon="account_circle").props("flat no-caps").classes("top-account")
    attrs(button, aria_label=f"{t('layout.account')}: {view.session.username}", aria_haspopup="dialog")
    with button:
        element("span", "", view.session.username)
        menu = ui.menu().props('anchor="bottom end" self="top end"').classes("menu")
        with attrs(menu, role="dialog", aria_label=t("layout.account")):
            with ui.column().classes("menu-who"):
                element("strong", "", view.session.username)
                element("span", "muted", t(f"words.role_{view.session.role}"))
            ui.separator()
            element("div", "menu-title", t("layout.theme"))
            for theme, symbol in (("auto", "brightness_auto"), ("light", "light_mode"), ("dark", "dark_mode")):
                _draw_item(
                    symbol, t(f"layout.theme_{theme}"), _prefer(view, theme=theme), view.preferences.theme == theme
                )
            ui.separator()
            _draw_item("key", t("layout.password"), "/password")
            _draw_item("phonelink_lock", t("layout.totp"), "/totp")
            _draw_log_out(view, "log_out", "logout", LOGOUT)
            _draw_log_out(view, "log_out_everywhere", "devices", f"{LOGOUT}?everywhere=1", asks=True)


def _draw_item(symbol: str, text: str, target: str, is_chosen: bool = False) -> None:  # noqa: FBT001, FBT002
    with ui.item(on_click=lambda: ui.navigate.to(target)).props('clickable role="link"') as item:
        icon(symbol)
        element("span", "", text)
        if is_chosen:
            icon("check")
            attrs(item, aria_current="true")


def _draw_log_out(view: View, name: str, symbol: str, action: str, *, asks: bool = False) -> None:
    """Draw a log-out: a form, so that it is a POST of our own page; perhaps with a confirmation."""
    t = view.t
    form = attrs(element("form"), method="post", action=action)

    async def leave() -> None:
        if not asks or await confirm(view, t(f"layout.{name}_ask"), t(f"layout.{name}_body"), t(f"layout.{name}")):
            ui.run_javascript(f"({FORGET_DRAFTS})()")
            form.run_method("submit")

    with form, ui.item(on_click=leave).props('clickable v-close-popup role="button"'):
        icon(symbol)
        element("span", "", t(f"layout.{name}"))


def _draw_banner(view: View) -> None:
    """Warn that the documented password works here, with a link that leads to changing it."""
    with attrs(element("aside", "banner"), aria_label=view.t("layout.documented_password_step")):
        icon("warning")
        element("span", "", view.t("layout.documented_password"))
        link_to(view.t("layout.documented_password_step"), "/password")


def _prefer(view: View, **chosen: str) -> str:
    return make_url(PREFER, **chosen, next=make_url(view.path, **view.query))


def draw_missing(view: View) -> None:
    """Draw the page of an address that does not exist."""
    _draw_alone(view, "missing")


def draw_forbidden(view: View) -> None:
    """Draw what a user sees of an administrator's page."""
    _draw_alone(view, "no_right")


def _draw_alone(view: View, name: str) -> None:
    with element("div", "empty"):
        heading(1, view.t(f"layout.{name}_title"))
        element("p", "muted", view.t(f"layout.{name}"))
        link_to(view.t("layout.home"), "/").classes("button button-main")
