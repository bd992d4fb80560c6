/**
 * Charts over time: lines, or areas that stand on each other. Drawn as SVG to the width there is; a
 * crosshair follows the pointer and the arrow keys, and what it meets is told in words; all numbers are
 * also there as a table.
 */

import { fresh, h, refill, s } from "../dom.js";
import { clock, minute } from "../format.js";
import { decades, linear, logarithmic, nice } from "./scale.js";
import { table } from "./table.js";

const HEIGHT = 190;
const LEFT = 54;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;
const NARROW = 260;

/**
 * A chart of `series`: [{name, colour (a class), dashed?}]; `format` makes numbers into text. `decades`:
 * a height for each power of ten, for numbers that are far apart. `most`: the highest there can be.
 */
export class Chart {
  constructor(title, series, { format, stacked = false, decades: wide = false, most = null }) {
    Object.assign(this, {
      title,
      series,
      format,
      stacked,
      wide,
      most,
      at: [],
      values: series.map(() => []),
      index: null,
    });
    this.when = minute;
    const name = fresh("chart");
    this.plot = s("svg", { class: "plot", role: "img", tabindex: "0", "aria-labelledby": name });
    this.told = h("p", { class: "told", "aria-live": "polite" });
    this.numbers = h("details", h("summary", "As a table"));
    this.numbers.addEventListener("toggle", () => this.tell());
    this.legend = h(
      "ul",
      { class: "legend" },
      series.map((each) => h("li", h("span", { class: `swatch ${each.colour}`, "aria-hidden": "true" }), each.name)),
    );
    this.element = h(
      "section",
      { class: "card chart", "aria-labelledby": name },
      h("header", h("h2", { id: name }, title), this.legend),
      this.plot,
      h("footer", this.numbers, this.told),
    );
    this.listen();
  }

  listen() {
    const plot = this.plot;
    plot.addEventListener("pointermove", (event) => {
      const room = plot.getBoundingClientRect();
      const share = (event.clientX - room.left - LEFT) / Math.max(1, room.width - LEFT - RIGHT);
      this.point(Math.round(share * (this.at.length - 1)));
    });
    plot.addEventListener("pointerleave", () => this.point(null));
    plot.addEventListener("blur", () => this.point(null));
    plot.addEventListener("keydown", (event) => {
      const last = this.at.length - 1;
      const from = this.index ?? last + 1;
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, Escape: null }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.point(to);
    });
    new ResizeObserver(() => this.draw()).observe(plot);
  }

  /** Show `values`: for each series one number, or null, for each time in `at`. */
  show(at, values) {
    this.at = at;
    this.values = values;
    this.when = at.length > 1 && at[1] - at[0] < 60_000 ? clock : minute;
    if (this.stacked) [...this.legend.children].forEach((item, row) => (item.hidden = !values[row].some(Boolean)));
    this.index = null;
    this.draw();
    this.tell();
  }

  draw() {
    const width = Math.max(NARROW, this.plot.clientWidth || 600);
    const inner = width - LEFT - RIGHT;
    this.plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.x = (index) => LEFT + (this.at.length > 1 ? (index / (this.at.length - 1)) * inner : inner / 2);
    const tops = this.stacked ? stack(this.values, this.at.length) : this.values;
    const known = tops.flat().filter(Number.isFinite);
    const ticks = this.wide ? decades(known) : nice(this.most ?? Math.max(0, ...known));
    const share = (this.wide ? logarithmic : linear)(ticks);
    this.y = (value) => TOP + (1 - share(value)) * (HEIGHT - TOP - BOTTOM);
    this.cross = s("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    refill(
      this.plot,
      this.axes(ticks, width),
      this.stacked ? this.areas(tops) : this.lines(tops),
      this.cross,
      this.at.length === 0 &&
        s("text", { class: "quiet", x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "Nothing yet"),
    );
    this.point(this.index);
  }

  axes(ticks, width) {
    const lines = ticks.map((tick) => [
      s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: this.y(tick), y2: this.y(tick) }),
      s("text", { x: LEFT - 8, y: this.y(tick) + 4, "text-anchor": "end" }, this.format(tick)),
    ]);
    const many = Math.max(2, Math.floor(width / 130));
    const step = Math.max(1, Math.ceil((this.at.length - 1) / many));
    const times = [];
    for (let index = this.at.length - 1; index >= 0; index -= step) {
      const end = index === this.at.length - 1 ? "end" : "middle";
      if (this.x(index) > LEFT + 12)
        times.push(s("text", { x: this.x(index), y: HEIGHT - 6, "text-anchor": end }, this.when(this.at[index])));
    }
    return s("g", { class: "axes", "aria-hidden": "true" }, lines, times);
  }

  areas(tops) {
    return tops
      .map((top, row) => {
        const under = row ? tops[row - 1] : top.map(() => 0);
        const along = top.map((value, index) => `${this.x(index)},${this.y(value)}`);
        const back = under.map((value, index) => `${this.x(index)},${this.y(value)}`).reverse();
        return s("polygon", { class: `area ${this.series[row].colour}`, points: [...along, ...back].join(" ") });
      })
      .reverse();
  }

  lines(values) {
    return values.map((row, number) => {
      const { colour, dashed } = this.series[number];
      return runs(row).map((run) =>
        run.length === 1
          ? s("circle", { class: `dot ${colour}`, cx: this.x(run[0]), cy: this.y(row[run[0]]), r: 2 })
          : s("polyline", {
              class: `line ${colour}${dashed ? " dashed" : ""}`,
              points: run.map((index) => `${this.x(index)},${this.y(row[index])}`).join(" "),
            }),
      );
    });
  }

  /** Put the crosshair at a time, or away. */
  point(index) {
    const there = index !== null && this.at.length > 0;
    this.index = there ? Math.min(this.at.length - 1, Math.max(0, index)) : null;
    this.cross.setAttribute("visibility", there ? "visible" : "hidden");
    if (!there) return refill(this.told, "");
    const x = this.x(this.index);
    this.cross.setAttribute("x1", x);
    this.cross.setAttribute("x2", x);
    const parts = this.series
      .map((each, row) => [each, this.values[row][this.index]])
      .filter(([, value]) => value !== null && !(this.stacked && value === 0))
      .map(([each, value]) =>
        h(
          "span",
          h("span", { class: `swatch ${each.colour}`, "aria-hidden": "true" }),
          `${each.name} ${this.format(value)}`,
        ),
      );
    refill(this.told, h("span", this.when(this.at[this.index])), parts.length ? parts : h("span", "nothing"));
  }

  tell() {
    if (!this.numbers.open) return;
    const columns = [
      ["Time", (index) => this.when(this.at[index]), "name"],
      ...this.series.map((each, row) => [each.name, (index) => this.format(this.values[row][index]), "number"]),
    ];
    const newest = this.at.map((_, index) => index).reverse();
    refill(this.numbers, h("summary", "As a table"), table(this.title, columns, newest));
  }
}

/** Each row on top of those before it; what is not known counts nothing. */
function stack(values, length) {
  const below = new Array(length).fill(0);
  return values.map((row) => row.map((value, index) => (below[index] += value ?? 0)));
}

/** The indices of a row that are known, in unbroken runs. */
function runs(row) {
  const found = [];
  row.forEach((value, index) => {
    if (value === null || value === undefined) return;
    const last = found.at(-1);
    if (last && last.at(-1) === index - 1) last.push(index);
    else found.push([index]);
  });
  return found;
}

/** A small line without axes, for a tile. */
export function spark(values) {
  const points = values.map((value, index) => [index, value]).filter(([, value]) => value !== null);
  const most = Math.max(...points.map(([, value]) => value), 1e-9);
  const line = points.map(
    ([index, value]) => `${(index / Math.max(1, values.length - 1)) * 100},${24 - (value / most) * 22}`,
  );
  return s(
    "svg",
    { class: "spark", viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" },
    line.length > 1 && s("polyline", { class: "line hit", points: line.join(" ") }),
  );
}
