"use strict";

// The page itself holds no data: everything comes from the API with the token, and is written as text.
const REFRESH_MS = 2000;
const REFRESH_PAST_MS = 10000;
const DAY_MS = 86400000;
const KEY = "tocsin-token";
const SIGNS = { gt: ">", gte: "≥", lt: "<", lte: "≤", eq: "=", neq: "≠" };
const byId = (id) => document.getElementById(id);
let timer = 0;
let pastDue = 0;
let refused = "";  // why the last act was not taken; shown until the next one

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
  return length((Date.now() - Date.parse(text)) / 1000);
}

function length(exactly) {
  const seconds = Math.max(0, Math.round(exactly));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

const learns = (alert) => alert.expected !== null && alert.expected.score !== undefined;

function named(alert) {
  const name = make("td");
  const link = make("a", alert.rule_name);
  link.href = `#rule=${encodeURIComponent(alert.rule_id)}`;
  name.append(link);
  const summary = alert.annotations.summary || alert.description;
  if (summary) name.append(make("small", summary));
  return name;
}

function placed(alert) {
  const where = make("td");
  for (const [key, value] of Object.entries(alert.labels)) where.append(make("span", `${key}=${value}`, "label"));
  return where;
}

function valued(alert) {
  const value = make("td", `${number(alert.value)} ${alert.unit || ""}`.trim(), "number");
  if (learns(alert)) value.append(make("small", `expected ${number(alert.expected.lower)} to ${number(alert.expected.upper)}`));
  else if (alert.threshold !== null) value.append(make("small", `${SIGNS[alert.operator] || ""} ${number(alert.threshold)}`));
  return value;
}

function act(label, action) {
  const button = make("button", label, "small");
  button.type = "button";
  button.addEventListener("click", () => action(button));
  return button;
}

function row(alert) {
  const line = make("tr");
  const severity = make("td");
  severity.append(make("span", alert.severity, `severity ${alert.severity}`));
  const since = make("td", ago(alert.starts_at));
  since.title = alert.starts_at;
  const status = make("td", alert.status);
  if (alert.acknowledged) status.append(make("small", `by ${alert.acknowledged.by}`));
  const isFalse = alert.acknowledged && alert.acknowledged.reason === "false_positive";
  if (isFalse) status.append(make("small", "false positive"));
  const acts = make("td", undefined, "acts");
  const path = `/alerts/${encodeURIComponent(alert.fingerprint)}/acknowledge`;
  if (alert.status === "firing") acts.append(act("Acknowledge", (button) => send(button, path, {})));
  if (learns(alert) && alert.status !== "pending" && !isFalse) {
    acts.append(act("False positive", (button) => judge(button, path, { reason: "false_positive" })));
  }
  line.append(severity, status, named(alert), placed(alert), valued(alert), since, acts);
  return line;
}

const episode = (one) => `${one.fingerprint} ${one.starts_at}`;

function pastRow(alert, said) {
  const line = make("tr");
  const severity = make("td");
  severity.append(make("span", alert.severity, `severity ${alert.severity}`));
  const began = make("td", `${ago(alert.starts_at)} ago`);
  began.title = alert.starts_at;
  const acts = make("td", undefined, "acts");
  const path = `/alerts/${encodeURIComponent(alert.fingerprint)}/feedback`;
  const body = { starts_at: alert.starts_at };
  if (said && said.verdict === "false_positive") {
    acts.append(make("small", `false positive, said ${said.by}${said.comment ? `: ${said.comment}` : ""}`));
    acts.append(act("It was real", (button) => send(button, path, { ...body, verdict: "real" })));
  } else {
    acts.append(act("False positive", (button) => judge(button, path, { ...body, verdict: "false_positive" })));
  }
  line.append(severity, named(alert), placed(alert), valued(alert), began, make("td", lasted(alert)), acts);
  return line;
}

function lasted(alert) {
  return length((Date.parse(alert.ends_at) - Date.parse(alert.starts_at)) / 1000);
}

function latestWords(acknowledgements, feedback) {
  // Of an episode the latest word counts; an acknowledgement with a reason is one, too.
  const words = feedback.slice();
  for (const event of acknowledgements) {
    const { reason, by, at, comment } = event.acknowledged || {};
    if (reason === "false_positive") words.push({ ...event, verdict: reason, by, at, comment });
  }
  words.sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  return new Map(words.map((one) => [episode(one), one]));
}

function showPast(events, acknowledged, feedback) {
  const said = latestWords(acknowledged, feedback);
  // An alert that is over has the value with which it ended; what matters is that with which it began.
  const begun = new Map(events.filter((one) => one.type === "firing").map((one) => [episode(one), one]));
  const over = events.filter((one) => one.type === "resolved");
  const shown = over.map((one) => ({ ...(begun.get(episode(one)) || one), ends_at: one.ends_at })).filter(learns);
  byId("past").hidden = shown.length === 0;
  byId("past-rows").replaceChildren(...shown.map((one) => pastRow(one, said.get(episode(one)))));
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
  byId("active").hidden = page.items.length === 0;
  byId("empty").hidden = page.items.length > 0;
  byId("more").hidden = page.total <= page.items.length;
  byId("more").textContent = `The latest ${page.items.length} of ${page.total} active alerts.`;
  say(refused || `${page.total} active · ${new Date().toLocaleTimeString()}`, refused !== "");
}

async function call(path, options) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  return fetch(`/api/v1${path}`, { ...options, headers, cache: "no-store" });
}

async function refreshPast() {
  const from = Date.now() - DAY_MS;
  const paths = [
    `/alerts/history?type=firing,resolved&limit=500&from=${from}`,
    `/alerts/history?type=acknowledged&limit=500&from=${from}`,
    `/feedback?limit=500&from=${from}`,
  ];
  const answers = await Promise.all(paths.map((path) => call(path)));
  for (const answer of answers) if (!answer.ok) throw new Error(String(answer.status));
  const pages = await Promise.all(answers.map((answer) => answer.json()));
  showPast(...pages.map((page) => page.items));
  pastDue = Date.now() + REFRESH_PAST_MS;
}

async function send(button, path, body) {
  button.disabled = true;
  pastDue = 0;
  try {
    const answer = await call(path, { method: "POST", body: JSON.stringify(body) });
    refused = answer.ok ? "" : (await answer.json()).detail;
  } catch {
    // The next refresh says that the API does not answer.
  }
  refresh();
}

function judge(button, path, body) {
  const dialog = byId("judge");
  byId("judge-comment").value = "";
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue) send(button, path, { ...body, comment: byId("judge-comment").value.trim() });
    else refresh();
  };
  dialog.showModal();
}

function askForToken(text) {
  byId("board").hidden = byId("rule").hidden = true;
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
    show(await answer.json());
    if (Date.now() > pastDue) await refreshPast();
    turn();
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
