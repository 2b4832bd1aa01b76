"use strict";

// The page itself holds no data: everything comes from the API with the token, and is written as text.
const REFRESH_MS = 2000;
const REFRESH_PAST_MS = 10000;
const PATIENCE_MS = 90000;
const DAY_MS = 86400000;
const MOST_ENTRIES = 500;  // of one answer
const PAST_ENTRIES = 50;
const NAMES_ASKED = 100;  // fingerprints in one address
const KEY = "tocsin-token";
const SIGNS = { gt: ">", gte: "≥", lt: "<", lte: "≤", eq: "=", neq: "≠" };
const byId = (id) => document.getElementById(id);
let timer = 0;
let isRefreshing = false;
let isAskedAgain = false;
let pastDue = 0;
let pastShown = PAST_ENTRIES;
let feedback = [];  // what people said of the alerts that are shown
let refused = "";  // why the last act was not taken; shown until the next one
let missed = "";  // why it is not known what is over; shown until it is

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

function ranked(alert) {
  const severity = make("td");
  severity.append(make("span", alert.severity, `severity ${alert.severity}`));
  return severity;
}

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

function verdict(acts, alert, said) {
  const path = `/alerts/${encodeURIComponent(alert.fingerprint)}`;
  const judged = (verdict) => [`${path}/feedback`, { starts_at: alert.starts_at, verdict }];
  if (said && said.verdict === "false_positive") {
    acts.append(make("small", `false positive, said ${said.by}${said.comment ? `: ${said.comment}` : ""}`));
    acts.append(act("It was real", (button) => send(button, ...judged("real"))));
  } else {
    const fires = alert.status === "firing";
    const asked = fires ? [`${path}/acknowledge`, { reason: "false_positive" }] : judged("false_positive");
    acts.append(act("False positive", (button) => judge(button, ...asked)));
  }
}

function row(alert, said) {
  const line = make("tr");
  const since = make("td", ago(alert.starts_at));
  since.title = alert.starts_at;
  since.append(details(alert));
  const status = make("td", alert.status);
  if (alert.acknowledged) status.append(make("small", `by ${alert.acknowledged.by}`));
  status.append(...(alert.quiet || []).map(hushed));
  const acts = make("td", undefined, "acts");
  const path = `/alerts/${encodeURIComponent(alert.fingerprint)}/acknowledge`;
  if (alert.status === "firing") acts.append(act("Acknowledge", (button) => send(button, path, {})));
  if (learns(alert) && alert.status !== "pending") verdict(acts, alert, said);
  line.append(ranked(alert), status, named(alert), placed(alert), valued(alert), since, acts);
  return line;
}

// What keeps an alert quiet, and as its title by what, why and until when.
function hushed(quiet) {
  const mark = make("span", quiet.why, "hushed");
  const until = quiet.until && `until ${new Date(quiet.until).toLocaleString()}`;
  mark.title = [`by ${quiet.by.join(", ")}`, quiet.comment, until].filter(Boolean).join("\n");
  return mark;
}

const episode = (one) => `${one.fingerprint} ${one.starts_at}`;

function details(alert) {
  const link = make("a", "details");
  link.href = `#/alerts/${encodeURIComponent(alert.fingerprint)}`;
  const line = make("small");
  line.append(link);
  return line;
}

function pastRow(alert, said) {
  const line = make("tr");
  const began = make("td", `${ago(alert.starts_at)} ago`);
  began.title = alert.starts_at;
  began.append(details(alert));
  const acts = make("td", undefined, "acts");
  verdict(acts, alert, said);
  line.append(ranked(alert), named(alert), placed(alert), valued(alert), began, make("td", lasted(alert)), acts);
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

function showPast(over, events) {
  const said = latestWords(events, feedback);
  // An alert that is over has the value with which it ended; what matters is that with which it began.
  const begun = new Map(events.filter((one) => one.type === "firing").map((one) => [episode(one), one]));
  const shown = over.items.map((one) => {
    return { ...(begun.get(episode(one)) || one), status: one.status, ends_at: one.ends_at };
  });
  byId("past").hidden = shown.length === 0;
  byId("past-rows").replaceChildren(...shown.map((one) => pastRow(one, said.get(episode(one)))));
  byId("past-more").hidden = over.total <= shown.length;
  byId("past-count").textContent = `The latest ${shown.length} of ${over.total} that are over.`;
  byId("past-on").hidden = shown.length >= MOST_ENTRIES;
}

function show(page) {
  const said = latestWords(page.items, feedback);
  const counts = {};
  for (const alert of page.items) counts[alert.severity] = (counts[alert.severity] || 0) + 1;
  byId("counts").replaceChildren(...["critical", "error", "warning", "info"].filter((one) => counts[one]).map((one) => {
    const item = make("li", undefined, one);
    item.append(make("b", String(counts[one])), one);
    return item;
  }));
  byId("rows").replaceChildren(...page.items.map((one) => row(one, said.get(episode(one)))));
  byId("active").hidden = page.items.length === 0;
  byId("empty").hidden = page.items.length > 0;
  byId("more").hidden = page.total <= page.items.length;
  byId("more").textContent = `The latest ${page.items.length} of ${page.total} active alerts.`;
  const wrong = refused || missed;
  say(wrong || `${page.total} active · ${new Date().toLocaleTimeString()}`, wrong !== "");
}

async function call(path, options) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  return fetch(`/api/v1${path}`, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
}

async function read(path) {
  const answer = await call(path);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function readOf(alerts, path, more = "") {
  const names = [...new Set(alerts.map((one) => encodeURIComponent(one.fingerprint)))];
  const found = [];
  while (names.length) {
    const asked = names.splice(0, NAMES_ASKED).join(",");
    found.push(...(await read(`${path}?limit=${MOST_ENTRIES}&fingerprint=${asked}${more}`)).items);
  }
  return found;
}

async function refreshPast(active) {
  pastDue = Date.now() + REFRESH_PAST_MS;
  try {
    const from = Date.now() - DAY_MS;
    const over = await read(`/alerts/history?type=resolved&learns=true&limit=${pastShown}&from=${from}`);
    const begun = Math.min(...over.items.map((one) => Date.parse(one.starts_at)));
    const [events, words] = await Promise.all([
      readOf(over.items, "/alerts/history", `&type=firing,acknowledged&from=${begun}`),
      readOf([...over.items, ...active.filter(learns)], "/feedback"),
    ]);
    feedback = words;
    showPast(over, events);
    missed = "";
  } catch (error) {
    missed = `What is over cannot be read (${error.message}); trying again.`;
  }
}

async function send(button, path, body) {
  button.disabled = true;
  try {
    const answer = await call(path, { method: "POST", body: JSON.stringify(body) });
    refused = answer.ok ? "" : (await answer.json()).detail;
  } catch {
    // The next refresh says that the API does not answer.
  }
  button.disabled = false;
  pastDue = 0;
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
  byId("board").hidden = byId("rule").hidden = byId("alert").hidden = true;
  byId("login").hidden = false;
  byId("token").focus();
  say(text, text !== "");
}

// One at a time: an answer that was asked for earlier must not cover a later one. Whoever asks meanwhile gets another.
async function refresh() {
  clearTimeout(timer);
  isAskedAgain = isRefreshing;
  if (isRefreshing) return;
  isRefreshing = true;
  do {
    isAskedAgain = false;
    await readAll();
  } while (isAskedAgain);
  isRefreshing = false;
  if (sessionStorage.getItem(KEY)) timer = setTimeout(refresh, REFRESH_MS);
}

async function readAll() {
  if (!sessionStorage.getItem(KEY)) return askForToken("");
  try {
    const answer = await call("/alerts/active?limit=500");
    if (answer.status === 401) {
      sessionStorage.removeItem(KEY);
      return askForToken("This token is not accepted.");
    }
    if (!answer.ok) throw new Error(String(answer.status));
    byId("login").hidden = true;
    const page = await answer.json();
    show(page);
    turn();
    await readAlert();
    if (Date.now() > pastDue) {
      await refreshPast(page.items);
      show(page);
    }
  } catch (error) {
    say(`The API does not answer (${error.message}); trying again.`, true);
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("token").value.trim());
  byId("token").value = "";
  refresh();
});

byId("past-on").addEventListener("click", () => {
  pastShown = Math.min(pastShown + PAST_ENTRIES, MOST_ENTRIES);
  pastDue = 0;
  refresh();
});

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname);
}
refresh();
