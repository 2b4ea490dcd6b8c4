"""A place to drop a file on, or to choose one from; and why a browser did not take one."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui
from nicegui.events import GenericEventArguments, UploadEventArguments

from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, element, icon
from imsg_console.widgets.notices import toast

REFUSED = "(entries) => emit(entries.map((one) => ({why: one.failedPropValidation, name: one.file.name})))"
"""What Quasar says of the files that it did not take."""

WHY: Mapping[str, str] = {
    "accept": "files.wrong_kind",
    "max-file-size": "files.over",
    "max-total-size": "files.over",
}


def tell_refused(zone: ui.upload, t: Texts, most_bytes: int) -> None:
    """Say of each file that the browser did not take why it did not."""

    def tell(event: GenericEventArguments) -> None:
        entries = event.args if isinstance(event.args, list) else []
        for entry in entries[:3]:
            said = entry if isinstance(entry, dict) else {}
            why = WHY.get(str(said.get("why")), "files.refused")
            toast(
                t(why, name=line(str(said.get("name", "")), 60), most=f"{most_bytes // 1024 // 1024} MiB"), good=False
            )

    zone.on("rejected", tell, js_handler=REFUSED)


def drop_zone(  # what a zone says, takes and does
    t: Texts,
    label: str,
    on_file: Callable[[str, bytes], Awaitable[object] | None],
    *,
    accept: str,
    most_bytes: int,
) -> ui.upload:
    """Draw a place for one file after another. `accept` as HTML has it (`.csv,text/csv`)."""

    async def take(event: UploadEventArguments) -> None:
        content = await event.file.read()
        zone.reset()
        done = on_file(event.file.name, content)
        if done is not None:
            await done

    zone = ui.upload(on_upload=take, auto_upload=True, max_file_size=most_bytes)
    tell_refused(zone, t, most_bytes)
    zone.props("flat").classes("drop")
    attrs(zone, accept=accept)
    with zone.add_slot("header"), element("div", "drop-place"):
        with attrs(element("button", "stack tight drop-inside"), type="button") as opener:
            icon("upload_file")
            element("span", "", label)
        with attrs(element("span"), aria_hidden="true"):
            ui.element("q-uploader-add-trigger")  # the browser's own field, invisible over the button
    with zone.add_slot("list"):
        element("span", "unseen")
    opener.on("click", js_handler=f"() => runMethod({zone.id:d}, 'pickFiles', [])")
    return zone
