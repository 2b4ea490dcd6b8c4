"""Works in the header: NiceGUI sends a page at its first timer, so they have none until the page is drawn."""

from nicegui import ui
from nicegui.client import Client
from nicegui.page import page

from imsg_console.client import Api, Gateway, Visitor
from imsg_console.files import Files
from imsg_console.html_bodies import Bodies
from imsg_console.preferences import Preferences
from imsg_console.readers import Readers
from imsg_console.sandbox_client import Sandbox
from imsg_console.session import Session
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets.work import Work, tasks_button
from imsg_web import service_client


async def test_a_work_has_no_timer_before_the_page_is_drawn() -> None:
    async with service_client.connect("http://127.0.0.1:9", (), {}) as peer:
        view = _make_view(Gateway(peer))
        view.session.tasks.append(Work("导入 300 人", 300))

        with Client(page("/")) as client:
            start_timers = tasks_button(view)
            before = _count_timers(client)
            start_timers()

        assert (before, _count_timers(client)) == (0, 2)


def _count_timers(client: Client) -> int:
    return sum(isinstance(element, ui.timer) for element in client.elements.values())


def _make_view(gateway: Gateway) -> View:
    session = Session("key", "admin", "admin", "token", Visitor({"headers": []}), ends_at=3_600.0, seen_at=0.0)
    return View(
        api=Api(gateway, session, "zh-CN"),
        t=Texts("zh"),
        session=session,
        preferences=Preferences(),
        path="/send",
        segments={},
        query={},
        sandbox=Sandbox(gateway, "token", "zh-CN"),
        timezone="Asia/Shanghai",
        times=TimeFormat("Asia/Shanghai", english=False),
        has_sandbox=False,
        bodies=Bodies(),
        files=Files(),
        readers=Readers(),
    )
