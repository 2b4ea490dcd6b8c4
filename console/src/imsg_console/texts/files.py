"""Files of rows that were chosen or dropped."""

from imsg_console.texts import Table

TEXTS: Table = {
    "empty": ("{name} 是空的。", "{name} is empty."),
    "encrypted": (
        "{name} 有打开密码。请在 Excel 或 WPS 里取消密码，再选择它。",
        "{name} opens with a password. Take the password off in Excel and choose it again.",
    ),
    "too_large": (
        "{name} 太大：最多 50,000 行、256 列。请分成几个文件，或删掉远处的空白格式。",
        "{name} is too large: at most 50,000 rows and 256 columns. Split it, or delete the formatted blanks far out.",
    ),
    "numbers": (
        "{name} 是 Numbers 表格。请在 Numbers 里选“文件 > 导出为 > Excel”，再选择导出的文件。",
        "{name} is a Numbers spreadsheet. Choose File > Export To > Excel in Numbers, and take that file.",
    ),
    "word": (
        "{name} 是 Word 文档。请把其中的表格复制后粘贴，或存成 Excel 工作簿。",
        "{name} is a Word document. Copy its table and paste it, or save it as an Excel workbook.",
    ),
    "broken": (
        "{name} 读不出来，可能已损坏，或不是表格。请在 Excel 或 WPS 里打开它，另存为 .xlsx，再选择。",
        "{name} can't be read: it is damaged or no spreadsheet. Open it in Excel, save it as .xlsx and choose that file.",
    ),
    "unreadable": (
        "{name} 读不出文字。请另存为 .xlsx，或 UTF-8、GBK 编码的 csv、txt。",
        "{name} can't be read as text. Save it as .xlsx, or as csv or txt in UTF-8 or GBK.",
    ),
    "wrong_kind": (
        "{name} 不是表格。可以用 Excel、WPS 的工作簿（.xlsx、.xls、.et、.ods），或 csv、txt。",
        "{name} is no spreadsheet. Take a workbook (.xlsx, .xls, .ods), csv or txt.",
    ),
    "over": ("{name} 超过 {most}，请分成几个文件。", "{name} is over {most}; split it."),
    "refused": ("{name} 不能用，请换一个文件。", "{name} can't be taken; choose another file."),
    "sheet": ("工作表", "Sheet"),
    "as_xlsx": ("Excel（.xlsx）", "Excel (.xlsx)"),
    "as_csv": ("CSV", "CSV"),
    "too_many_rows": (
        "超过 {n} 行，Excel 文件放不下。请加上筛选条件，或导出 CSV。",
        "There are more than {n} rows, too many for an Excel file. Filter them, or export CSV.",
    ),
}
