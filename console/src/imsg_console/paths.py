"""Addresses of the console that are no pages, and the way to the log-in page and back."""

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
    """Return the address of the log-in page, which leads back to a page."""
    back = f"{path}?{query}" if query else path
    fields = {name: value for name, value in (("next", back if back != "/" else ""), ("why", why)) if value}
    return f"{LOGIN}?{urlencode(fields)}" if fields else LOGIN


def back(target: str) -> str:
    """Return where to go after the log-in: a path of the console, never another host."""
    parts = urlsplit(target)
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    if not is_ours or not target.isprintable() or "\\" in target or parts.path in (LOGIN, LOGOUT, PREFER):
        return "/"
    return target
