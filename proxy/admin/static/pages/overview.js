/** Overview: what the cache does, what it saves and how fast it is, now and over time. */

import { h, refill } from "../dom.js";
import { brief, bytes, count, duration, money, percent, rate, some } from "../format.js";
import { choice, heading, tile, troubleIn, waiting } from "../parts/bits.js";
import { spark } from "../parts/chart.js";
import { repeat } from "../stream.js";
import { sinceStart } from "./since.js";
import { over, sums, Trends } from "./trends.js";

export const title = "Overview";

const EVERY_MS = 5000;
const SPANS = [
  ["15m", "15 min"],
  ["1h", "1 h"],
  ["6h", "6 h"],
  ["24h", "24 h"],
];
const IN_WORDS = { "15m": "15 minutes", "1h": "hour", "6h": "6 hours", "24h": "24 hours" };

export function open(main, { api, reasons, signal, parameters }) {
  let span = Object.hasOwn(IN_WORDS, parameters.get("span")) ? parameters.get("span") : "1h";
  const view = new View();
  const standing = h("div");
  const failed = troubleIn(standing, refresh, signal);
  const body = h("div", { class: "stack" }, waiting());
  refill(
    main,
    heading(
      "Overview",
      choice("Span", SPANS, span, (chosen) => {
        span = chosen;
        history.replaceState(null, "", `#/overview?span=${span}`);
        refresh().catch(failed);
      }),
    ),
    standing,
    body,
  );

  async function refresh() {
    const asked = span;
    const [stats, past] = await Promise.all([
      api.get("/stats", {}, signal),
      api.get("/stats/history", { span }, signal),
      reasons.ready(),
    ]);
    if (signal.aborted || asked !== span) return;
    refill(standing);
    if (body.firstChild !== view.element) refill(body, view.element);
    view.show(stats, past, span, reasons);
  }

  repeat(refresh, EVERY_MS, { failed, signal });
}

class View {
  constructor() {
    const names = [
      "Hit ratio",
      "Requests",
      "Tokens saved",
      "Money saved",
      "Waiting saved",
      "A hit takes",
      "A miss takes",
      "Failures",
      "Event loop late by",
    ];
    this.tiles = names.map(tile);
    this.summary = h("p", { class: "summary" });
    this.trends = new Trends();
    this.rest = h("div", { class: "stack" });
    this.shown = "";
    this.element = h(
      "div",
      { class: "stack" },
      this.summary,
      h(
        "dl",
        { class: "tiles" },
        this.tiles.map((each) => each.element),
      ),
      this.trends.element,
      this.rest,
    );
  }

  show(stats, past, span, reasons) {
    const total = sums(past.points);
    this.sum(total, stats, span);
    this.count(total, stats, past);
    this.trends.show(past, stats.now);
    // Where somebody is reading a table, it is left as it is until its numbers change.
    const told = JSON.stringify([stats.by, stats.latency, stats.stages, stats.models, stats.splitters]);
    if (told !== this.shown && !this.rest.contains(document.activeElement)) {
      this.shown = told;
      refill(this.rest, sinceStart(stats, reasons));
    }
  }

  sum(total, stats, span) {
    const { currency } = stats.saved;
    if (stats.requests.total === 0) {
      return refill(
        this.summary,
        "No request has come yet. Point a client at the proxy: change its base URL, and nothing else.",
      );
    }
    if (total.requests === 0) return refill(this.summary, `No request came in the last ${IN_WORDS[span]}.`);
    const saved = [
      `${brief(total.input + total.output)} tokens`,
      total.money ? money(total.money, currency) : "",
      `${duration(total.seconds)} of waiting`,
    ].filter(Boolean);
    const last = saved.pop();
    const came = `In the last ${IN_WORDS[span]} ${some(total.requests, "request")} came`;
    if (total.ratio === null) return refill(this.summary, `${came}, none of which the cache could have answered.`);
    refill(
      this.summary,
      `${came}, and `,
      h("strong", percent(total.ratio)),
      ` of those that a cache can answer never reached the backend. That saved ${saved.join(", ")} and ${last}.`,
    );
  }

  count(total, stats, past) {
    const [ratio, requests, tokens, cash, time, hit, miss, failures, lag] = this.tiles;
    const ended = over(past.points, past.step_s, stats.now);
    const now = ended.at(-1);
    const ratios = ended.map((point) => sums([point]).ratio);
    ratio.show(
      percent(total.ratio),
      [h("span", `last 5 min: ${percent(stats.hit_ratio_recent)}`), spark(ratios)],
      "main",
    );
    requests.show(
      count(total.requests),
      `now ${rate(now ? now.requests / past.step_s : 0)}, ${bytes(total.bytes)} sent`,
    );
    tokens.show(brief(total.input + total.output), `${brief(total.input)} in, ${brief(total.output)} out`);
    const unpriced = stats.saved.unpriced;
    cash.show(
      money(total.money, stats.saved.currency),
      unpriced.length
        ? `without ${some(unpriced.length, "model")} that ${unpriced.length === 1 ? "has" : "have"} no price in savings.prices`
        : total.money === null
          ? "give prices in savings.prices"
          : "",
    );
    time.show(duration(total.seconds), "that the backend would have taken");
    for (const [place, what] of [
      [hit, "hit"],
      [miss, "miss"],
    ]) {
      const found = stats.latency.find((each) => each.what === what);
      place.show(duration(found?.p50_s), found ? `half of them; 99 % within ${duration(found.p99_s)}` : "none yet");
    }
    failures.show(
      count(total.failed),
      total.shed ? `${count(total.shed)} turned away` : "degraded, error or shed",
      total.failed ? "bad" : "",
    );
    lag.show(duration(stats.loop_lag.p99_s), `99 % of the time; at most ${duration(stats.loop_lag.max_s)}`);
  }
}
