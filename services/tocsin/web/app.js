"use strict";

// The page itself holds no data: everything comes from the API with the token, and is written as text.
const REFRESH_MS = 2000;
const KEY = "tocsin-token";
const SIGNS = { gt: ">", gte: "≥", lt: "<", lte: "≤", eq: "=", neq: "≠" };
const byId = (id) => document.getElementById(id);
let timer = 0;

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function say(text, bad) {
  byId("state").textContent = text;
  byId("state").className = bad ? "bad" : "";
}

function number(value) {
  return value === null || value === undefined ? "" : Number(value).toLocaleString("en", { maximumSignificantDigits: 6 });
}

function ago(text) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(text)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

function row(alert) {
  const line = make("tr");
  const severity = make("td");
  severity.append(make("span", alert.severity, `severity ${alert.severity}`));
  const name = make("td", alert.rule_name);
  const summary = alert.annotations.summary || alert.description;
  if (summary) name.append(make("small", summary));
  const where = make("td");
  for (const [key, value] of Object.entries(alert.labels)) where.append(make("span", `${key}=${value}`, "label"));
  const value = make("td", `${number(alert.value)} ${alert.unit || ""}`.trim(), "number");
  if (alert.threshold !== null) value.append(make("small", `${SIGNS[alert.operator] || ""} ${number(alert.threshold)}`));
  const since = make("td", ago(alert.starts_at));
  since.title = alert.starts_at;
  const status = make("td", alert.status);
  if (alert.acknowledged) status.append(make("small", `by ${alert.acknowledged.by}`));
  const act = make("td");
  if (alert.status === "firing") {
    const button = make("button", "Acknowledge", "small");
    button.type = "button";
    button.addEventListener("click", () => acknowledge(alert.fingerprint, button));
    act.append(button);
  }
  line.append(severity, status, name, where, value, since, act);
  return line;
}

function show(page) {
  const counts = {};
  for (const alert of page.items) counts[alert.severity] = (counts[alert.severity] || 0) + 1;
  byId("counts").replaceChildren(...["critical", "error", "warning", "info"].filter((one) => counts[one]).map((one) => {
    const item = make("li", undefined, one);
    item.append(make("b", String(counts[one])), one);
    return item;
  }));
  byId("rows").replaceChildren(...page.items.map(row));
  document.querySelector("table").hidden = page.items.length === 0;
  document.querySelector(".wide").hidden = page.items.length === 0;
  byId("empty").hidden = page.items.length > 0;
  byId("more").hidden = page.total <= page.items.length;
  byId("more").textContent = `The latest ${page.items.length} of ${page.total} active alerts.`;
  say(`${page.total} active · ${new Date().toLocaleTimeString()}`);
}

async function call(path, options) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  return fetch(`/api/v1${path}`, { ...options, headers, cache: "no-store" });
}

async function acknowledge(fingerprint, button) {
  button.disabled = true;
  try {
    await call(`/alerts/${encodeURIComponent(fingerprint)}/acknowledge`, { method: "POST", body: "{}" });
  } catch {
    // The next refresh says that the API does not answer.
  }
  refresh();
}

function askForToken(text) {
  byId("board").hidden = true;
  byId("login").hidden = false;
  byId("token").focus();
  say(text, text !== "");
}

async function refresh() {
  clearTimeout(timer);
  if (!sessionStorage.getItem(KEY)) return askForToken("");
  try {
    const answer = await call("/alerts/active?limit=500");
    if (answer.status === 401) {
      sessionStorage.removeItem(KEY);
      return askForToken("This token is not accepted.");
    }
    if (!answer.ok) throw new Error(String(answer.status));
    byId("login").hidden = true;
    byId("board").hidden = false;
    show(await answer.json());
  } catch (error) {
    say(`The API does not answer (${error.message}); trying again.`, true);
  }
  timer = setTimeout(refresh, REFRESH_MS);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("token").value.trim());
  byId("token").value = "";
  refresh();
});

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname);
}
refresh();
