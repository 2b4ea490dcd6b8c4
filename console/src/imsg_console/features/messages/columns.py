"""The columns of the two tables of messages: one row a message, or one row a request that opens into its messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_console.client import make_url
from imsg_console.explanations import explain
from imsg_console.message.filters import RESENDABLE, UNSETTLED
from imsg_console.message.summary import title
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell, Piece
from imsg_console.widgets.tables import Column

Message = Mapping[str, Any]
"""A message as GET /api/v2/messages gives it, or a request as GET /api/v2/requests does."""

NOTE_TONES = {"failed": "bad-text", "expired": "bad-text", "retrying": "warn-text", "uncertain": "warn-text"}


class Columns:
    """Makes the cells for one person."""

    def __init__(self, view: View, *, everybody: bool) -> None:
        """`everybody`: with a column of the users who sent."""
        self._view, self._t = view, view.t
        self._everybody = everybody
        self.blocked: Mapping[str, str] = {}
        """Methods whose channels send nothing now, each with its state."""

    def of_messages(self) -> list[Column]:
        """Return the columns of messages."""
        return [
            self._column("status", self._status, lambda row: self._t.get(f"words.status_{row['status']}", "")),
            self._column("message", self._message, self.name, is_main=True),
            self._column("to", lambda row: line(row["to"], 80), lambda row: str(row["to"])),
            *self._last(),
        ]

    def of_requests(self) -> list[Column]:
        """Return the columns of requests."""
        return [
            self._column("message", self._request, self.name, is_main=True),
            self._column("to", self._recipients, lambda row: int(row["recipients"])),
            self._column("status", self._counts, _count_failed),
            *self._last(),
        ]

    def of_opened(self, request: Message, messages: Sequence[Message]) -> Cell:
        """Return what is shown below a request: some of its messages, and links to all of them."""
        t, identity, count = self._t, request["id"], int(request["recipients"])
        opened: list[Sequence[Piece]] = [
            [
                cells.link(line(message["to"], 80), f"/messages/{message['id']}"),
                cells.status(t, message["status"], simulated=bool(message.get("simulated"))),
                *self._explain_status(message),
            ]
            for message in messages
        ]
        everything = cells.link(t("messages.all_recipients", n=count), make_url(self._view.path, id=identity))
        return [*opened, [everything, cells.link(t("messages.progress"), f"/sent/{identity}")]]

    def name(self, message: Message) -> str:
        """Return the title of a message or a request: its subject, or the beginning of its text."""
        return title(message) or self._t("messages.no_content")

    def _column(self, name: str, cell: Any, sort: Any, *, is_main: bool = False) -> Column:  # noqa: ANN401  functions
        """Make a column that sorts the page in view: the API lists the newest first, and in no other order."""
        label = self._t(f"messages.column_{name}")
        return Column(name, label, cell, sort, is_main=is_main, hint=self._t("messages.sort_page", column=label))

    def _last(self) -> list[Column]:
        username = self._column("username", lambda row: line(row["username"], 64), lambda row: str(row["username"]))
        created = self._column("created", self._created, lambda row: str(row["created_at"]))
        return [username, created] if self._everybody else [created]

    def _created(self, message: Message) -> Cell:
        times, at = self._view.times, message["created_at"]
        return cells.text(times.short(at), "muted", title=times.full(at))

    def _status(self, message: Message) -> Cell:
        chip = cells.status(self._t, message["status"], simulated=bool(message.get("simulated")))
        if "row_classes" in message:
            return [chip, cells.muted(self._t("messages.no_longer_fits"))]
        return chip

    def _message(self, message: Message) -> Cell:
        link = cells.link(self.name(message), f"/messages/{message['id']}")
        return [self._kind(message, link), [*self._origin(message), *self._explain_status(message)]]

    def _request(self, request: Message) -> Cell:
        name, counts, method = self.name(request), request["counts"], request["method"]
        if int(request["recipients"]) == 1:
            first = cells.link(name, f"/messages/{request['id']}-0")
        else:
            first = {"opens": True, "text": name}
        note = []
        if method in self.blocked and any(counts.get(status) for status in UNSETTLED):
            note.append(cells.text(self._t(f"messages.held_{self.blocked[method]}_note")))
        return [self._kind(request, first), [*self._origin(request), *note]]

    def _kind(self, message: Message, name: Piece) -> list[Piece]:
        """Draw the symbols of the channel and of attachments around a name."""
        kind = cells.symbol(cells.method(self._t, message["method"]))
        if not message["attachments"]:
            return [kind, name]
        attached = self._t("messages.attached", n=len(message["attachments"]))
        return [kind, name, cells.symbol(cells.text(attached, icon="attach_file"))]

    def _origin(self, message: Message) -> list[Piece]:
        """Return chips for a test message and for the key that sent it."""
        t, pieces = self._t, list[Piece]()
        if message["test"]:
            pieces.append(cells.chip(t("words.test"), "science", "info", title=t("words.test_means")))
        if message["key"]:
            by = t("words.by_key", key=line(message["key"], 64))
            pieces.append(cells.text(line(message["key"], 64), "muted small", icon="vpn_key", title=by))
        return pieces

    def _explain_status(self, message: Message) -> list[Piece]:
        """Return why the channel holds the message, else that it was resent, else what its error means."""
        t, status = self._t, message["status"]
        if status in UNSETTLED and (state := self.blocked.get(message["method"])):
            return [cells.text(t(f"messages.held_{state}_note"), "small warn-text")]
        if message.get("resent_as"):
            return [cells.muted(t("messages.resent_note"))]
        explained = explain(t, message["method"], status, (message["error"] or {}).get("code"))
        return [cells.text(explained.meaning, f"small {NOTE_TONES.get(status, '')}")] if explained else []

    def _recipients(self, request: Message) -> Cell:
        count, first = int(request["recipients"]), cells.text(line(request["to"], 80))
        return first if count == 1 else [[first, cells.muted(self._t("messages.and_others", n=count))]]

    def _counts(self, request: Message) -> Cell:
        is_one, is_simulated = int(request["recipients"]) == 1, bool(request.get("simulated"))
        counts = {status: "" if is_one else f"{n:,}" for status, n in request["counts"].items() if n}
        return [[cells.status(self._t, status, n, simulated=is_simulated) for status, n in counts.items()]]


def _count_failed(request: Message) -> int:
    return sum(int(request["counts"].get(status) or 0) for status in RESENDABLE)
