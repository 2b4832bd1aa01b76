"use strict";

// One rule (`#rule=ID`): what it asks for, which of its alerts were called false, and which milder settings would have
// been quiet. It says so, and sets nothing.
const WEEK_MS = 7 * DAY_MS;
const SHOWN = [
  "metric_type", "condition", "group_by", "window", "aggregation", "operator", "threshold", "levels", "anomaly", "baseline",
  "duration", "severity",
];
let opened = "";

const wanted = () => new URLSearchParams(location.hash.slice(1)).get("rule") || "";

function turn() {
  const id = wanted(), alert = wantedAlert();
  byId("board").hidden = id !== "" || alert !== "";
  byId("rule").hidden = id === "" || alert !== "";
  byId("alert").hidden = alert === "";
  if (id !== opened) open(id);
}

async function open(id) {
  opened = id;
  if (!id) return;
  byId("rule-name").textContent = id;
  for (const name of ["rule-about", "rule-settings", "suggest-state", "suggestion"]) byId(name).textContent = "";
  byId("marks").hidden = byId("outcomes").hidden = true;
  const path = encodeURIComponent(id);
  try {
    const [answer, said] = await Promise.all([call(`/rules/${path}`), falseOnes(id)]);
    const rule = await answer.json();
    if (id !== opened) return;
    if (!answer.ok) byId("rule-about").textContent = rule.detail;
    else showRule(rule, said);
  } catch (error) {
    byId("rule-about").textContent = `The API does not answer (${error.message}).`;
    opened = "";
  }
}

async function falseOnes(id) {
  const query = `rule_id=${encodeURIComponent(id)}&from=${Date.now() - WEEK_MS}&limit=500`;
  const pages = await Promise.all([call(`/alerts/history?type=acknowledged&${query}`), call(`/feedback?${query}`)]);
  const [events, feedback] = await Promise.all(pages.map(async (page) => (await page.json()).items));
  return [...latestWords(events, feedback).values()].filter((one) => one.verdict === "false_positive");
}

function showRule(rule, said) {
  byId("rule-name").textContent = rule.name || rule.id;
  byId("rule-about").textContent = rule.description;
  const settings = Object.fromEntries(SHOWN.filter((name) => !isEmpty(rule[name])).map((name) => [name, rule[name]]));
  byId("rule-settings").textContent = JSON.stringify(settings, null, 2);
  byId("marks").hidden = said.length === 0;
  byId("mark-rows").replaceChildren(...said.map((one) => {
    const labels = Object.entries(one.labels).map(([key, value]) => `${key}=${value}`).join(" ");
    return make("li", `${one.starts_at} ${labels}, said ${one.by}${one.comment ? `: ${one.comment}` : ""}`);
  }));
}

const isEmpty = (value) => value === null || value === undefined || (Array.isArray(value) && value.length === 0);

async function suggest() {
  const button = byId("suggest");
  const id = opened;
  button.disabled = true;
  byId("suggest-state").textContent = "reading the week, with each setting ...";
  try {
    const answer = await call(`/rules/${encodeURIComponent(id)}/suggestions?since=7d`);
    const found = await answer.json();
    if (id === opened) showSuggestions(answer.ok ? found : { candidates: [], detail: found.detail });
  } catch (error) {
    byId("suggest-state").textContent = `The API does not answer (${error.message}).`;
  }
  button.disabled = false;
}

function showSuggestions(found) {
  const chosen = JSON.stringify(found.suggestion);
  byId("suggest-state").textContent = found.detail || "";
  const rows = found.now ? [{ change: null, ...found.now }, ...found.candidates] : [];
  byId("outcomes").hidden = rows.length === 0;
  byId("outcome-rows").replaceChildren(...rows.map((one) => {
    const line = make("tr");
    const isChosen = one.change !== null && JSON.stringify(one.change) === chosen;
    line.append(make("td", one.change ? changeText(one.change) : "as it is"));
    for (const name of ["alerts", "false_positives", "other_alerts"]) line.append(make("td", number(one[name]), "number"));
    line.append(make("td", isChosen ? "suggested" : "", isChosen ? "chosen" : undefined));
    return line;
  }));
  byId("suggestion").textContent = found.suggestion
    ? "The rule stays as it is. To see the suggested settings beside it first, start a shadow: tocsin shadow start."
    : "";
}

function changeText(change) {
  return Object.entries(change).map(([name, value]) => {
    if (Array.isArray(value)) return `${name}: ${value.map((level) => `${level.severity} ${number(level.threshold)}`).join(", ")}`;
    if (typeof value === "object") return Object.entries(value).map(([key, inner]) => `${name}.${key}: ${inner}`).join(", ");
    return `${name}: ${value}`;
  }).join(", ");
}

byId("suggest").addEventListener("click", suggest);
addEventListener("hashchange", () => {
  turn();
  refresh();
});
