"""A place to drop a file on, or to choose one from."""

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.events import UploadEventArguments

from imsg_console.widgets.elements import attrs, classed, icon


def drop_zone(  # what a zone says, takes and does
    label: str,
    on_file: Callable[[str, bytes], Awaitable[object] | None],
    *,
    accept: str,
    most_bytes: int,
    on_refused: Callable[[], object],
) -> ui.upload:
    """Draw a place for one file after another. `accept` as HTML has it (`.csv,text/csv`); too large: `on_refused`."""

    async def taken(event: UploadEventArguments) -> None:
        content = await event.file.read()
        zone.reset()
        done = on_file(event.file.name, content)
        if done is not None:
            await done

    zone = ui.upload(on_upload=taken, on_rejected=lambda _: on_refused(), auto_upload=True, max_file_size=most_bytes)
    zone.props("flat").classes("drop")
    attrs(zone, accept=accept)
    with zone.add_slot("header"), classed("div", "drop-place"):
        with attrs(classed("button", "drop-inside"), type="button") as opener:
            icon("upload_file")
            classed("span", "", label)
        with attrs(classed("span"), aria_hidden="true"):
            classed("q-uploader-add-trigger")  # the browser's own field, invisible over the button
    with zone.add_slot("list"):
        classed("span", "unseen")
    opener.on("click", js_handler=f"() => runMethod({zone.id:d}, 'pickFiles', [])")
    return zone
