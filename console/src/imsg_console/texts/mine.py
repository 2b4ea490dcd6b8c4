"""What became of one's own messages."""

from imsg_console.texts import Table

TEXTS: Table = {
    "title": ("我的消息", "My messages"),
    "lead": ("点开一条，可以看到每次尝试和服务商的答复。", "Open one to see every attempt and the provider's answer."),
    "lists": ("群发", "Lists"),
    "older": ("更早的群发", "Older lists"),
    "none_yet": (
        "这一段时间里没有群发，可以继续往前找。",
        "There was no list in this while; look further back.",
    ),
    "list": ("{title}：{n}个收件人", "{title}: {n} recipients"),
    "list_more": ("{title}：{n}个以上收件人", "{title}: {n} recipients or more"),
    "no_subject": ("（没有标题）", "(no subject)"),
    "request": ("这是一次发送的消息。", "These are the messages of one request."),
    "request_link": ("进度和代码", "Progress and lines to copy"),
}
