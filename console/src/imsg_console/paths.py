"""Addresses of the console that are no pages, and how to get to the log-in and back."""

from urllib.parse import urlencode, urlsplit

LOGIN = "/login"
LOGOUT = "/logout"
PREFER = "/prefer"
ICON = "/favicon.ico"
OWN = "/_console/"
"""What the console serves beside pages: style sheet and icon below `static/`, mail bodies, files to download."""

STATIC = f"{OWN}static/"
BODIES = f"{OWN}bodies/"
FILES = f"{OWN}files/"
MISSING = f"{OWN}missing"


def login_url(path: str, query: str, why: str = "") -> str:
    """Make the address of the log-in that leads back to where somebody was."""
    back = f"{path}?{query}" if query else path
    asked = {name: value for name, value in (("next", back if back != "/" else ""), ("why", why)) if value}
    return f"{LOGIN}?{urlencode(asked)}" if asked else LOGIN


def back(asked: str) -> str:
    """Return where to go after the log-in: a path of this page, never somebody else's address."""
    parts = urlsplit(asked)
    is_ours = asked.startswith("/") and not asked.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    if not is_ours or not asked.isprintable() or "\\" in asked or parts.path in (LOGIN, LOGOUT, PREFER):
        return "/"
    return asked
