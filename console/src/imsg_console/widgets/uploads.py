"""Uploads: a place to drop files on, and a button that takes one; files that a browser refuses are named."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui
from nicegui.events import GenericEventArguments, UploadEventArguments

from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, button, element, icon
from imsg_console.widgets.notices import toast

REFUSED = "(entries) => emit(entries.map((one) => ({why: one.failedPropValidation, name: one.file.name})))"
"""Passes on Quasar's reasons for the files that it refuses."""

WHY: Mapping[str, str] = {
    "accept": "files.wrong_kind",
    "max-file-size": "files.over",
    "max-total-size": "files.over",
}

KEEP_PAGE = """
for (const name of ['dragover', 'drop']) window.addEventListener(name, (event) => event.preventDefault());
"""
"""Keeps a file that is dropped beside the place for it from replacing the page."""

OnFile = Callable[[str, bytes], Awaitable[object] | None]
"""(name, content) of a file; a coroutine is awaited."""


def drop_zone(
    t: Texts, label: str, on_file: OnFile, *, most_bytes: int, accept: str = "", multiple: bool = False
) -> ui.upload:
    """Draw a place to drop files on, or to choose them from. `accept` as HTML has it (`.csv,text/csv`)."""
    zone = _make_upload(t, on_file, most_bytes, accept, multiple=multiple).props("flat").classes("drop")
    with zone.add_slot("header"), element("div"):
        with attrs(element("button", "stack tight drop-inside"), type="button") as opener:
            icon("upload_file")
            element("span", "", label)
        with attrs(element("span"), aria_hidden="true"):
            ui.element("q-uploader-add-trigger")  # the browser's own field, invisible over the button
    with zone.add_slot("list"):
        element("span", "unseen")
    opener.on("click", js_handler=f"() => runMethod({zone.id:d}, 'pickFiles', [])")
    ui.context.client.on_connect(lambda: ui.run_javascript(KEEP_PAGE))
    return zone


def file_button(t: Texts, label: str, on_file: OnFile, *, most_bytes: int, accept: str) -> ui.upload:
    """Draw a button that takes one file."""
    upload = _make_upload(t, on_file, most_bytes, accept, multiple=False).classes("hidden")
    button(label, lambda: upload.run_method("pickFiles"), kind="quiet", symbol="upload_file")
    return upload


def _make_upload(t: Texts, on_file: OnFile, most_bytes: int, accept: str, *, multiple: bool) -> ui.upload:
    async def read_file(event: UploadEventArguments) -> None:
        with upload.client:  # the place of the upload may be cleared meanwhile
            content = await event.file.read()
            upload.reset()
            result = on_file(event.file.name, content)
            if result is not None:
                await result

    def refuse(event: GenericEventArguments) -> None:
        for entry in event.args[:3] if isinstance(event.args, list) else ():
            why = WHY.get(str(entry.get("why")), "files.refused")
            name = line(str(entry.get("name", "")), 60)
            toast(t(why, name=name, most=f"{most_bytes // 1024 // 1024} MiB"), good=False)

    upload = ui.upload(on_upload=read_file, auto_upload=True, max_file_size=most_bytes, multiple=multiple)
    upload.on("rejected", refuse, js_handler=REFUSED)
    return attrs(upload, accept=accept) if accept else upload
