/** What the overview tells of all requests since the start: why, how fast, for which models. */

import { h } from "../dom.js";
import { brief, count, duration, moment, money, percent, some } from "../format.js";
import { badge, card, empty, notice } from "../parts/bits.js";
import { table } from "../parts/table.js";
import { label, SPARED } from "../words.js";

const MOST_REASONS = 12;

/** All of it, from /stats. */
export const sinceStart = (stats, reasons) => [
  splitters(stats),
  why(stats, reasons),
  h("div", { class: "pair" }, latency(stats), stages(stats)),
  models(stats),
];

function splitters({ splitters: found }) {
  if (!found.length) return null;
  return notice(
    h("h2", "Headers that split the cache"),
    h(
      "p",
      "These request headers differ where the body is the same, so each value has answers of its own. If the backend does not answer by them, name them in ",
      h("code", "cache.inert_headers"),
      ".",
    ),
    table(
      "Headers that split the cache",
      [
        ["Header", (row) => h("code", row.header), "name"],
        ["Values", (row) => count(row.values), "number"],
        ["Different bodies", (row) => count(row.bodies), "number"],
      ],
      found,
    ),
  );
}

function why({ by, requests }, reasons) {
  const found = new Map();
  for (const each of by) {
    const name = `${each.outcome} ${each.reason}`;
    const sum = found.get(name) ?? { ...each, requests: 0 };
    sum.requests += each.requests;
    found.set(name, sum);
  }
  const rows = [...found.values()].sort((one, other) => other.requests - one.requests).slice(0, MOST_REASONS);
  if (!rows.length)
    return card("Why", empty("Nothing was decided yet.", "Each request is counted here with its reason."));
  return card(
    "Why",
    table(
      "Requests by reason, since the start",
      [
        ["Outcome", (row) => badge(row.outcome)],
        [
          "Reason",
          (row) => h("span", reasons.says(row.reason), " ", h("code", { class: "quiet" }, row.reason)),
          "name",
        ],
        ["What to do", (row) => reasons.advice(row.reason), "wide"],
        ["Requests", (row) => count(row.requests), "number"],
        ["Share", (row) => percent(row.requests / requests.total), "number"],
      ],
      rows,
    ),
  );
}

const times = [
  ["Half", (row) => duration(row.p50_s), "number"],
  ["90 %", (row) => duration(row.p90_s), "number"],
  ["99 %", (row) => duration(row.p99_s), "number"],
];

function latency(stats) {
  return card(
    "Latency by outcome",
    table(
      "Latency by outcome, since the start",
      [
        ["Outcome", (row) => badge(row.what), "name"],
        ["Requests", (row) => count(row.count), "number"],
        ...times,
        ["Longest", (row) => duration(row.max_s), "number"],
      ],
      stats.latency.filter((row) => row.count),
    ),
  );
}

const STAGES = {
  read: "read the request",
  key: "understand it, make its key",
  lookup: "ask the tiers",
  meaning: "look for the question in other words",
  flight: "wait for the backend to begin",
  deliver: "send the answer",
};

function stages(stats) {
  const rows = stats.stages.filter((row) => row.count && (SPARED.has(row.outcome) || row.outcome === "miss"));
  return card(
    "Where the time goes",
    table(
      "Time by stage, since the start",
      [
        ["Stage", (row) => STAGES[row.stage] ?? row.stage, "name"],
        ["Of a", (row) => label(row.outcome).toLowerCase()],
        ...times,
      ],
      rows,
    ),
  );
}

function models({ models: found, saved, spent, started_at: since }) {
  const rows = [...found].sort((one, other) => other.requests - one.requests);
  const of = (row) =>
    `${money(row.saved.money, saved.currency)} of ${money(add(row.saved.money, row.spent.money), saved.currency)}`;
  return card(
    "Models",
    h(
      "p",
      { class: "hint" },
      `Since ${moment(since)}: ${some(saved.calls, "call")} spared, ${count(spent.calls)} made.`,
    ),
    table(
      "Savings by model",
      [
        ["Model", (row) => row.model, "name"],
        ["Requests", (row) => count(row.requests), "number"],
        ["Hits", (row) => count(row.hits), "number"],
        ["Tokens saved", (row) => brief(row.saved.input_tokens + row.saved.output_tokens), "number"],
        ["Tokens spent", (row) => brief(row.spent.input_tokens + row.spent.output_tokens), "number wide"],
        ["Money saved", of, "number"],
      ],
      rows,
    ),
  );
}

const add = (one, other) => (one === null || other === null ? null : one + other);
