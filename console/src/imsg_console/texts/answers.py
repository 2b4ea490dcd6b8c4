"""What to do about a provider's answer; `answers` names these."""

from imsg_console.texts import Table

TEXTS: Table = {
    "wait": ("不用做什么，会自动重试。", "Nothing to do: it is tried again by itself."),
    "address": ("请核对收件人，改正后重新发送。", "Check the recipient, correct it and send again."),
    "content": ("请修改内容后重新发送。", "Change the content and send again."),
    "operator": (
        "请管理员改正配置，之后会自动继续。",
        "An administrator has to correct the settings; then it goes on by itself.",
    ),
    "check": (
        "请先向收件人确认是否收到，没有收到再重发。",
        "Ask the recipient whether it arrived, and resend it only if not.",
    ),
    "later": ("请稍后重发。", "Resend it later."),
    "number": ("请核对手机号码后重新发送。", "Check the phone number and send again."),
    "template": ("请核对模板和变量后重新发送。", "Check the template and its values, and send again."),
    "follow": ("请收件人重新关注公众号后重发。", "Resend it once the recipient follows the account again."),
    "new_relation": (
        "无需处理；确需联系时请重新发送。",
        "There is nothing to do; to write to them again, send a new message.",
    ),
    "dead_letter": (
        "请管理员在“通道”页的死信中查看原因后重发。",
        "An administrator reads the reason among the dead letters of the Channels page and resends it.",
    ),
    "bug": ("请把消息编号告诉管理员。", "Tell your administrator the message's id."),
    "attach": ("请带上附件重新发送。", "Send it again with the attachment."),
    "rewrite": ("请重新写好后发送。", "Write it again and send it."),
    "smaller": ("请减小附件后重新发送。", "Make the attachments smaller and send again."),
    "make_room": ("请收件人清理邮箱后重发。", "Resend it once the recipient has made room."),
    "wait_for_room": (
        "会自动重试；也可请收件人清理邮箱。",
        "It is tried again by itself; the recipient may make room meanwhile.",
    ),
    "complete": ("请补全变量后重新发送。", "Give all values and send again."),
    "limit": (
        "分钟和小时的限制会自动重试；一天的限制请明天重发。",
        "A limit of a minute or an hour is waited for; for a day's limit, resend it tomorrow.",
    ),
    "top_up": ("请管理员充值，之后会自动继续。", "An administrator tops it up; then it goes on."),
    "ask_tag": ("请向关注者索要标记。", "Ask the follower for the tag."),
    "operator_first": ("请管理员改正配置，再重发。", "An administrator has to correct the settings; then resend it."),
    "top_up_first": ("请管理员充值，再重发。", "An administrator tops the account up; then resend it."),
    "words": ("请按它的原话改正后重发。", "Correct what its own words name and resend it."),
}
