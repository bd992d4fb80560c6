/** Live: each request as it ends, with its reason; in detail when chosen. */

import { h, refill } from "../dom.js";
import { bytes, clock, count, duration, moment, percent, rate, score, short, some } from "../format.js";
import { badge, card, empty, facts, field, heading, select, state } from "../parts/bits.js";
import { open as dialog, toast } from "../parts/dialog.js";
import { watch } from "../stream.js";
import { label, OUTCOMES, tierName } from "../words.js";

export const title = "Live";

const KEPT = 500; // requests
const SHOWN = 200;
const DRAW_MS = 250;
const TELL_MS = 8000; // between two words to a screen reader

export function open(main, { api, reasons, keys, signal, parameters }) {
  const list = new List(reasons, (record) => detail(record, api, reasons));
  const standing = h("div", { class: "row", role: "status" }, state("off", "Connecting"));
  const now = h("p", { class: "hint" });
  const stop = h("button", { type: "button", "aria-pressed": "false", on: { click: () => turn() } }, "Pause");
  const outcome = select(
    "Outcome",
    "outcome",
    [["", "All"], ...OUTCOMES.map((each) => [each, label(each)])],
    parameters.get("outcome") ?? "",
  );
  const model = field("Model", { name: "model", type: "search", value: parameters.get("model") });
  const path = field("Path begins with", { name: "path", type: "search", value: parameters.get("path") });
  const form = h(
    "form",
    {
      class: "filters",
      role: "search",
      "aria-label": "Filter",
      on: { submit: (event) => event.preventDefault(), input: filter },
    },
    outcome.element,
    model.element,
    path.element,
  );
  refill(main, heading("Live", standing, stop), form, now, card("Requests", list.element), list.told);
  filter();
  keys.here("p", "Pause and go on", turn);
  keys.here("/", "Filter", () => outcome.input.focus());

  function turn() {
    list.pause(list.frozen === null);
    stop.setAttribute("aria-pressed", String(list.frozen !== null));
  }

  function filter() {
    list.wanted = {
      outcome: outcome.input.value,
      model: model.input.value.trim().toLowerCase(),
      path: path.input.value.trim(),
    };
    list.draw();
  }

  function heard(event, data) {
    if (event === "request") list.add(data);
    else if (event === "stats")
      refill(
        now,
        `${known(data.requests_per_s) ? `${rate(data.requests_per_s)}, ` : ""}hit ratio of the last 5 minutes ${percent(data.hit_ratio_recent)}, ${some(data.in_progress, "request")} under way, event loop late by ${duration(data.loop_lag_p99_s)}`,
      );
    else if (event === "dropped") list.drop(data.count);
  }

  const kinds = { open: ["good", "Live"], away: ["off", "Not watching"], lost: ["bad", "Lost"] };
  watch(api, "/live", () => ({ last: list.newest === null ? 50 : KEPT }), {
    signal,
    heard,
    standing: (kind, why) => refill(standing, state(...kinds[kind]), why && h("span", { class: "hint" }, why)),
  });
  reasons.ready().then(() => list.redraw());
  const timer = setInterval(() => list.tell(), TELL_MS);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    list.close();
  });
}

const known = (value) => value !== null && value !== undefined;
const requests = (records) => records.reduce((sum, { repeats }) => sum + 1 + (repeats ?? 0), 0);

/** The newest requests, newest first. */
class List {
  constructor(reasons, choose) {
    Object.assign(this, {
      reasons,
      choose,
      records: [],
      newest: null,
      wanted: {},
      frozen: null,
      since: 0,
      timer: null,
      fresh: [],
      missed: 0,
    });
    this.body = h("tbody");
    this.note = h("p", { class: "hint" });
    this.none = h("div", { class: "none" });
    this.told = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
    this.body.addEventListener("keydown", (event) => this.walk(event));
    const head = ["Time", "Outcome", "Why", "Model", "Path", "Took"].map((each) =>
      h("th", { scope: "col", class: { Model: "wide", Path: "wide", Took: "number" }[each] }, each),
    );
    this.element = [
      this.note,
      h(
        "div",
        { class: "scroll", role: "group", "aria-label": "Requests", tabindex: "0" },
        h(
          "table",
          { class: "live" },
          h("caption", { class: "unseen" }, "The newest requests, newest first"),
          h("thead", h("tr", head)),
          this.body,
        ),
      ),
      this.none,
    ];
  }

  add(record) {
    // A stream that begins again tells some of them once more; a proxy that was restarted counts anew.
    if (
      this.newest !== null &&
      record.seq <= this.newest &&
      this.records.some((each) => each.seq === record.seq && each.at === record.at)
    )
      return;
    this.newest = record.seq;
    this.records.unshift(record);
    this.records.length = Math.min(this.records.length, KEPT);
    this.fresh.push(record);
    if (this.fresh.length > KEPT) this.fresh.shift();
    this.since += requests([record]);
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.draw();
    }, DRAW_MS);
  }

  /** Show no more than there is now, or all again. */
  pause(paused) {
    this.frozen = paused ? [...this.records] : null;
    this.since = 0;
    this.draw();
  }

  drop(number) {
    this.missed += number;
    this.draw();
  }

  fits(record) {
    const { outcome, model, path } = this.wanted;
    return (
      (!outcome || record.outcome === outcome) &&
      (!model || (record.model ?? "").toLowerCase().includes(model)) &&
      (!path || record.path.startsWith(path))
    );
  }

  redraw() {
    this.body.replaceChildren();
    this.draw();
  }

  draw() {
    const source = this.frozen ?? this.records;
    const found = source.filter((record) => this.fits(record));
    const rows = new Map([...this.body.children].map((row) => [row.record, row]));
    const wanted = found.slice(0, SHOWN);
    const kept = new Set(wanted);
    for (const [record, row] of rows) if (!kept.has(record)) row.remove();
    // Rows stay where they are, so that the one in focus keeps it; new ones are put in between.
    wanted.forEach((record, index) => {
      const row = rows.get(record) ?? this.row(record);
      if (this.body.children[index] !== row) this.body.insertBefore(row, this.body.children[index] ?? null);
    });
    const missed = this.missed ? ` ${some(this.missed, "request")} could not be shown: they came too fast.` : "";
    const since = this.frozen ? ` Paused: ${some(this.since, "request")} came since.` : "";
    refill(
      this.note,
      `${some(requests(found), "request")} of the latest ${count(requests(source))}.${missed}${since}`,
    );
    refill(
      this.none,
      found.length
        ? null
        : source.length
          ? empty("None of the latest requests fits.", "Clear the filter to see all.")
          : empty("No request has come yet.", "Send one to the proxy and it shows here as soon as it is over."),
    );
  }

  row(record) {
    const { outcome, reason, model, method, path, repeats } = record;
    const button = h("button", { type: "button", class: "link", "aria-haspopup": "dialog" }, clock(record.at));
    const row = h(
      "tr",
      { on: { click: () => this.choose(record) } },
      h("td", button),
      h("td", badge(outcome)),
      h(
        "td",
        { class: "why" },
        this.reasons.says(reason),
        record.detail && h("code", { class: "quiet" }, ` ${record.detail}`),
        repeats > 0 && h("span", { class: "quiet" }, ` ${count(repeats + 1)} times`),
      ),
      h("td", { class: "wide" }, model),
      h("td", { class: "wide path" }, `${method} ${path}`),
      h("td", { class: "number" }, duration(record.duration_s)),
    );
    row.record = record;
    return row;
  }

  walk(event) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const next = step && event.target.closest("tr")?.[step]?.querySelector("button");
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  /** Say what came since the last time, in one sentence: a word for each would never end. */
  tell() {
    const found = this.fresh.filter((record) => this.fits(record));
    if (this.frozen || !found.length) return;
    this.fresh = [];
    const by = OUTCOMES.map((each) => [each, requests(found.filter((record) => record.outcome === each))]).filter(
      ([, number]) => number,
    );
    refill(
      this.told,
      `${some(requests(found), "new request")}: ${by.map(([each, number]) => `${number} ${label(each)}`).join(", ")}`,
    );
  }

  close() {
    clearTimeout(this.timer);
  }
}

const STAGES = [
  ["read_s", "its body came"],
  ["key_s", "understood, key made"],
  ["lookup_s", "tiers asked"],
  ["meaning_s", "looked for in other words"],
  ["flight_s", "waited for the backend"],
  ["deliver_s", "answer sent"],
];

function detail(record, api, reasons) {
  const advice = reasons.advice(record.reason);
  const content = [
    h("p", badge(record.outcome), " ", reasons.says(record.reason)),
    record.detail && h("p", reasons.says(record.detail)),
    advice && h("p", { class: "notice" }, advice),
    facts([
      ["When", moment(record.at)],
      ["Request", h("code", `${record.method} ${record.path}`)],
      record.repeats > 0 && ["Came", `${count(record.repeats + 1)} times in a second, equal to the byte`],
      [
        "Answer",
        `${record.status}, ${bytes(record.bytes)}${record.complete ? "" : `, broken off${record.error ? ` (${record.error})` : ""}`}`,
      ],
      ["Model", record.model],
      ["Dialect", record.dialect],
      ["Tier", record.tier && tierName(record.tier)],
      ["Age", duration(record.age_s)],
      ["Fresh for", duration(record.ttl_s)],
      ["Stored", !known(record.stored) ? null : record.stored ? "yes" : "no"],
      [
        "Tokens",
        !known(record.input_tokens) ? null : `${count(record.input_tokens)} in, ${count(record.output_tokens)} out`,
      ],
      known(record.similarity) && ["Similarity", score(record.similarity)],
      record.doubt && ["Why not by meaning", reasons.says(record.doubt)],
      record.variant > 0 && ["Variant", count(record.variant)],
      ["Scope", h("code", short(record.scope))],
    ]),
    stages(record),
    h(
      "div",
      { class: "buttons" },
      record.key &&
        h(
          "a",
          { class: "button", href: `#/entries?${new URLSearchParams({ key: record.key })}`, on: { click: gone } },
          "Its entry",
        ),
      h(
        "a",
        { class: "button", href: `#/explain?${new URLSearchParams({ path: record.path })}`, on: { click: gone } },
        "Explain such a request",
      ),
    ),
    record.match && feedback(record.match, api),
  ];
  dialog({ title: `${label(record.outcome)} at ${clock(record.at)}`, content, kind: "drawer" });
}

const gone = (event) => event.target.closest("dialog").close();

function stages(record) {
  const total = Math.max(record.duration_s, 1e-9);
  const rows = STAGES.map(([name, says]) => [says, record.stages[name]]).filter(([, took]) => took > 0);
  if (!rows.length) return null;
  return h(
    "section",
    h("h3", "Where the time went"),
    h(
      "ol",
      { class: "stages" },
      rows.map(([says, took]) => {
        const bar = h("span", { class: "bar", "aria-hidden": "true" });
        bar.style.inlineSize = `${Math.max(1, Math.min(100, (took / total) * 100))}%`;
        return h("li", h("span", says), h("span", { class: "number" }, duration(took)), bar);
      }),
    ),
    h("p", { class: "hint" }, `${duration(record.duration_s)} in all`),
  );
}

/** Buttons to say whether an answer to a question in other words was right. */
export function feedback(match, api) {
  const say = async (verdict) => {
    try {
      await api.post("/feedback", { match, verdict });
      refill(place, h("p", `Taken: it was ${verdict}.`));
    } catch (error) {
      toast(error.message, true);
    }
  };
  const place = h(
    "div",
    { class: "row", role: "status" },
    h("span", "Answered by meaning. Was it right?"),
    h("button", { type: "button", on: { click: () => say("right") } }, "Right"),
    h("button", { type: "button", on: { click: () => say("wrong") } }, "Wrong"),
  );
  return place;
}
