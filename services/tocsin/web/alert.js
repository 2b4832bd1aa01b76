"use strict";

// One alert (`#/alerts/FINGERPRINT`, where the links of messages lead): what is the matter, what can be done about it, how
// it came to that, and who was told, and who was not, and why.
const SNOOZES = { "1 h": "1h", "8 h": "8h" };
const QUIET_BY = ["silenced", "inhibited", "outside hours", "acknowledged"];
const LATER = ["retrying", "rate limited"];
let shownAlert = "";  // its name, and what was answered of it

function wantedAlert() {
  const [, name] = location.hash.match(/^#\/alerts\/([^/?&]+)/) || [];
  try {
    return name ? decodeURIComponent(name) : "";
  } catch {
    return "";
  }
}

async function readAlert() {
  const name = wantedAlert();
  if (!name) return;
  if (!shownAlert.startsWith(`${name} `)) {  // no button of another one stays while this one is asked for
    byId("alert-known").hidden = true;
    byId("alert-name").textContent = shownAlert = "";
  }
  const answer = await call(`/alerts/${encodeURIComponent(name)}`);
  const text = await answer.text();
  if (name !== wantedAlert() || shownAlert === `${name} ${text}`) return;
  const found = JSON.parse(text);
  shownAlert = `${name} ${text}`;
  if (answer.ok) showAlert(found);
  else byId("alert-name").textContent = found.detail;
  byId("alert-known").hidden = !answer.ok;
}

function showAlert(found) {
  const { alert, timeline, explanation } = found;
  byId("alert-name").replaceChildren(...ranked(alert).childNodes, ` ${alert.rule_name}`);
  byId("alert-about").textContent = [alert.annotations.summary, alert.description].filter(Boolean).join(" ");
  byId("alert-where").replaceChildren(...placed(alert).childNodes);
  byId("alert-facts").replaceChildren(...facts(alert).map(([name, ...shown]) => {
    const line = make("p", `${name}: `);
    line.append(...shown);
    return line;
  }));
  byId("alert-acts").replaceChildren(...acts(alert));
  byId("alert-timeline").replaceChildren(...timeline.slice().reverse().map(happened));
  const told = entries(explanation);
  byId("alert-told").replaceChildren(...told.map(toldRow));
  byId("alert-told-table").hidden = told.length === 0;
  byId("alert-untold").hidden = told.length > 0;
}

function facts(alert) {
  const rule = make("a", alert.rule_id);
  rule.href = `#rule=${encodeURIComponent(alert.rule_id)}`;
  const found = [["Status", alert.status + (alert.drill ? " (a drill)" : "")], ["Since", local(alert.starts_at)]];
  if (alert.ends_at) found.push(["Until", local(alert.ends_at)]);
  if (alert.value !== null) found.push(["Value", ...valued(alert).childNodes]);
  found.push(["Rule", rule]);
  if (alert.quiet && alert.quiet.length) found.push(["Kept quiet", ...alert.quiet.map(hushed)]);
  const care = alert.acknowledged;
  if (care) found.push([care.snoozed ? "Snoozed by" : "Taken care of by", said(care)]);
  if (/^https?:\/\//.test(alert.runbook_url || "")) {
    const book = make("a", alert.runbook_url);
    book.href = alert.runbook_url;
    book.rel = "noreferrer noopener";
    found.push(["Runbook", book]);
  }
  return found;
}

const local = (text) => new Date(text).toLocaleString();

function said(care) {
  return [care.by, care.comment, care.until && `until ${local(care.until)}`].filter(Boolean).join(", ");
}

function acts(alert) {
  const path = `/alerts/${encodeURIComponent(alert.fingerprint)}`;
  const of = (label, name, body = {}) => act(label, (button) => send(button, `${path}/${name}`, body));
  const snoozes = Object.entries(SNOOZES).map(([label, duration]) => of(`Snooze ${label}`, "snooze", { duration }));
  if (alert.status === "firing") return [of("Acknowledge", "acknowledge"), ...snoozes, of("Resolve", "resolve")];
  if (alert.status === "acknowledged") return [of("Take back", "unacknowledge"), of("Resolve", "resolve")];
  return [];
}

function happened(event) {
  const line = make("tr");
  const care = event.type === "acknowledged" && event.acknowledged;
  const why = (care ? [event.reason, said(care)] : [event.reason, event.actor, event.comment]).filter(Boolean);
  line.append(make("td", local(event.updated_at)), make("td", event.type), ranked(event), valued(event));
  line.append(make("td", [...new Set(why)].join(", ")));
  return line;
}

function entries(explanation) {
  const found = explanation.receivers.flatMap((one) => one.entries.map((entry) => ({ ...entry, channel: one.channel })));
  const steps = ((explanation.escalation || {}).steps || []).filter((one) => one.outcome !== "sent");
  return [...found, ...steps].sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
}

function toldRow(entry) {
  const line = make("tr");
  const texts = [local(entry.at), entry.channel || "", (entry.event || {}).type || "", entry.outcome, because(entry)];
  line.append(...texts.map((text) => make("td", text)));
  return line;
}

function because(entry) {
  const parts = [entry.reason];
  if (QUIET_BY.includes(entry.outcome) && entry.by) parts.push(`by ${entry.by.join(", ")}`);
  if (entry.until) parts.push(`until ${local(entry.until)}`);
  if (entry.policy) parts.push(entry.step ? `step ${entry.step} of ${entry.policy}` : `by ${entry.policy}`);
  if (entry.people && entry.people.length) parts.push(`reached ${entry.people.join(", ")}`);
  if (entry.route) parts.push(`by route ${entry.route}`);
  const answered = [entry.status_code, entry.receipt, entry.detail].filter(Boolean);
  if (answered.length) parts.push(`answered ${answered.join(" ")}`);
  if (LATER.includes(entry.outcome) && entry.next_attempt_at) parts.push(`not before ${local(entry.next_attempt_at)}`);
  if (entry.attempts > 1) parts.push(`${entry.attempts} attempts`);
  return parts.filter(Boolean).join(", ");
}
