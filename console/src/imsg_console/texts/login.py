"""The log-in page."""

from imsg_console.texts import Table

TEXTS: Table = {
    "title": ("登录", "Log in"),
    "welcome": ("登录 iMSG", "Log in to iMSG"),
    "username": ("用户名", "Username"),
    "password": ("密码", "Password"),
    "show": ("显示密码", "Show the password"),
    "submit": ("登录", "Log in"),
    "missing": ("请填写用户名和密码。", "Enter a username and a password."),
    "no_such_user": (
        "用户名或密码不对。请检查大小写和输入法；忘了密码请管理员重置。",
        "The username or the password is wrong. Check capitals and the keyboard's language; if you forgot the password, an administrator can reset it.",
    ),
    "idle": (
        "{minutes}分钟没有操作，已自动退出。请重新登录，会回到刚才的页面。",
        "You were logged out after {minutes} minutes without activity. Log in to return to where you were.",
    ),
    "changed": ("密码已修改，请用新密码登录。", "The password was changed; log in with the new one."),
    "ended": (
        "登录已失效：密码被重置、账号被停用或删除，或在别处退出了全部登录。请重新登录。",
        "Your log-in has ended: the password was reset, the account was switched off or removed, or everything was logged out elsewhere. Log in again.",
    ),
    "expired": (
        "登录已到期，请重新登录，会回到刚才的页面。",
        "Your log-in has expired. Log in to return to where you were.",
    ),
    "elsewhere": (
        "您在别处选择了“在所有设备上退出”，这里也已退出。",
        "You were logged out everywhere from another browser.",
    ),
    "restarted": (
        "控制台重新启动过，登录没有保留。请重新登录，会回到刚才的页面；没有发出的草稿还在。",
        "The console was restarted and your log-in with it. Log in to return to where you were; a draft that was not sent is still there.",
    ),
    "first_log_in": (
        "要打开的页面需要先登录，登录后会直接打开。",
        "The page you asked for needs a log-in; it opens right after.",
    ),
    "left": ("已退出登录。", "You are logged out."),
    "left_everywhere": ("已在所有设备上退出登录。", "You are logged out everywhere."),
    "foreign": (
        "登录请求不是从这个页面发出的，已拒绝。请在这里重新登录。",
        "The log-in did not come from this page and was refused. Log in here.",
    ),
    "first": (
        "第一次使用？本机的管理员账号是 admin，密码 123。",
        "First time here? On this machine the administrator is admin with the password 123.",
    ),
    "docs": ("接口文档", "API documentation"),
}
