"""What was sent."""

from imsg_console.texts import Table

TEXTS: Table = {
    "title": ("已提交发送", "Sent"),
    "accepted": (
        "已接受 {n} 个收件人，正在发送",
        "Accepted for {n} recipient, sending|Accepted for {n} recipients, sending",
    ),
    "accepted_what": (
        "正在等发送记录，一般一秒内出现。可以离开这一页，发送会继续。",
        "The records follow, within a second as a rule. You can leave this page and sending goes on.",
    ),
    "seeking": ("正在查找这次发送", "Looking for this request"),
    "seeking_what": ("稍等几秒。", "This takes a few seconds."),
    "waiting_long": (
        "发送记录还没有跟上，这不影响发送，不用再发一次。稍后会自动显示；一直没有请联系管理员。",
        "The records are behind, which does not hold up sending: there is no need to send again. They appear here by themselves; if they never do, tell an administrator.",
    ),
    "none": ("没有这次发送", "There is no such request"),
    "none_what": (
        "请检查编号；记录可能已过保留期，也可能属于别的用户。也可以在“我的消息”里查找。",
        "Check the number: its records may be past their time, or somebody else's. You can look under My messages too.",
    ),
    "standing": ("进度", "Progress"),
    "settled": ("{done} / {n}{more} 已有结果", "{done} of {n}{more} settled"),
    "all_settled": ("全部{n}条已有结果", "It is settled|All {n} are settled"),
    "leave": (
        "可以离开这一页，发送会继续；在“我的消息”里随时可以找回。",
        "You can leave this page and it goes on; find it again under My messages.",
    ),
    "number": ("编号", "Number"),
    "timeline": ("查看经过", "Timeline"),
    "listing": ("查看每一条", "Every message"),
    "resend": ("重发失败的{n}条", "Resend the one that failed|Resend the {n} that failed"),
    "some_failed": (
        "有{n}条没有送出。点“失败”查看每一条的原因，改正后可以重发。",
        "{n} could not be sent. “Failed” shows why; once mended, send it again.|{n} could not be sent. “Failed” shows why for each; once mended, send them again.",
    ),
    "sandbox": ("在沙箱里看", "See it in the sandbox"),
    "alike": ("照此再写一条", "Write one like it"),
    "another": ("再发一条", "Send another"),
    "lines": ("在程序里发送", "Send it from a program"),
    "lines_what": (
        "复制下面的代码，填上密码即可运行，发送的内容与刚才相同。",
        "Copy these lines, put in the password, and run them: they send what you have just sent.",
    ),
    "list_file": ("下载{name}", "Download {name}"),
    "list_file_what": (
        "收件人较多，代码从这个文件读取，每行一个。",
        "There are many recipients: the lines read them from this file, one a line.",
    ),
    "files_what": ("附件从当前目录读取，文件名不变。", "Attachments are read from the current folder, by their names."),
    "content_gone": (
        "内容较大，这里不再列出。请照接口文档编写。",
        "The content is too large to be shown here; see the API documentation.",
    ),
    "copy": ("复制{name}代码", "Copy the {name} lines"),
}
