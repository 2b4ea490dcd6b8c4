"""The public table of errors: the documented codes and texts, every reason and its remedy in two languages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OK = 0

TEXTS: Mapping[int, str] = {
    0: "OK",
    10001: "请求数据格式错误",
    10002: "缺少必要请求参数",
    10003: "用户电话或邮箱或微信号已经被注册",
    10004: "用户名已存在",
    10005: "token不存在或已失效",
    10006: "用户不存在",
    10007: "密码错误",
    10008: "错误的发送方式",
    10009: "错误的消息内容格式",
    10010: "错误的附件内容格式",
    10011: "无效的收件人",
    10012: "系统内部错误",
    10013: "超出发送消息的频率限制",
    10014: "用户未关注微信公众号",
    10015: "无此公众微信号",
    10016: "见详情",
    10017: "错误参数的类型",
}
"""Code → text, to the letter, as the interface document prints them (section 6)."""

SEE_DETAIL = 10016
"""The code whose text includes the detail: `见详情：…`."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One stable reason for a refusal: its code, its truthful HTTP status, and a sentence with the remedy."""

    code: int
    http: int
    zh: str
    en: str


REASONS: Mapping[str, Reason] = {
    # 10001: the body as a whole, and addresses that lead nowhere
    "not_json": Reason(
        10001,
        400,
        "请求体不是合法的 JSON（{why_zh}）；请把参数写成一个 UTF-8 的 JSON 对象。",
        "The body is not valid JSON ({why_en}); write the parameters as one JSON object in UTF-8.",
    ),
    "not_http": Reason(
        10001,
        400,
        "这不是合法的 HTTP 请求：请求行或请求头有误，或 URL 太长。",
        "This is no valid HTTP request: its first line or a header is malformed, or the URL too long.",
    ),
    "not_an_object": Reason(
        10001, 400, "请求体必须是一个 JSON 对象，例如 {{…}}。", "The body must be a JSON object, such as {{…}}."
    ),
    "too_large": Reason(
        10001,
        413,
        "请求体超过 {limit} 字节，请减小附件或分批发送。",
        "The body is over {limit} bytes; make attachments smaller or send in several requests.",
    ),
    "too_many_parts": Reason(
        10001,
        413,
        "请求体里的字段、列表和对象超过 {limit} 个；请去掉不用的字段，或分批发送。",
        "The body has more than {limit} fields, lists and objects; leave out what is not needed, or send in several "
        "requests.",
    ),
    "head_too_large": Reason(
        10001,
        431,
        "请求行和请求头合计超过 {limit} 字节，请缩短 URL 或请求头（例如 Cookie）。",
        "The request line and headers are over {limit} bytes; shorten the URL or a header, such as Cookie.",
    ),
    "head_incomplete": Reason(
        10001,
        408,
        "请求头在 {seconds} 秒内没有发完，连接已关闭，请重发。",
        "The headers did not arrive within {seconds} s, and the connection is closed; send the request again.",
    ),
    "no_such_url": Reason(
        10001,
        404,
        "没有 {path} 这个地址；接口列表见 /docs。",
        "There is nothing at {path}; /docs lists the interface.",
    ),
    "no_such_method": Reason(
        10001, 405, "{path} 不支持 {method}，请用 {allowed}。", "{path} does not take {method}; use {allowed}."
    ),
    "body_incomplete": Reason(
        10001,
        400,
        "请求体没有收全就断开了，请重发。",
        "The body ended before it was complete; send it again.",
    ),
    # 10002
    "missing": Reason(10002, 400, "缺少参数 {field}。", "{field} is missing."),
    "token_missing": Reason(
        10002,
        400,
        "缺少 token，请先用 /api/login 获取，再放入请求体的 token 字段。",
        "token is missing; get one from /api/login and put it into the body's token field.",
    ),
    # 10003, 10004
    "contact_taken": Reason(
        10003, 409, "{field} 已属于另一个用户，请换一个。", "{field} belongs to another user; choose another."
    ),
    "username_taken": Reason(
        10004, 409, "用户名 {username} 已存在，请换一个。", "The username {username} exists; choose another."
    ),
    # 10005
    "token_invalid": Reason(
        10005,
        401,
        "token 无效或已过期，请重新登录获取。",
        "The token is not valid or has expired; log in again.",
    ),
    # 10006, 10007
    "no_such_user": Reason(
        10006,
        404,
        "没有用户 {username}；管理员可以用 /api/register 创建。",
        "There is no user {username}; an administrator can create it with /api/register.",
    ),
    "wrong_password": Reason(
        10007, 401, "密码不正确，请检查后重试。", "The password is wrong; check it and try again."
    ),
    # 10008
    "method_unknown": Reason(10008, 400, "method 必须是 {methods_zh}。", "method must be {methods_en}."),
    # 10009
    "content_shape": Reason(10009, 400, "content 不正确：{why_zh}。", "content is not right: {why_en}."),
    # 10010
    "attachment_shape": Reason(10010, 400, "attachment 不正确：{why_zh}。", "attachment is not right: {why_en}."),
    # 10011
    "recipients_invalid": Reason(10011, 400, "收件人不正确：{why_zh}。", "These recipients are not right: {why_en}."),
    # 10012
    "not_accepted": Reason(
        10012,
        503,
        "消息没有被接收，次数已退还，请稍后重发。",
        "The message was not accepted and is not counted; send it again later.",
    ),
    "outcome_unknown": Reason(
        10012,
        503,
        "不能确定消息是否已被接收；请带同一个 Idempotency-Key 重发，或按 id 查询。",
        "Whether the message was accepted is not known; repeat with the same Idempotency-Key, or query its id.",
    ),
    "unavailable": Reason(
        10012,
        503,
        "系统的一部分暂时不可用，什么都没有改变，请稍后重试。",
        "Part of the system is unavailable; nothing was changed. Try again later.",
    ),
    "no_provider": Reason(
        10012,
        503,
        "{method} 没有配置服务商，什么都没有发送；请管理员配置（{remedy}）。",
        "No provider is configured for {method}, so nothing was sent; an administrator has to: {remedy}.",
    ),
    "overloaded": Reason(
        10012,
        503,
        "等待发送的消息太多，请按 Retry-After 稍后再发。",
        "Too many messages are waiting; send again after Retry-After.",
    ),
    "broker_blocked": Reason(
        10012,
        503,
        "消息代理的内存或磁盘告急，暂时不接收消息；本次没有发送，也不计次数。请按 Retry-After 重发；"
        "管理员需释放内存或磁盘，或提高上限（docs/rabbitmq.md），不必重启。",
        "The message broker is short of memory or disk and takes no messages; nothing was sent or counted. Send again "
        "after Retry-After; an administrator frees memory or disk, or raises the limit (docs/rabbitmq.md), "
        "without a restart.",
    ),
    "too_many_bodies": Reason(
        10016,
        429,
        "从您的地址同时上传的内容超过 {limit} 字节，请等前面的请求完成后再发。",
        "Your address is uploading more than {limit} bytes at once; wait for the earlier requests to finish.",
    ),
    "too_many_connections": Reason(
        10016,
        429,
        "从您的地址同时打开的连接超过 {limit} 个，请关闭空闲的连接后再试。",
        "Your address has more than {limit} connections open at once; close those that are idle, and try again.",
    ),
    "bug": Reason(
        10012,
        500,
        "系统内部出错，已记录；请把编号 {trace} 告诉管理员。",
        "An internal error occurred and was logged; tell your administrator the number {trace}.",
    ),
    # 10013
    "per_hour_used_up": Reason(
        10013,
        429,
        "本小时的 {limit} 次已用完，{opens} 起可以再发。",
        "This hour's {limit} requests are used up; you can send again from {opens}.",
    ),
    "per_day_used_up": Reason(
        10013,
        429,
        "今天的 {limit} 次已用完，{opens} 起可以再发。",
        "Today's {limit} requests are used up; you can send again from {opens}.",
    ),
    "recipients_per_day_used_up": Reason(
        10013,
        429,
        "此请求有 {recipients} 个收件人，而今天的 {limit} 个只剩 {left} 个，{opens} 起重新计数；请分批发送。",
        "This request has {recipients} recipients, but only {left} of today's {limit} are left until {opens}; "
        "send to fewer at once.",
    ),
    "quota_used_up": Reason(
        10013,
        429,
        "{scope_zh}配额 {quota} 共 {limit} {unit_zh}，只剩 {left}，而此请求需要 {wanted}；{opens} 起重新计数。",
        "{scope_en} quota {quota} of {limit} {unit_en} has {left} left, and this request needs {wanted}; it opens "
        "again at {opens}.",
    ),
    "recipient_cap": Reason(
        10013,
        429,
        "该收件人已达上限 {cap}（每{per_zh}最多 {limit} 条），{after} 秒后可以再发。",
        "This recipient has got as many as the cap {cap} allows, {limit} in a {per_en}; you can send again in {after} "
        "seconds.",
    ),
    # 10014, 10015
    "not_following": Reason(
        10014,
        400,
        "这些微信标签的用户没有关注公众号，或标签已更换、作废：{who}。请先关注，或向对方要新的标签。",
        "The followers of these tags have left, or have another tag now: {who}. They must follow the account first, "
        "or tell the new tag.",
    ),
    "no_such_account": Reason(
        10015,
        400,
        "没有配置公众号 {account}；管理员可在 IMSG_WECHAT__ACCOUNTS 中添加。",
        "No official account {account} is configured; an administrator adds it under IMSG_WECHAT__ACCOUNTS.",
    ),
    # 10016
    "may_not_send_codes": Reason(
        10016,
        403,
        "该用户没有发送验证码的权限（category 为 code）；请管理员为其打开 may_send_codes，或改用 notice。",
        "This user may not send codes (category code); ask an administrator to set may_send_codes, or send it as a "
        "notice.",
    ),
    "may_not_send_by": Reason(
        10016,
        403,
        "该用户不能用发件人 {sender}；请管理员在其 senders 中加上，或不写 sender。",
        "This user may not send by the sender {sender}; ask an administrator to add it to the user's senders, or leave "
        "sender out.",
    ),
    "country_not_allowed": Reason(
        10016,
        403,
        "该用户不能向 {country} 发短信；请管理员在其 sms_countries 中加上。",
        "This user may not send SMS to {country}; ask an administrator to add it to the user's sms_countries.",
    ),
    "sending_disabled": Reason(
        10016,
        403,
        "此用户的发送功能已关闭，请联系管理员开启。",
        "Sending is turned off for this user; ask an administrator to turn it on.",
    ),
    "no_scope": Reason(
        10016,
        403,
        "该密钥没有权限范围 {scope}；请在“密钥”页面为其加上，或换用有此范围的密钥。",
        "This key lacks the scope {scope}; add it to the key, or use one that has it.",
    ),
    "not_by_key": Reason(
        10016,
        403,
        "密钥不能执行此操作；请用 /api/v2/login 登录，再用得到的 token 操作。",
        "No key may do this; log in by /api/v2/login, and use the token.",
    ),
    "otp_required": Reason(
        10016,
        401,
        "该用户已开启两步验证；请同时提供 otp：验证器显示的 6 位数字，或一个恢复码。",
        "This user logs in with one-time passwords: add otp, the 6 digits of the authenticator app or a recovery code.",
    ),
    "otp_wrong": Reason(
        10016,
        401,
        "一次性密码不正确或已用过；请等验证器显示新的数字后再试，并检查手机的时间是否准确。",
        "The one-time password is wrong or was used; wait for the next one, and check that the phone's clock is right.",
    ),
    "use_key": Reason(
        10016,
        403,
        "该用户已开启两步验证，不能只用密码登录；程序请改用 API 密钥。",
        "This user logs in with one-time passwords, which this call does not take; let programs use an API key.",
    ),
    "totp_on": Reason(
        10016,
        409,
        "两步验证已开启；要更换验证器，请先关闭。",
        "One-time passwords are on already; turn them off before another app is set up.",
    ),
    "totp_not_begun": Reason(
        10016,
        409,
        "还没有待确认的验证器密钥；请先调用 POST /api/v2/me/totp。",
        "No secret waits to be confirmed; call POST /api/v2/me/totp first.",
    ),
    "log_in_again": Reason(
        10016,
        403,
        "此操作需要 {minutes} 分钟内登录所得的 token；请重新登录后再试。",
        "This needs a token of a log-in within the last {minutes} minutes; log in again, and try once more.",
    ),
    "network_not_allowed": Reason(
        10016,
        403,
        "该密钥不能从 {address} 使用；请把此地址加入密钥的 networks。",
        "This key may not be used from {address}; add the address to the key's networks.",
    ),
    "too_many_keys": Reason(
        10016,
        409,
        "该用户已有 {limit} 个密钥，请先删除不再使用的。",
        "This user has {limit} keys already; end those that are not used any more.",
    ),
    "no_right": Reason(10016, 403, "此操作需要{roles_zh}的 token。", "This needs {roles_en} token."),
    "wrong_host": Reason(
        10016,
        421,
        "iMSG 不以 {host} 这个名字提供服务；要用它访问，请管理员把它加入 IMSG_ALLOWED_HOSTS，"
        "或把 IMSG_PUBLIC_URL 设为您访问的地址。",
        "iMSG does not answer under the name {host}; to use it, an administrator adds it to IMSG_ALLOWED_HOSTS, "
        "or sets IMSG_PUBLIC_URL to the address people use.",
    ),
    "forged": Reason(
        10016,
        403,
        "签名不正确；若确由服务商发出，请核对双方配置的 token 和密钥是否一致。",
        "The signature is wrong; if the provider itself sent this, check that both sides have the same token and key.",
    ),
    "not_signed": Reason(
        10016,
        401,
        "没有签名、签名不正确或已超过 5 分钟；请按 Standard Webhooks 用 IMSG_SMTP__BOUNCE_SECRET 签名后重发。",
        "The signature is missing, wrong or over 5 minutes old; sign by IMSG_SMTP__BOUNCE_SECRET as Standard Webhooks "
        "says and send it again.",
    ),
    "stale": Reason(
        10016,
        403,
        "时间戳与服务器的时间相差超过 {minutes} 分钟；请求若是刚发出的，请校准服务器的时钟。",
        "The time stamp differs from the server's time by over {minutes} minutes; if the call is new, set the clock.",
    ),
    "last_administrator": Reason(
        10016,
        409,
        "这是最后一个管理员，不能删除或降级；请先设置另一个管理员。",
        "This is the last administrator; make another user an administrator first.",
    ),
    "key_reused": Reason(
        10016,
        409,
        "这个 Idempotency-Key 已用于另一个请求体，请换一个。",
        "This Idempotency-Key was used with another body; use a new one.",
    ),
    "in_progress": Reason(
        10016,
        409,
        "同一个 Idempotency-Key 的请求还在处理中，请稍后再试。",
        "A request with this Idempotency-Key is still running; try again shortly.",
    ),
    "too_many_tries": Reason(
        10016,
        429,
        "{what_zh}太多，请在 {after} 秒后再试。",
        "Too many {what_en}; try again in {after} seconds.",
    ),
    "provider_refused": Reason(
        10016, 409, "服务商没有照办：{why}。", "The provider did not do as it was asked: {why}."
    ),
    "not_scanned": Reason(
        10016,
        409,
        "还没有人扫这个二维码；请让对方用微信扫码，再确认。",
        "Nobody has scanned this code; have it scanned in WeChat, then confirm.",
    ),
    "code_expired": Reason(10016, 409, "二维码已过期，请重新生成。", "The code has expired; make another."),
    "paused": Reason(10016, 409, "{method} 已被管理员暂停。", "{method} is paused by an administrator."),
    "if_match_required": Reason(
        10016,
        428,
        "缺少 If-Match 请求头；请先 GET，再带上所得的 ETag 修改。",
        "The header If-Match is missing; GET the list first, and send the ETag of the answer.",
    ),
    "changed": Reason(
        10016,
        412,
        "列表已被他人修改；请重新 GET，核对后再改。",
        "The list was changed meanwhile; GET it again, and change that.",
    ),
    "provider_exists": Reason(
        10016,
        409,
        "服务商 {name} 已存在；请换一个名称，或修改它。",
        "There is a provider {name} already; choose another name, or change it.",
    ),
    "sender_exists": Reason(
        10016,
        409,
        "发件人 {name} 已存在；请换一个名称，或修改它。",
        "There is a sender {name} already; choose another name, or change it.",
    ),
    "too_many_senders": Reason(
        10016,
        409,
        "一个渠道最多 {most} 个发件人；请先删除不用的。",
        "A channel has at most {most} senders; remove one first.",
    ),
    "name_in_settings": Reason(
        10016,
        409,
        "{name} 写在配置文件或环境变量中，这里只能启用、停用和改权重；请换一个名称，或在那里修改。",
        "{name} stands in the settings; only enabled and weight change here. Choose another name, or change it there.",
    ),
    "too_many_providers": Reason(
        10016,
        409,
        "一个渠道最多 {most} 个服务商；请先删除不用的。",
        "A channel has at most {most} providers; remove one first.",
    ),
    "providers_closed": Reason(
        10016,
        409,
        "这里不能设置服务商：{setting} 没有设置或已更换；请管理员设置后再试。",
        "Providers can't be set up here: {setting} is not set, or is another one; set it first.",
    ),
    "not_listed": Reason(
        10016,
        409,
        "{name} 的服务商没有查询{what}的接口；请在它的控制台查看。",
        "The provider of {name} has no call that lists its {what}; look in its console.",
    ),
    "list_refused": Reason(
        10016,
        409,
        "服务商没有给出清单：{why}；{remedy}。",
        "The provider gave no list: {why}; {remedy}.",
    ),
    "sender_away": Reason(
        10012,
        503,
        "{method} 的发送服务没有答复，无法核对，什么都没有改变；请确认它在运行，然后重试。",
        "The sender of {method} did not answer, so nothing was checked or changed; see that it runs, and try again.",
    ),
    "no_such_group": Reason(
        10016,
        404,
        "没有名为 {name} 的通讯组，或您无权使用它；可用的通讯组见 /api/v2/groups。",
        "There is no group {name}, or you may not use it; /api/v2/groups lists yours.",
    ),
    "group_exists": Reason(
        10016, 409, "已有名为 {name} 的通讯组，请换一个名字。", "There is a group {name}; choose another name."
    ),
    "not_yours": Reason(
        10016,
        403,
        "{name} 是共享的，只有创建者 {owner} 和管理员可以修改。",
        "{name} is shared; only its owner {owner} and administrators change it.",
    ),
    "group_full": Reason(
        10017,
        400,
        "通讯组 {name} 最多 {most} 人，加上这些共 {size} 人；请分成几个组。",
        "The group {name} may have {most} people, with these it would have {size}; make several groups.",
    ),
    "not_found": Reason(10016, 404, "没有找到 {what}。", "{what} was not found."),
    "nothing_to_resend": Reason(
        10016,
        409,
        '{id} 中没有可以重发的消息：只重发 failed 和 expired（uncertain 需加 "uncertain": true）。',
        'Nothing of {id} can be sent again: only failed and expired are (uncertain with "uncertain": true).',
    ),
    "already_resent": Reason(
        10016,
        409,
        '{id} 中可以重发的都已经重发过了；确实要再发一次，请加上 "again": true。',
        'All of {id} that can be sent again has been; to send it once more all the same, add "again": true.',
    ),
    "not_a_test": Reason(
        10016,
        409,
        "{id} 不是用测试密钥发送的，测试密钥不能重发；请用正式密钥。",
        "{id} was not sent by a test key, so that one can't send it again; use a live key.",
    ),
    "already_due": Reason(
        10016,
        409,
        "{id} 已到时间，正在发送，不能再改时间。",
        "{id} was due, and is being sent; its time cannot change any more.",
    ),
    "not_scheduled": Reason(
        10016,
        409,
        "{id} 没有定时，不能改时间或提前发送。",
        "{id} has no time to wait for, so it cannot be moved or released.",
    ),
    "cursor_expired": Reason(
        10016,
        410,
        "after 指向的位置之后，有些事件已超过保存期限；请不带 after 重新读取，并用 /api/v2/messages 核对这期间的消息。",
        "Some of what came after this place was kept for long enough and is gone; read on without `after`, and look at "
        "/api/v2/messages for what happened between.",
    ),
    "template_taken": Reason(
        10016,
        409,
        "模板 {name} 已存在，请换一个名称，或修改原有模板。",
        "The template {name} exists; choose another name, or change that one.",
    ),
    "too_many_callbacks": Reason(
        10016,
        409,
        "每个用户最多 {most} 个回调地址；请先删除不用的。",
        "A user may have {most} callbacks; remove one that is not needed first.",
    ),
    "too_many_reports": Reason(
        10016,
        409,
        "您有 {count} 份报表尚未完成，请等其中一份完成后再试。",
        "{count} of your reports are not done yet; try again once one of them is.",
    ),
    "redacted": Reason(
        10016,
        409,
        "{id} 是验证码，发完后内容已清除，不能重新发送；请让系统生成并发送新的验证码。",
        "{id} was a code, whose words are not kept once it is settled; have a new code made and sent.",
    ),
    "content_erased": Reason(
        10016,
        409,
        "{id} 的内容已按保存期限清除，不能重发；请填写内容后重新发送。",
        "The content of {id} was erased after its retention time and can't be sent again; send a new message.",
    ),
    "contact_in_use": Reason(
        10016,
        409,
        "这个地址是用户 {username} 的联系方式；请先删除该用户，或去掉这项联系方式，再清除。",
        "This address is the contact of user {username}; delete the user, or take the contact away, and then erase it.",
    ),
    "no_erasure_key": Reason(
        10012,
        503,
        "没有设置 IMSG_ERASURE_KEY，不能记住清除过谁，所以什么都没有清除；请管理员为 history 和各发送服务设同一个值。",
        "IMSG_ERASURE_KEY is not set, so nothing was erased; an administrator "
        "has to set the same one for history and the senders.",
    ),
    # 10017
    "unknown_field": Reason(
        10017,
        400,
        "没有 {field} 这个参数{meant_zh}。",
        "There is no field {field}{meant_en}.",
    ),
    "no_offset": Reason(
        10017,
        400,
        "{field} 缺少时区，请写上与 UTC 的时差，如 {example}。",
        "{field} has no offset from UTC; write one, as in {example}.",
    ),
    "too_far": Reason(
        10017,
        400,
        "{field} 太远：最多提前 {days} 天，请改早一些。",
        "{field} is too far ahead: at most {days} days; choose an earlier time.",
    ),
    "in_past": Reason(
        10017,
        400,
        "{field} 已经过去：最多早于现在 {minutes} 分钟；要立即发送，请去掉这一项。",
        "{field} is in the past: at most {minutes} minutes ago; to send at once, leave it out.",
    ),
    "wrong_type": Reason(10017, 400, "参数 {field} 不正确：{why_zh}。", "{field} is not right: {why_en}."),
}
"""Reason → answer. No other reason can be answered."""


class Refusal(Exception):  # noqa: N818  a refusal is an answer, not an error of ours
    """A request is refused; the answer says why.

    `reason` is a key of REASONS, `values` fill its sentences, `extra` adds fields to the answer (an `id`),
    `retry_after_s` becomes a Retry-After header.
    """

    def __init__(
        self,
        reason: str,
        *,
        extra: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.values = values
        self.extra = extra or {}
        self.retry_after_s = retry_after_s
        self.headers = headers or {}

    @property
    def row(self) -> Reason:
        """The table's row for this refusal."""
        return REASONS[self.reason]

    def answer(self, *, english: bool) -> dict[str, Any]:
        """Return the answer's object: errorCode, errorMessage, reason, detail, and `extra`."""
        row = self.row
        detail = (row.en if english else row.zh).format_map(self.values)
        text = TEXTS[row.code]
        message = f"{text}：{detail}" if row.code == SEE_DETAIL else text
        return {
            "errorCode": row.code,
            "errorMessage": message,
            "reason": self.reason,
            "detail": detail,
            **self.extra,
        }
