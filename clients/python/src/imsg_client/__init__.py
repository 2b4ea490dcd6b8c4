"""Send e-mail, SMS and WeChat through iMSG.

with Client("https://imsg.example.com", key="imsg_live_…") as imsg:
    sent = imsg.send_mail("zhang@example.com", "会议纪要", "请查收附件。", attachments=[Attachment.read("纪要.pdf")])
    imsg.wait_until_settled(sent.id)
"""

from imsg_client import callbacks, contents, errors, models, sheets
from imsg_client._async.client import AsyncClient
from imsg_client._sync.client import Client
from imsg_client.contents import Attachment
from imsg_client.errors import ImsgError, LimitReached, OutcomeUnknown, Refused

__all__ = [
    "AsyncClient",
    "Attachment",
    "Client",
    "ImsgError",
    "LimitReached",
    "OutcomeUnknown",
    "Refused",
    "callbacks",
    "contents",
    "errors",
    "models",
    "sheets",
]
