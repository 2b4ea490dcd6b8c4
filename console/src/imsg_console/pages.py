"""The table of pages, in the order of the navigation."""

from imsg_console.features.account import limits_page, password_page, totp_page
from imsg_console.features.audit import page as audit
from imsg_console.features.callbacks import deliveries_page
from imsg_console.features.callbacks import page as callbacks
from imsg_console.features.channels import page as channels
from imsg_console.features.followers import page as followers
from imsg_console.features.groups import members_page
from imsg_console.features.groups import page as groups
from imsg_console.features.keys import page as keys
from imsg_console.features.messages import message_page, mine_page
from imsg_console.features.messages import page as messages
from imsg_console.features.overview import page as overview
from imsg_console.features.prices import page as prices
from imsg_console.features.providers import page as providers
from imsg_console.features.replies import page as replies
from imsg_console.features.sandbox import page as sandbox
from imsg_console.features.send import page as send
from imsg_console.features.send import sent_page
from imsg_console.features.status import page as status
from imsg_console.features.suppressions import page as suppressions
from imsg_console.features.templates import page as templates
from imsg_console.features.usage import page as usage
from imsg_console.features.users import page as users
from imsg_console.features.windows import page as windows
from imsg_console.view import Page

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    status.PAGE,
    users.PAGE,
    messages.PAGE,
    message_page.PAGE,
    channels.PAGE,
    providers.PAGE,
    followers.PAGE,
    suppressions.PAGE,
    audit.PAGE,
    prices.PAGE,
    windows.PAGE,
    sandbox.PAGE,
    send.PAGE,
    sent_page.PAGE,
    templates.PAGE,
    groups.PAGE,
    members_page.PAGE,
    mine_page.PAGE,
    replies.PAGE,
    usage.PAGE,
    limits_page.PAGE,
    keys.PAGE,
    callbacks.PAGE,
    deliveries_page.PAGE,
    password_page.PAGE,
    totp_page.PAGE,
)
