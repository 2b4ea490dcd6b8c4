"""Elements of the page: handlers outlive the place of their button, and nothing is sent that has not changed."""

import asyncio
import gc

from nicegui import ui
from nicegui.client import Client
from nicegui.page import page

from imsg_console.widgets.elements import act_in_page, attrs, element


async def test_a_handler_goes_on_in_the_page_where_the_place_of_its_button_is_cleared() -> None:
    client, cleared, acted = Client(page("/")), asyncio.Event(), list[Client]()

    async def act() -> None:
        await cleared.wait()
        acted.append(ui.context.client)

    with client, element("div") as place, place:
        going_on = act_in_page(act)()
    assert asyncio.iscoroutine(going_on)
    task = asyncio.create_task(going_on)
    place.delete()
    del place
    gc.collect()
    cleared.set()
    await task

    assert acted == [client]


async def test_an_attribute_that_has_not_changed_is_not_sent_again() -> None:
    with Client(page("/")) as client:
        made = attrs(element("div"), title="您好")
        client.outbox.updates.clear()

        attrs(made, title="您好")
        assert not client.outbox.updates

        attrs(made, title="再见")
        assert made.id in client.outbox.updates
