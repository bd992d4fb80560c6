/** The charts of the overview: what happened over a span, from /stats/history. */

import { h, refill } from "../dom.js";
import { brief, count, duration, percent, rate } from "../format.js";
import { Chart } from "../parts/chart.js";
import { label, OUTCOMES, tierName } from "../words.js";

/** What a span of points adds up to. */
export function sums(points) {
  const of = (name) => points.reduce((sum, point) => sum + (point[name] ?? 0), 0);
  const spared = of("hit") + of("stale") + of("coalesced");
  const all = spared + of("miss") + of("degraded") + of("error");
  return {
    requests: of("requests"),
    ratio: all ? spared / all : null,
    failed: of("degraded") + of("error") + of("shed"),
    shed: of("shed"),
    input: of("saved_input_tokens"),
    output: of("saved_output_tokens"),
    money: points.every((point) => point.saved_money === null) ? null : of("saved_money"),
    seconds: of("saved_s"),
    bytes: of("bytes"),
  };
}

/** The points whose time has ended by `now`. */
export function over(points, step, now) {
  return points.filter((point) => Date.parse(point.at) + step * 1000 <= Date.parse(now));
}

const FAILURES = ["degraded", "error", "shed"];

const named = (names) => names.map((name) => ({ name: label(name), colour: name }));

const column = (points, name) => points.map((point) => point[name]);

/** What is drawn: for each chart its numbers, from points that are so many seconds apart. */
function charts(tiers) {
  return [
    [
      new Chart("Requests a second, by outcome", named(OUTCOMES), { format: rate, stacked: true }),
      (points, step) => OUTCOMES.map((name) => column(points, name).map((number) => number / step)),
    ],
    [
      new Chart("Hit ratio", [{ name: "answered without the backend", colour: "hit" }], { format: percent, most: 1 }),
      (points) => [points.map((point) => sums([point]).ratio)],
    ],
    [
      new Chart(
        "Hits a second, by tier",
        tiers.map((tier, index) => ({ name: tierName(tier), colour: `tier${index % 5}` })),
        { format: rate, stacked: true },
      ),
      (points, step) => tiers.map((tier) => points.map((point) => (point.tiers[tier] ?? 0) / step)),
    ],
    [
      new Chart(
        "Latency",
        [
          { name: "half of the requests", colour: "hit" },
          { name: "99 %", colour: "degraded" },
          { name: "half of the backend's", colour: "miss", dashed: true },
        ],
        { format: duration, decades: true },
      ),
      (points) => ["p50_s", "p99_s", "upstream_p50_s"].map((name) => column(points, name)),
    ],
    [
      new Chart(
        "Tokens saved",
        [
          { name: "input", colour: "hit" },
          { name: "output", colour: "coalesced" },
        ],
        { format: brief, stacked: true },
      ),
      (points) => ["saved_input_tokens", "saved_output_tokens"].map((name) => column(points, name)),
    ],
    [
      new Chart("Failures", named(FAILURES), { format: count, stacked: true }),
      (points) => FAILURES.map((name) => column(points, name)),
    ],
  ];
}

/** All charts, which stay as they are while somebody reads them. */
export class Trends {
  constructor() {
    this.element = h("div", { class: "charts" });
    this.tiers = null;
    this.charts = [];
  }

  /** Draw the points that are over; the last one may have begun just now. */
  show({ points: all, step_s: step }, now) {
    const points = over(all, step, now);
    const tiers = [...new Set(points.flatMap((point) => Object.keys(point.tiers)))].sort();
    if (String(tiers) !== this.tiers) {
      this.tiers = String(tiers);
      this.charts = charts(tiers);
      refill(
        this.element,
        this.charts.map(([chart]) => chart.element),
      );
    }
    const at = points.map((point) => Date.parse(point.at));
    for (const [chart, values] of this.charts) {
      if (chart.index === null) chart.show(at, values(points, step));
    }
  }
}
