"""What a page is, and what it gets to draw itself."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from nicegui import ui

from imsg_console.client import Api, make_url
from imsg_console.files import Files
from imsg_console.html_bodies import Bodies
from imsg_console.permissions import may
from imsg_console.preferences import Preferences
from imsg_console.readers import Readers
from imsg_console.sandbox_client import Sandbox
from imsg_console.session import Session
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_contract.roles import EVERYBODY, Roles


class Group(Enum):
    """The part of the navigation that a page is in, and who may see it."""

    ADMIN = "admin"
    """For those who see all: administrators, operators and auditors."""
    USER = "user"
    """For all users."""


@dataclass(frozen=True, slots=True)
class View:
    """One page as one person sees it."""

    api: Api
    """The public API on behalf of the person, in their language."""
    t: Texts
    """Sentences: `view.t("users.title")`."""
    session: Session
    preferences: Preferences
    path: str
    """The page's own address, without the query."""
    segments: Mapping[str, str]
    """The parts of the path: `/messages/{id}` gives `segments["id"]`."""
    query: Mapping[str, str]
    sandbox: Sandbox
    """The sandbox, if it runs here."""
    timezone: str
    """Of the installation: the days and hours of its limits."""
    times: TimeFormat
    """Writes the API's times in that zone."""
    has_sandbox: bool
    """Whether the sandbox runs here."""
    bodies: Bodies
    """For `widgets.html_frame`."""
    files: Files
    """For downloads: `view.files.offer(...)` gives the address."""
    readers: Readers
    """For files and pasted texts: `widgets.reading.run_reader(view, ...)`."""

    def may(self, operation: str) -> bool:
        """Return whether the person may call an operation of the API, such as `PATCH /channels/{method}`."""
        return may(self.session.role, operation)

    def replace_query(self, **query: str) -> None:
        """Show another query in the page's address; fields that are empty are left out."""
        ui.navigate.history.replace(make_url(self.path, **query))


Show = Callable[[View], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its address, its place in the navigation, and the function that draws it."""

    path: str
    """`/users`; parts in braces arrive in `view.segments`."""
    name: str
    """Its title is the sentence `layout.NAME`."""
    group: Group
    show: Show
    icon: str = ""
    """A Material symbol; empty: the page is not in the navigation."""
    needs_sandbox: bool = False
    """Whether it is shown only where the sandbox runs."""
    under: str = ""
    """The path of its parent, for a page that is not in the navigation."""
    roles: Roles = EVERYBODY
    """The roles that may see it, among those of its group."""
