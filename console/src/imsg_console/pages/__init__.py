"""The table of pages, in the order of the navigation."""

from imsg_console.pages import (
    channels,
    inbox,
    limits,
    message,
    messages,
    mine,
    overview,
    password,
    send,
    sent,
    users,
)
from imsg_console.view import Page

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    users.PAGE,
    messages.PAGE,
    message.PAGE,
    channels.PAGE,
    inbox.PAGE,
    send.PAGE,
    sent.PAGE,
    mine.PAGE,
    limits.PAGE,
    password.PAGE,
)
