"""What iMSG itself says of a message, whatever its channel."""

from imsg_console.explanations.table import Table

CODES: Table = {
    "expired": ("在有效期内没能发出去。", "Its time was over before it could be sent.", "later"),
    "erased": (
        "按要求清除了收件人的资料，清除时还没发出的不再发送。",
        "The recipient's data was erased on request; what had not been sent by then is not sent.",
        "new_relation",
    ),
    "dead_letter": (
        "处理这条消息时程序连续出错三次，已搁置为死信。",
        "The sender broke on it three times, so it was set aside as a dead letter.",
        "dead_letter",
    ),
    "bug": ("发送程序内部出错，已记入日志。", "The sender has a bug here, which was logged.", "bug"),
    "claim_expired": (
        "发送到一半时程序中断，不知道服务商是否已收下。",
        "The sender ended in the middle of sending; whether the provider has it is not known.",
        "check",
    ),
    "not_repeated": ("可能已经发出，按规则不能重复发送。", "It may have been sent, and may not be repeated.", "check"),
    "ledger_lost": (
        "发送记录丢失时它正在发送，不知道服务商是否已收下。",
        "What was known of it was lost while it was being sent; the provider may have it.",
        "check",
    ),
    "status_unknown": ("暂时查不到服务商是否已收下。", "Whether the provider has it can't be found out yet.", "wait"),
    "content": ("内容不符合这种发送方式的要求。", "The content does not fit this way of sending.", "content"),
    "address": ("收件人地址不正确。", "The recipient is not a valid address.", "address"),
    "history_away": ("附件或正文暂时取不到。", "The attachments or the content can't be fetched for now.", "wait"),
    "attachment_gone": ("附件已过保存期。", "The attachment is kept no more.", "attach"),
    "attachment_damaged": ("取到的附件有损坏。", "The attachment came damaged from the store.", "wait"),
    "content_gone": ("正文已过保存期。", "The content is kept no more.", "rewrite"),
    "content_damaged": ("取到的正文有损坏。", "The content came damaged from the store.", "wait"),
    "away": (
        "服务商连续出错，暂停尝试一会儿。",
        "The provider failed several times in a row and is left alone for a while.",
        "wait",
    ),
    "unreachable": ("连不上服务商。", "The provider can't be reached.", "wait"),
    "http_429": ("发得太快，被服务商限流。", "Too fast: the provider holds the calls back.", "wait"),
    "http_3": ("服务商的地址变了。", "The provider's address has changed.", "operator"),
    "http_4": ("服务商拒绝了请求。", "The provider refused the call.", "operator"),
    "http_5": ("服务商的服务器出错。", "The provider's server failed.", "wait"),
}
