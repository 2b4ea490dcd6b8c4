"""Change one's own password."""

from imsg_console.texts import Table

TEXTS: Table = {
    "title": ("修改密码", "Change password"),
    "lead": (
        "修改后，其他浏览器会退出登录，使用旧token的程序要用新密码重新登录；这个浏览器保持登录。",
        "Other browsers are logged out then, and programs must log in anew with the new password; this browser stays logged in.",
    ),
    "old": ("当前密码", "Current password"),
    "new": ("新密码", "New password"),
    "again": ("再输一次新密码", "New password again"),
    "new_hint": ("6到256个字符", "6 to 256 characters"),
    "show": ("显示密码", "Show the passwords"),
    "submit": ("修改密码", "Change the password"),
    "done": (
        "密码已修改。其他浏览器已退出，旧token已失效。",
        "The password is changed. Other browsers are logged out, and old tokens have ended.",
    ),
    "old_missing": ("请输入当前密码。", "Enter the current password."),
    "old_wrong": ("当前密码不对。", "This is not the current password."),
    "new_short": ("新密码至少6个字符。", "The new password must have at least 6 characters."),
    "new_long": ("新密码最多256个字符。", "The new password may have at most 256 characters."),
    "new_same": ("新密码和当前密码相同。", "The new password is the current one."),
    "again_differs": ("两次输入的新密码不同。", "The two entries of the new password differ."),
    "everywhere": ("在所有设备上退出", "Log out everywhere"),
    "everywhere_what": (
        "怀疑别人在用你的账号？先修改密码；也可以只让所有浏览器和token立即失效。",
        "Is somebody else using your account? Change the password; or end every browser's log-in and every token at once.",
    ),
}
