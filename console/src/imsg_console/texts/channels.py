"""Channels: open or paused and why, dead letters, a test send."""

from imsg_console.texts import Table

TEXTS: Table = {
    "lead": (
        "每种发送方式一个通道，互不影响。暂停只是让消息等着，不会丢失。",
        "One channel for each way of sending; none slows another. A paused channel keeps its messages waiting, none is lost.",
    ),
    "open": ("正在发送。", "Sending."),
    "open_waiting": (
        "正在发送，还有 {n} 个请求在排队。",
        "Sending; {n} request waits its turn.|Sending; {n} requests wait their turn.",
    ),
    "paused": (
        "已被管理员暂停：新消息照常接收，恢复后再发出。",
        "Paused by an administrator: new messages are accepted and go out once it is resumed.",
    ),
    "paused_why": ("暂停原因：{why}", "Paused because: {why}"),
    "blocked": (
        "服务商那边不通，消息在等待，会自动再试。",
        "Nothing goes through at the provider; messages wait, and it is tried again by itself.",
    ),
    "blocked_why": ("服务商的说法：{why}", "What the provider says: {why}"),
    "blocked_until": ("{at} 再试。", "The next try is at {at}."),
    "waiting": ("等待的请求", "Waiting requests"),
    "queued": ("排队的消息", "Messages in the queue"),
    "retrying": ("待重试的消息", "Messages to be tried again"),
    "waiting_hint": ("排队和等待重试的请求数", "Requests queued or waiting for another try"),
    "waiting_unknown": ("未知", "unknown"),
    "oldest": ("最早未完成的消息", "Oldest unfinished message"),
    "oldest_none": ("没有", "none"),
    "oldest_since": ("{at}（{ago}）", "{at} ({ago})"),
    "oldest_between": ("{since} 至 {until} 之间", "between {since} and {until}"),
    "today": ("近24小时", "Last 24 hours"),
    "today_done": ("{n} 条成功", "{n} got through"),
    "today_failed": ("{n} 条失败", "{n} failed"),
    "today_none": ("没有发送", "nothing was sent"),
    "see_failed": ("查看失败的消息", "See what failed"),
    "see_waiting": ("查看", "See them"),
    "seconds_ago": ("{n} 秒前", "{n} second ago|{n} seconds ago"),
    "minutes_ago": ("{n} 分钟前", "{n} minute ago|{n} minutes ago"),
    "hours_ago": ("{n} 小时前", "{n} hour ago|{n} hours ago"),
    "pause": ("暂停", "Pause"),
    "pause_of": ("暂停{channel}通道", "Pause {channel}"),
    "resume": ("恢复发送", "Resume"),
    "resume_of": ("恢复发送：{channel}", "Resume {channel}"),
    "pause_ask": ("暂停{channel}通道？", "Pause {channel}?"),
    "pause_what": (
        "正在发送的会发完，其余的等待恢复。接口照常接收新消息，它们的有效期不会因此延长：邮件和微信一般24小时，短信1小时，过期的不再发出。",
        (
            "What is being sent is finished, the rest waits. New messages are still accepted, but their lives go on: "
            "24 hours for mail and WeChat, 1 hour for SMS as a rule; what expires is not sent."
        ),
    ),
    "pause_why": ("原因（给其他管理员看）", "Reason (for other administrators)"),
    "pause_why_hint": ("例如：服务商维护到22点", "For example: the provider is down until 22:00"),
    "pause_done": ("{channel}通道已暂停。", "{channel} is paused."),
    "resume_done": ("{channel}通道已恢复，在等的消息正在发出。", "{channel} is resumed; what waited is going out."),
    "test": ("试发", "Send a test"),
    "test_of": ("试发一条{channel}", "Send a test by {channel}"),
    "test_what": (
        "发一条到你自己的地址，看它是否送达。会算一次发送次数。",
        "Send one to an address of your own and see it arrive. It counts once against your limit.",
    ),
    "test_to_smtp": ("你的邮箱", "Your e-mail address"),
    "test_to_sms": ("你的手机号", "Your phone number"),
    "test_to_wechat": ("你的标记（如 7K3-M9Q-2XF）", "Your tag (such as 7K3-M9Q-2XF)"),
    "test_text": ("内容", "Text"),
    "test_subject": ("iMSG 试发", "iMSG test"),
    "test_default": (
        "这是一条来自 iMSG 的测试消息，收到即表示通道正常。",
        "A test from iMSG: if you read this, the channel works.",
    ),
    "test_default_short": ("iMSG测试消息", "iMSG test"),
    "test_send": ("发送", "Send"),
    "test_missing": ("请填写收件人和内容。", "Enter a recipient and a text."),
    "test_accepted": ("已接收，正在发送……", "Accepted, on its way ..."),
    "test_waiting": (
        "还没有结果，可以关闭窗口，之后在消息里查看。",
        "No result yet. You may close this and look among the messages later.",
    ),
    "test_see": ("查看这条消息", "See the message"),
    "test_see_inbox": ("在沙箱收件箱里看", "See it in the sandbox"),
    "dead": ("死信", "Dead letters"),
    "dead_what": (
        "无法读取或让发送程序连续出错的请求放在这里，不会再自动重试；其中的消息显示为失败。",
        (
            "Requests that can't be read, or that broke the sender again and again, are kept here and not tried again; "
            "their messages show as failed."
        ),
    ),
    "dead_none_title": ("没有死信", "No dead letters"),
    "dead_none": (
        "一切正常。出现死信时，这里会说明原因和处理办法。",
        "All is well. If one appears, its reason and remedy stand here.",
    ),
    "dead_at": ("时间", "Time"),
    "dead_channel": ("通道", "Channel"),
    "dead_reason": ("原因", "Reason"),
    "dead_request": ("请求", "Request"),
    "dead_actions": ("操作", "Actions"),
    "dead_read": ("阅读", "Read"),
    "dead_read_of": ("阅读死信 {id}", "Read dead letter {id}"),
    "dead_body": ("内容", "Body"),
    "dead_body_base64": ("内容（不是UTF-8，以base64显示）", "Body (no UTF-8, so shown in base64)"),
    "dead_queue": ("所在队列", "Queue"),
    "dead_resend": ("重发", "Resend"),
    "dead_resend_ask": ("重发这封死信？", "Resend this dead letter?"),
    "dead_resend_what": (
        "其中因此失败的消息会作为新请求再发一次，算一次发送次数。若原因还在，可能再次成为死信。",
        (
            "Its messages that failed by this go out anew as a new request, counting once. "
            "If the reason is still there, it may die again."
        ),
    ),
    "dead_resent": ("已重发 {n} 条消息。", "{n} message is on its way again.|{n} messages are on their way again."),
    "dead_unreadable": ("内容无法读取。", "It can't be read."),
    "dead_delivery_limit": (
        "多次交给发送程序都没有处理完。",
        "It was handed to the sender many times and never finished.",
    ),
    "dead_not_recorded": ("无法记入历史。", "It can't be recorded in the history."),
    "dead_broke": ("发送程序处理它时连续出错三次。", "It broke the sender three times."),
    "dead_unknown": ("原因不明，见内容。", "The reason is not known; see its body."),
    "refreshed": ("每几秒自动更新", "Refreshed every few seconds"),
}
