"""Messages: the listing, one message, and what is done with them."""

from imsg_console.texts import Table

TEXTS: Table = {
    # what things are called
    "no_content": ("（内容较大，打开后显示）", "(large content: open it to see)"),
    # filters
    "filters": ("筛选", "Filters"),
    "filters_set": ("筛选（{n}）", "Filters ({n})"),
    "filter_status": ("状态", "Status"),
    "filter_method": ("方式", "Method"),
    "filter_to": ("收件人", "Recipient"),
    "filter_to_hint": ("完整的邮箱、手机号或标记", "A whole address, number or tag"),
    "filter_username": ("用户", "User"),
    "filter_id": ("编号", "Id"),
    "filter_id_hint": ("发送时返回的id", "The id that sending answered"),
    "filter_code": ("错误码", "Error code"),
    "filter_code_hint": ("服务商或 iMSG 的错误码，如 550", "The provider's or iMSG's, such as 550"),
    "filter_since": ("从", "From"),
    "filter_until": ("到", "Until"),
    "all": ("全部", "All"),
    "any_method": ("全部方式", "All methods"),
    "apply": ("查询", "Search"),
    "clear": ("清除筛选", "Clear filters"),
    "lift": ("去掉筛选：", "Remove the filter: "),
    "not_a_time": (
        "时间没有看懂。请写成 2026-11-25 或 2026-11-25 08:00。",
        "That is no time. Write it as 2026-11-25 or 2026-11-25 08:00.",
    ),
    "not_an_id": (
        "编号应为发送时返回的32位十六进制id，或再加 - 和序号。",
        "An id has 32 hexadecimal digits as sending answered them, perhaps with - and a number.",
    ),
    "copy_link": ("复制链接", "Copy the link"),
    "link_copied": ("已复制：打开它就是现在的筛选。", "Copied: it opens with these very filters."),
    # the table
    "table": ("消息列表", "Messages"),
    "column_status": ("状态", "Status"),
    "column_message": ("内容", "Message"),
    "column_to": ("收件人", "Recipient"),
    "column_username": ("用户", "User"),
    "column_created": ("时间", "Time"),
    "pick": ("选择：{title}，发给 {to}", "Select {title} to {to}"),
    "pick_all": ("选择本页全部", "Select all on this page"),
    "attached": ("{n} 个附件", "{n} attachment|{n} attachments"),
    "no_longer_fits": ("已不符合筛选条件", "Fits the filters no more"),
    # live
    "live": ("实时", "Live"),
    "live_pause": ("暂停实时更新", "Pause live updates"),
    "live_resume": ("继续实时更新", "Resume live updates"),
    "live_paused": ("已暂停", "Paused"),
    "live_away": ("暂时取不到新数据，稍后再试", "No news to be had for now; trying again"),
    "arrived": ("{n} 条新消息，点击显示", "{n} new message: show it|{n} new messages: show them"),
    "arrived_many": ("{n} 条以上新消息，点击显示", "{n} or more new messages: show them"),
    # pages
    "pages": ("翻页", "Pages"),
    "page": ("第 {n} 页", "Page {n}"),
    "page_go": ("跳到第几页", "Go to page"),
    "page_walking": ("正在翻到第 {to} 页：已到 {at}", "On the way to page {to}: now at {at}"),
    "first": ("最新", "Newest"),
    "previous": ("上一页", "Previous"),
    "next": ("下一页", "Next"),
    "is_last": ("后面没有了，这是最后一页。", "There is nothing beyond: this is the last page."),
    # empty
    "empty_title": ("还没有消息", "No messages yet"),
    "empty": (
        "从“发送”页发出第一条，或用接口 POST /api/v2/messages；发出后一秒内出现在这里。",
        "Send the first from the Send page or by POST /api/v2/messages; it shows here within a second.",
    ),
    "empty_step": ("去发送", "Send one"),
    "empty_filtered_title": ("没有符合筛选条件的消息", "No message fits these filters"),
    "empty_filtered": (
        "收件人要写完整；时间按 {timezone}。可以去掉一个条件再试。",
        "Recipients are matched whole; times are those of {timezone}. Try with one filter less.",
    ),
    # resending
    "resend": ("重发", "Resend"),
    "resend_chosen": ("重发所选", "Resend selected"),
    "resend_all": ("重发全部失败的", "Resend all failed"),
    "resend_ask": ("重发 {n} 条消息？", "Resend {n} message?|Resend {n} messages?"),
    "correct": ("改正后重新发送", "Correct and send anew"),
    "resend_count": ("共 {n} 个收件人", "{n} recipient|{n} recipients"),
    "resend_sms": ("，短信计费 {n} 条", ", {n} SMS to be paid"),
    "resend_left_resent": (
        "不含已经重发过的 {n} 条。",
        "{n} that was resent already is left out.|{n} that were resent already are left out.",
    ),
    "resend_left_hopeless": (
        "不含 {n} 条原样重发也发不成的，请先改正：",
        (
            "{n} that would fail again as it is is left out; correct it first:|"
            "{n} that would fail again as they are are left out; correct them first:"
        ),
    ),
    "resend_only_resent": ("所选的都已经重发过。", "All of these were resent already."),
    "resend_only_hopeless": (
        "原样重发也发不成：请按消息里的提示改正后重新发送。",
        "Sent as they are these would fail again: correct what each message names, and send anew.",
    ),
    "column_resent_as": ("已重发为", "Resent as"),
    "resent_note": ("已重发", "resent"),
    "held_paused": (
        "这个渠道已暂停，恢复后才会发出。{why}",
        "This channel is paused; messages go out once it is resumed. {why}",
    ),
    "held_blocked": (
        "这个渠道暂时受阻，恢复后会自动发出。",
        "This channel is blocked for the moment; messages go out by themselves once it is open again.",
    ),
    "resend_how": (
        "失败和过期的会作为新请求再发一次，旧记录保留。每个请求算一次发送次数。",
        (
            "What failed or expired is sent anew as a new request; the old entries stay. "
            "Each request counts once against the limits."
        ),
    ),
    "resend_uncertain": (
        "不确定的也重发（收件人可能收到两次）",
        "Also the uncertain ones (their recipients may get it twice)",
    ),
    "resend_nothing": (
        "所选的消息都不需要重发：只有失败、过期和不确定的可以重发。",
        "Nothing selected can be resent: only failed, expired and uncertain messages can.",
    ),
    "resend_none_failed": ("这些条件下没有失败的消息。", "Nothing has failed within these filters."),
    "resend_work": ("重发失败的消息", "Resending what failed"),
    "resend_done": (
        "已重发 {n} 条消息。",
        "{n} message is on its way again.|{n} messages are on their way again.",
    ),
    "resend_see": ("查看", "Show"),
    "resend_refused": ("{id}：{why}", "{id}: {why}"),
    "searching": ("正在查找……", "Looking ..."),
    # exporting
    "export": ("导出", "Export"),
    "export_work": ("导出消息", "Exporting messages"),
    "export_begun": (
        "开始下载。右上角的任务里可以看到进度。",
        "The download has begun; its progress stands among the tasks at the top.",
    ),
    "export_broken": (
        "下载被中断，文件不完整。请重新导出。",
        "The download was broken off, so the file is incomplete. Export again.",
    ),
    # CSV
    "column_id": ("编号", "Id"),
    "column_method": ("方式", "Method"),
    "column_subject": ("主题", "Subject"),
    "column_text": ("正文", "Text"),
    "column_attachments": ("附件", "Attachments"),
    "column_meaning": ("原因", "Reason"),
    "column_code": ("代码", "Code"),
    "column_detail": ("服务商原话", "Provider's words"),
    "column_attempts": ("尝试次数", "Attempts"),
    "column_provider": ("服务商", "Provider"),
    "column_provider_id": ("服务商编号", "Provider's id"),
    "column_updated": ("更新时间", "Updated"),
    "column_resend_of": ("重发自", "Resends"),
    # one message
    "back": ("返回列表", "Back to the list"),
    "missing_title": ("没有找到这条消息", "This message was not found"),
    "missing": (
        "编号可能不完整，或已过保存期。刚发出的消息要等一秒才出现。",
        "The id may be incomplete, or the message is kept no more. What was just sent takes a second to show.",
    ),
    "missing_step": ("查看全部消息", "See all messages"),
    "facts": ("详情", "Details"),
    "fact_request": ("请求", "Request"),
    "fact_request_all": ("同一请求的全部消息", "All messages of this request"),
    "fact_segments": ("计费条数", "Segments"),
    "fact_account": ("公众号", "Account"),
    "content": ("内容", "Content"),
    "content_plain": ("文本", "Text"),
    "content_html": ("排版", "Formatted"),
    "content_html_hint": (
        "在隔离的框架中显示：不执行脚本，不加载外部图片，链接不可点击。",
        "Shown in a sealed frame: no scripts run, no pictures are fetched, links do nothing.",
    ),
    "content_frame": ("邮件的排版内容", "The mail as formatted"),
    "content_gone": ("内容已过保存期。", "The content is kept no more."),
    "content_cut": ("只显示开头 {n} 个字符。", "Only the first {n} characters are shown."),
    "content_more": ("显示全部", "Show all of it"),
    "template": ("模板", "Template"),
    "attachments": ("附件", "Attachments"),
    "timeline": ("经过", "What happened"),
    "attempt": ("第 {n} 次尝试", "Attempt {n}"),
    "accepted": ("已接收", "Accepted"),
    "accepted_what": (
        "{who} 提交，已写入队列。",
        "Handed in by {who} and kept on durable storage.",
    ),
    "receipt": ("服务商回执", "Provider's report"),
    "settled": ("结果", "Result"),
    "took_it": ("服务商收下了。", "The provider took it."),
    "reported_delivered": ("已送达收件人。", "It reached the recipient."),
    "own_words": ("原话", "Its own words"),
    "colon": ("：", ": "),
    "next_step": ("下一步", "What to do"),
    "copy_id": ("复制编号", "Copy the id"),
    "why": ("为什么", "Why"),
    "unchanging": ("状态已定，不会再变。", "This is final."),
}
