"""Dialogs: one that goes with its page ends as one that is left."""

import asyncio

from nicegui.client import Client
from nicegui.page import page

from imsg_console.widgets.dialogs import dialog, remove


async def test_a_dialog_that_goes_with_its_page_ends_without_an_error() -> None:
    client = Client(page("/"))
    answers = list[object]()

    async def ask() -> None:
        with client:
            with dialog("Import") as made:
                pass
            answers.append(await made)
            remove(made)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    client.delete()
    await asking

    assert answers == [None]
