"""Send a mail with a file and wait until it has settled."""

import os

from imsg_client import Attachment, Client

with Client(os.environ["IMSG_URL"], os.environ["IMSG_USERNAME"], os.environ["IMSG_PASSWORD"]) as imsg:
    sent = imsg.send_mail(
        ["li.wei@example.com", "wang.fang@example.com"],
        "会议纪要",
        "请查收附件。",
        attachments=[Attachment.read("纪要.txt")],
        reference="meeting-42",
    )
    request = imsg.wait_until_settled(sent.id)
    print(f"{request.counts.sent} sent, {request.counts.failed} failed")
    for message in imsg.messages(id=sent.id, status="failed"):
        print(message.to, message.error and message.error.detail)
