"""Words that many pages use: statuses, methods, states, roles."""

from imsg_console.texts import Table

TEXTS: Table = {
    "status_queued": ("排队中", "Queued"),
    "status_queued_means": ("已接收，等待发送。", "Accepted, waiting to be sent."),
    "status_retrying": ("重试中", "Retrying"),
    "status_retrying_means": (
        "上一次没有成功，稍后自动再试。",
        "The last attempt failed; it will be tried again by itself.",
    ),
    "status_sent": ("已发出", "Sent"),
    "status_sent_means": ("服务商已接收，还没有送达回执。", "The provider took it; no receipt has come yet."),
    "status_delivered": ("已送达", "Delivered"),
    "status_delivered_means": ("服务商的回执确认已送达。", "The provider's receipt confirms that it arrived."),
    "status_failed": ("失败", "Failed"),
    "status_failed_means": ("对方或服务商拒绝，不会再试。", "It was refused for good and is not tried again."),
    "status_expired": ("已过期", "Expired"),
    "status_expired_means": ("在有效期内没能发出。", "It could not be sent within its lifetime."),
    "status_uncertain": ("不确定", "Uncertain"),
    "status_uncertain_means": (
        "服务商可能已接收，但无法得知，所以没有重发。",
        "The provider may have it; it can't be learned, so it was not repeated.",
    ),
    "state_open": ("正常", "Open"),
    "state_paused": ("已暂停", "Paused"),
    "state_blocked": ("受阻", "Blocked"),
    "role_admin": ("管理员", "Administrator"),
    "role_user": ("用户", "User"),
    "yes": ("是", "Yes"),
    "no": ("否", "No"),
    "none": ("无", "None"),
    "unlimited": ("不限", "No limit"),
}
