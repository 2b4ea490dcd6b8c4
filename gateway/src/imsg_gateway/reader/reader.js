// Starts Swagger UI on the interface of this very server, in the language of the page.
"use strict";

const language = document.documentElement.lang;

// Swagger UI speaks English only; what stands alone in an element or a hint is put into Chinese here.
const ZH = {
  "Authorize": "填写密钥或 token", "Available authorizations": "填写密钥或 token", "Authorized": "已填写", "Close": "关闭", "Logout": "清除",
  "Value:": "值：", "Name: ": "名称：", "Name:": "名称：", "In: ": "位置：", "In:": "位置：", "query": "查询串", "header": "请求头", "path": "路径",
  "Try it out": "试一试", "Cancel": "取消", "Reset": "还原", "Execute": "发送请求", "Clear": "清空", "Loading...": "加载中…", "LOADING": "加载中…",
  "Parameters": "参数", "No parameters": "没有参数", "Name": "名称", "Description": "说明", "Request body": "请求体", "required": "必填",
  "Examples:": "示例：", "Examples": "示例", "Example Value": "示例值", "Example:": "示例：", "Example Description": "示例说明", "Schema": "类型", "Edit Value": "编辑", "Schemas": "数据类型",
  "Responses": "返回", "Server response": "服务器的返回", "Code": "状态码", "Details": "详情", "Links": "链接", "No links": "没有链接",
  "Response body": "返回体", "Response headers": "返回头", "Request URL": "请求地址", "Request duration": "用时", "Curl": "curl 命令",
  "Media type": "媒体类型", "Controls ": "决定请求头 ", " header.": "。", "Headers:": "返回头：", "Type": "类型", "Servers": "服务器",
  "Download": "下载", "Send empty value": "发送空值", "Expand all": "全部展开", "Collapse all": "全部收起", "Expand operation": "展开",
  "Copy to clipboard": "复制", "Filter by tag": "按章节筛选", "No operations defined in spec!": "没有接口。",
};

function translate(root) {
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = root; node; node = walk.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) {
      const found = ZH[node.data] ?? ZH[node.data.trim()];
      // Not in what was sent or answered: a value there is nobody's label.
      if (found !== undefined && !node.parentElement?.closest("pre, code, textarea, option")) node.data = found;
    } else {
      for (const name of ["placeholder", "title", "aria-label"]) {
        const found = ZH[node.getAttribute(name)];
        if (found !== undefined) node.setAttribute(name, found);
      }
    }
  }
}

const NAMES = language === "zh"
  ? { about: "说明", servers: "服务器", filter: "按章节筛选", examples: "示例" }
  : { about: "About", servers: "Servers", filter: "Filter by tag", examples: "Examples" };

// Swagger UI's own markup, mended where axe-core finds fault with it: selector → attributes.
const MENDED = {
  ".information-container": { role: "region", "aria-label": NAMES.about },
  ".schemes-server-container": { role: "region", "aria-label": NAMES.servers },
  "section.filter": { "aria-label": NAMES.filter },
  "select#servers": { "aria-label": NAMES.servers },
  "select.examples-select-element": { "aria-label": NAMES.examples },
  // Headings go down by one level at a time: title, chapters and types, what is in an operation.
  "h3.opblock-tag": { "aria-level": "2" },
  ".models > h4": { "aria-level": "2" },
  ".opblock h4": { "aria-level": "3" },
  ".opblock h5": { "aria-level": "4" },
};

function mend(root) {
  const find = (selector) => [...(root.matches?.(selector) ? [root] : []), ...(root.querySelectorAll?.(selector) ?? [])];
  for (const [selector, attributes] of Object.entries(MENDED)) {
    for (const element of find(selector)) {
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    }
  }
  // A link within the button that opens an operation: the button does the same, and the address follows it.
  for (const link of find(".opblock-summary-control a[href]")) link.removeAttribute("href");
}

new MutationObserver((changes) => {
  for (const change of changes) {
    if (language === "zh" && change.type === "characterData") translate(change.target);
    for (const node of change.addedNodes) {
      if (node.nodeType === Node.COMMENT_NODE) continue;
      if (language === "zh") translate(node);
      mend(node);
    }
  }
}).observe(document.getElementById("reader"), { childList: true, characterData: true, subtree: true });

fetch(`/openapi.json?lang=${language}`).then((answer) => answer.json()).then((spec) => {
  if (!spec.paths) throw new Error(spec.detail);
  // A request that is tried goes where the page came from, whatever this server is called elsewhere.
  spec.servers = [{ url: "/" }];
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#reader",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    filter: true,
    validatorUrl: null,
    // A token that a log-in brings is filled in for the requests that follow.
    responseInterceptor: (answer) => {
      if (/\/api\/(v2\/)?login$/.test(answer.url) && answer.body?.token) ui.preauthorizeApiKey("bearer", answer.body.token);
      return answer;
    },
  });
}).catch((error) => { document.getElementById("reader").textContent = String(error.message || error); });
