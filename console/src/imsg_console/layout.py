"""What stands around every page: header, navigation, banners; and what becomes of an error nobody caught."""

import json
import logging
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from nicegui import ui
from nicegui.client import Client

from imsg_console.bug_log import log_bug
from imsg_console.client import ApiError, SessionOver
from imsg_console.nicegui_internals import arrange
from imsg_console.paths import LOGOUT, PREFER, STATIC, login_url
from imsg_console.texts import Texts
from imsg_console.view import Group, Page, View
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, element, heading, icon, link_to, style_sheet
from imsg_console.widgets.notices import error_notice, toast
from imsg_console.widgets.work import tasks_button

DRAFTS = "imsg-draft:"
"""How the browser's keys of drafts begin; a username follows."""

FORGET_DRAFTS = """() => {
  for (const key of Object.keys(localStorage)) if (key.startsWith('imsg-draft:')) localStorage.removeItem(key);
}"""
"""Done at log-out: whoever sits down next finds nothing."""

LEAVE_MS = 1_000
"""After how long a page whose session is over leaves: one that is on its way elsewhere has gone there by then."""


class Tab:
    """An open page of a session, as the session knows it."""

    def __init__(self, client: Client, page: str) -> None:
        self._client = client
        self._page = page

    def close(self) -> None:
        """Be no page any more; the browser, if there is one, loads it anew."""
        if not self._client.is_deleted:
            self._client.delete()

    def leave(self, why: str) -> None:
        """Go to the log-in page, saying why, and come back here after it."""
        target = login_url(self._page, "", why)
        going = f"window.location.replace({json.dumps(target)})"
        self._client.run_javascript(f"setTimeout(() => {going}, {LEAVE_MS})")


def stand(view: View, page: Page, pages: Sequence[Page]) -> Callable[[], object]:
    """Draw the frame around the page that is being built; return what brings it to life, for once that is built."""
    client = ui.context.client
    head(client)
    ui.page_title(f"{view.t(f'layout.{page.name}')} · iMSG")
    content = arrange(client)
    drawer = _navigation(view, page, pages)
    live = _header(view, drawer.toggle)
    ui.skip_link(view.t("layout.skip"), target=content).classes("skip")  # last: it moves before what is there
    client.on_exception(lambda error: tell(view, error))
    return live


def head(client: Client) -> None:
    """Link the style sheets: files of our own, constants every one."""
    with client:
        for sheet in ("theme", "page", "quasar"):
            style_sheet(sheet)


def tell(view: View, error: Exception) -> None:
    """Say what happened: a refusal in the API's words, an ended session by leading to the log-in, a bug by number."""
    if isinstance(error, SessionOver):
        Tab(ui.context.client, view.path).leave("ended")
    elif isinstance(error, ApiError):
        toast(sentence(view.t, error), good=False)
    else:
        toast(view.t("layout.bug", trace=log_bug(error)), good=False)


def show_failure(view: View, error: Exception, again: Callable[[], object] | None = None) -> None:
    """Stand in the place of a page that could not be drawn."""
    t = view.t
    with element("div", "page-alone"):
        if isinstance(error, ApiError):
            error_notice(t("layout.failed_title"), sentence(t, error), t("layout.retry"), again or ui.navigate.reload)
        else:
            trace = log_bug(error)
            error_notice(t("layout.bug_title"), t("layout.bug", trace=trace), t("layout.retry"), ui.navigate.reload)


def sentence(t: Texts, error: ApiError) -> str:
    """Return what an error says to people: what happened and what to do."""
    return error.detail or t("layout.unreachable")


class Expected(logging.Filter):
    """Keeps out of NiceGUI's log what people are told anyway: refusals, and sessions that have ended."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is worth a line."""
        return not (record.exc_info and isinstance(record.exc_info[1], ApiError | SessionOver))


def _navigation(view: View, page: Page, pages: Sequence[Page]) -> ui.left_drawer:
    here = page.under or page.path
    with (
        ui.left_drawer(value=False).props("show-if-above width=232 breakpoint=1023").classes("side") as drawer,
        attrs(element("nav", "side-nav"), aria_label=view.t("layout.navigation")),
    ):
        for group in Group:
            shown = [one for one in pages if one.group is group and one.icon and is_for(one, view)]
            if not shown or (group is Group.ADMIN and not view.session.is_admin):
                continue
            element("p", "side-group", view.t(f"layout.group_{group.value}"))
            with element("ul", "side-list"):
                for one in shown:
                    with element("li", ""):
                        item = attrs(element("a", "side-by-side side-item"), href=one.path)
                        if one.path == here:
                            attrs(item, aria_current="page")
                        with item:
                            icon(one.icon)
                            element("span", "", view.t(f"layout.{one.name}"))
    return drawer


def is_for(page: Page, view: View) -> bool:
    """Tell whether a page is for this person, here."""
    return (page.group is Group.USER or view.session.is_admin) and (view.has_sandbox or not page.needs_sandbox)


def _header(view: View, toggle: Callable[[], object]) -> Callable[[], object]:
    t = view.t
    with ui.header(fixed=True, bordered=False, wrap=False).classes("top"):
        menu = ui.button(icon="menu", on_click=toggle).props("flat round dense").classes("top-menu")
        attrs(menu, aria_label=t("layout.menu"))
        with attrs(element("a", "side-by-side top-brand"), href="/", aria_label="iMSG"):
            attrs(element("img", "top-mark"), src=f"{STATIC}icon.svg", alt="", width="28", height="28")
            element("span", "", "iMSG")
        element("div", "top-space")
        live = tasks_button(view)
        _language(view)
        _account(view)
    if view.session.warned and view.session.is_admin:
        _banner(view)
    return live


def _language(view: View) -> None:
    other = "en" if view.preferences.language == "zh" else "zh"
    target = _prefer(view, language=other)
    switch = link_to(view.t("layout.language"), target).classes("top-language")
    attrs(switch, lang={"en": "en", "zh": "zh-CN"}[other], aria_label=view.t("layout.language_label"))


def _account(view: View) -> None:
    t = view.t
    button = ui.button(icon="account_circle").props("flat no-caps").classes("top-account")
    attrs(button, aria_label=f"{t('layout.account')}: {view.session.username}", aria_haspopup="dialog")
    with button:
        element("span", "top-name", view.session.username)
        menu = ui.menu().props('anchor="bottom end" self="top end"').classes("menu")
        with attrs(menu, role="dialog", aria_label=t("layout.account")):
            with element("div", "stack menu-who"):
                element("strong", "", view.session.username)
                element("span", "muted", t(f"layout.role_{'admin' if view.session.is_admin else 'user'}"))
            ui.separator()
            element("div", "menu-title", t("layout.theme"))
            for theme, symbol in (("auto", "brightness_auto"), ("light", "light_mode"), ("dark", "dark_mode")):
                _item(symbol, t(f"layout.theme_{theme}"), _prefer(view, theme=theme), view.preferences.theme == theme)
            ui.separator()
            _item("key", t("layout.password"), "/password")
            _draw_way_out("logout", t("layout.log_out"))
            _draw_way_out_everywhere(view)


def _item(symbol: str, text: str, target: str, is_chosen: bool = False) -> None:  # noqa: FBT001, FBT002
    with ui.item(on_click=lambda: ui.navigate.to(target)).props('clickable role="link"') as item:
        icon(symbol)
        element("span", "menu-text", text)
        if is_chosen:
            icon("check")
            attrs(item, aria_current="true")


def _draw_way_out_everywhere(view: View) -> None:
    """Draw the way out of every browser and program, which is asked about first."""
    t = view.t
    form = attrs(element("form", "menu-form"), method="post", action=f"{LOGOUT}?everywhere=1")

    async def ask() -> None:
        title, text = t("layout.log_out_everywhere_ask"), t("layout.log_out_everywhere_body")
        if await confirm(view, title, text, t("layout.log_out_everywhere")):
            ui.run_javascript(f"({FORGET_DRAFTS})()")
            form.run_method("submit")

    with form, ui.item(on_click=ask).props('clickable v-close-popup role="button"'):
        icon("devices")
        element("span", "menu-text", t("layout.log_out_everywhere"))


def _draw_way_out(symbol: str, text: str) -> None:
    """Draw the way out: a form, so that leaving is a POST of our own page."""
    form = attrs(element("form", "menu-form"), method="post", action=LOGOUT)
    form.on("submit", js_handler=FORGET_DRAFTS)
    with (
        form,
        attrs(element("button", "menu-item"), type="submit"),
    ):
        icon(symbol)
        element("span", "menu-text", text)


def _banner(view: View) -> None:
    """Say that the documented password works here, and lead to changing it."""
    with attrs(element("aside", "banner"), aria_label=view.t("layout.documented_password_step")):
        icon("warning")
        element("span", "", view.t("layout.documented_password"))
        link_to(view.t("layout.documented_password_step"), "/password").classes("banner-step")


def _prefer(view: View, **chosen: str) -> str:
    going = f"{view.path}?{urlencode(view.query)}" if view.query else view.path
    return f"{PREFER}?{urlencode({**chosen, 'next': going})}"


def missing(view: View) -> None:
    """Draw the page of an address that leads nowhere."""
    _alone(view, "missing")


def forbidden(view: View) -> None:
    """Draw what a user sees of an administrator's page."""
    _alone(view, "no_right")


def _alone(view: View, name: str) -> None:
    with element("div", "page-alone empty"):
        heading(1, view.t(f"layout.{name}_title"))
        element("p", "muted", view.t(f"layout.{name}"))
        link_to(view.t("layout.home"), "/").classes("button button-main")
