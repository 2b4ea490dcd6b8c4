"""How much one may send, and how much is left."""

from imsg_console.texts import Table

TEXTS: Table = {
    "title": ("我的限额", "My limits"),
    "lead": ("还能发多少，什么时候恢复。", "How much you may still send, and when it opens again."),
    "hour": ("这一小时", "This hour"),
    "day": ("今天", "Today"),
    "recipients": ("今天的收件人数", "Recipients today"),
    "left": ("还剩{n:,}次，共{most:,}次", "{n:,} of {most:,} left"),
    "left_recipients": ("还剩{n:,}人，共{most:,}人", "{n:,} of {most:,} left"),
    "used": ("已用{n:,}次，共{most:,}次", "{n:,} of {most:,} used"),
    "used_recipients": ("已用{n:,}人，共{most:,}人", "{n:,} of {most:,} used"),
    "opens_minutes": (
        "{clock}恢复（{n}分钟后）",
        "opens again at {clock}, in {n} minute|opens again at {clock}, in {n} minutes",
    ),
    "opens_hours": (
        "{clock}恢复（约{n}小时后）",
        "opens again at {clock}, in about {n} hour|opens again at {clock}, in about {n} hours",
    ),
    "opens_midnight": (
        "零点恢复（约{n}小时后）",
        "opens again at midnight, in about {n} hour|opens again at midnight, in about {n} hours",
    ),
    "not_available": (
        "你的发送功能已被关闭，请联系管理员开启。",
        "Sending is switched off for your account; ask an administrator to switch it on.",
    ),
    "used_up": ("已用完。急用时请管理员调高限额。", "Used up. If it is urgent, ask an administrator to raise it."),
    "how": ("怎么计算", "How it is counted"),
    "how_counts": (
        "一次发送计一次，不论有多少收件人；重发也计一次。",
        "Each request counts once, however many recipients it has; sending again counts too.",
    ),
    "how_windows": (
        "按整点小时和自然日计算，时区为{zone}。",
        "By the clock hour and the calendar day of {zone}.",
    ),
    "how_refused": ("被拒绝的发送不计。", "What is refused does not count."),
    "how_more": ("限额由管理员设定，修改后立即生效。", "Administrators set the limits; a change is in force at once."),
    "change": ("修改用户限额", "Change users' limits"),
    "send": ("去发送", "Send a message"),
}
