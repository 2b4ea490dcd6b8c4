"""Send an SMS to everybody in a sheet; see first who can't be reached."""

import os

from imsg_client import Client
from imsg_client.sheets import in_batches, read_recipients

TEXT = "明天 9 点至 12 点停水。"

people = read_recipients("客户.csv", "sms")
with Client(os.environ["IMSG_URL"], os.environ["IMSG_USERNAME"], os.environ["IMSG_PASSWORD"]) as imsg:
    for batch in in_batches(people):
        check = imsg.check("sms", batch, TEXT)
        for problem in check.problems:
            print(f"{problem.to}：{problem.detail}")
        if check.problems_total == 0:
            sent = imsg.send_sms(batch, TEXT)
            request = imsg.wait_until_settled(sent.id)
            print(f"已发 {sent.count} 人，{sent.segments} 条计费：{request.counts}")
