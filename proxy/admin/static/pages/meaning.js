/** Meaning: how answers to questions in other words fare, and what another threshold would serve. */

import { h, refill, s } from "../dom.js";
import { count, percent, score, short, some } from "../format.js";
import { card, empty, facts, field, heading, state, trouble, troubleIn, waiting } from "../parts/bits.js";
import { toast } from "../parts/dialog.js";
import { RequestEditor } from "../parts/request.js";
import { table } from "../parts/table.js";
import { repeat } from "../stream.js";

export const title = "Meaning";

const EVERY_MS = 10_000;
const LIMIT = 10;
const SETTLE_MS = 200; // after the slider has moved

export function open(main, { api, reasons, signal }) {
  const standing = h("div");
  const failed = troubleIn(standing, refresh, signal);
  const body = h("div", { class: "stack" }, waiting());
  const neighbours = new Neighbours(api, reasons, signal);
  const word = feedbackForm(api);
  const known = h("div", { class: "stack" });
  let last = "";
  let offered = null;
  refill(main, heading("Meaning"), standing, body);

  async function refresh() {
    offered ??= await api.offers("/semantic", signal);
    if (!offered) return refill(body, off());
    const [told] = await Promise.all([api.get("/semantic", {}, signal), reasons.ready()]);
    refill(standing);
    if (body.firstChild !== known) refill(body, known, neighbours.element, word);
    const now = JSON.stringify(told);
    if (now === last || known.contains(document.activeElement)) return;
    last = now;
    refill(known, strata(told), h("div", { class: "pair" }, embedder(told), outcomes(told, reasons)));
  }

  repeat(refresh, EVERY_MS, { failed, signal });
}

const off = () =>
  card(
    "Off",
    empty(
      "Questions in other words are not looked for.",
      "Set ",
      h("code", "semantic.enabled: true"),
      " and restart, and this page tells how often such answers are wrong.",
    ),
  );

function strata({ strata: found }) {
  if (!found.length)
    return card(
      "Measured errors",
      empty(
        "Nothing was measured yet.",
        "Some answers are compared with what the backend says to the same question. What comes of it shows here.",
      ),
    );
  const most = Math.max(0.02, ...found.map((each) => each.high));
  return card(
    "Measured errors",
    h(
      "p",
      { class: "hint" },
      "Wrong answers per hit, noise taken off. The bar is where the true share lies, 95 times in 100.",
    ),
    table(
      "Measured errors by kind of question",
      [
        ["Script", (row) => row.script, "name"],
        ["Model", (row) => row.family],
        ["Wrong", (row) => percent(row.error), "number"],
        ["Interval", (row) => interval(row, most)],
        ["Threshold", (row) => score(row.threshold), "number"],
        ["Labels", (row) => `${count(row.labels)} (worth ${count(row.effective)})`, "number wide"],
        ["Noise", (row) => percent(row.noise), "number wide"],
        ["Breaker", (row) => (row.open ? state("bad", "open: nothing is served") : state("good", "closed"))],
        ["Embedder", (row) => h("code", short(row.fingerprint)), "wide"],
      ],
      found,
    ),
  );
}

function interval({ low, high, error }, most) {
  const at = (value) => 2 + (Math.min(value, most) / most) * 96;
  return h(
    "span",
    { class: "interval" },
    s(
      "svg",
      { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("line", { class: "grid", x1: 0, x2: 100, y1: 6, y2: 6 }),
      s("rect", {
        class: "area degraded",
        x: at(low),
        y: 3,
        width: Math.max(1, at(high) - at(low)),
        height: 6,
        rx: 1,
      }),
      s("rect", { class: "mark", x: at(error) - 0.6, y: 0, width: 1.2, height: 12 }),
    ),
    h("span", `${percent(low)} to ${percent(high)}`),
  );
}

function embedder({ embedder: found, ready, not_learned: skipped, labels_unknown: unknown, bugs }) {
  const tests = Object.entries(found?.self_tests ?? {});
  return card(
    "Embedder",
    found
      ? facts([
          ["Name", h("code", found.name)],
          ["Standing", state(ready ? "good" : "odd", found.standing)],
          ["Too late", some(found.late, "time")],
          ["Failed", some(found.failed, "time")],
          ["Questions not learned", count(skipped)],
          ["Words on answers long gone", count(unknown)],
          bugs > 0 && ["Bugs", state("bad", `${count(bugs)}: see the log`)],
        ])
      : empty(
          "There is none.",
          "Only questions that are the same but for case, politeness and slips of the keyboard are found.",
        ),
    tests.length > 0 &&
      table(
        "Self tests by script",
        [
          ["Script", ([script]) => script, "name"],
          ["Can tell meanings apart", ([, test]) => (test.passed ? state("good", "yes") : state("bad", "no"))],
          ["Why", ([, test]) => test.why],
        ],
        tests,
        { hidden: false },
      ),
  );
}

function outcomes({ outcomes: found }, reasons) {
  const rows = Object.entries(found).sort(([, one], [, other]) => other - one);
  return card(
    "What became of each question",
    table(
      "What became of each question",
      [
        ["What", ([name]) => h("span", reasons.says(name), " ", h("code", { class: "quiet" }, name)), "name"],
        ["Questions", ([, number]) => count(number), "number"],
      ],
      rows,
      { none: "None was asked yet." },
    ),
  );
}

/** A question, those near it, and a slider for the threshold. */
class Neighbours {
  constructor(api, reasons, signal) {
    Object.assign(this, { api, reasons, signal, request: null, turn: 0, timer: null });
    this.editor = new RequestEditor("A question, as a request");
    this.result = h("div", { class: "stack", role: "region", "aria-label": "Neighbours", "aria-live": "polite" });
    this.slider = h("input", { type: "range", min: "0.5", max: "1", step: "0.005", value: "0.9" });
    this.shown = h("span", score(0.9)); // no output: the label would be for that
    this.choice = h(
      "label",
      { class: "field", hidden: true },
      h("span", "What if the threshold were ", this.shown),
      this.slider,
    );
    this.slider.addEventListener("input", () => {
      refill(this.shown, score(Number(this.slider.value)));
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(Number(this.slider.value)), SETTLE_MS);
    });
    const form = h(
      "form",
      { class: "stack" },
      this.editor.element,
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Find neighbours")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.request = this.editor.read();
      if (this.request) this.ask(null);
    });
    this.element = card("Neighbours of a question", form, this.choice, this.result);
  }

  async ask(threshold) {
    const turn = (this.turn += 1);
    if (!this.result.firstChild) refill(this.result, waiting());
    try {
      const told = await this.api.post(
        "/semantic/neighbours",
        { request: this.request, limit: LIMIT, threshold },
        this.signal,
      );
      if (turn === this.turn) this.show(told, threshold === null);
    } catch (error) {
      if (turn === this.turn && !this.signal.aborted) refill(this.result, trouble(error));
    }
  }

  show({ threshold, least, open, neighbours, says, served_at: served }, first) {
    this.choice.hidden = neighbours.length === 0;
    if (threshold === null) return refill(this.result, empty("No neighbours were looked for.", says));
    if (first) {
      this.slider.value = String(threshold);
      refill(this.shown, score(threshold));
    }
    const now = neighbours.filter((each) => each.would_serve).length;
    const steps = Object.entries(served ?? {}).sort(([one], [other]) => Number(one) - Number(other));
    refill(
      this.result,
      h(
        "p",
        open && state("bad", "the breaker is open: nothing is served"),
        ` With a threshold of ${score(threshold)}, ${now ? some(now, "neighbour") : "none"} would be served. Below ${score(least)} none is looked at.`,
      ),
      neighbours.length
        ? table(
            "Neighbours, nearest first",
            [
              ["Question", (row) => row.question ?? h("code", short(row.key)), "name"],
              ["Score", (row) => score(row.score), "number"],
              ["Would be served", (row) => (row.would_serve ? state("good", "yes") : state("off", "no"))],
              ["Why", (row) => (row.doubt ? this.reasons.says(row.doubt) : row.verdict)],
              [
                "~Its entry",
                (row) => row.key && h("a", { href: `#/entries?${new URLSearchParams({ key: row.key })}` }, "Entry"),
              ],
            ],
            neighbours,
          )
        : empty("There is none.", says),
      steps.length > 0 &&
        h(
          "details",
          h("summary", "How many each threshold would serve"),
          table(
            "Neighbours served, by threshold",
            [
              ["Threshold", ([at]) => at, "name"],
              ["Served", ([, number]) => count(number), "number"],
            ],
            steps,
          ),
        ),
    );
  }
}

function feedbackForm(api) {
  const match = field("X-Cache-Match of the answer", {
    name: "match",
    pattern: "[0-9a-f]{16}",
    required: true,
    placeholder: "16 hexadecimal digits",
    title: "16 hexadecimal digits",
  });
  const form = h(
    "form",
    { class: "row end" },
    match.element,
    h("button", { type: "submit", value: "wrong" }, "It was wrong"),
    h("button", { type: "submit", value: "right" }, "It was right"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const verdict = event.submitter?.value ?? "wrong";
    try {
      await api.post("/feedback", { match: match.input.value.trim(), verdict });
      toast(`Taken: the answer was ${verdict}.`);
      form.reset();
    } catch (error) {
      toast(error.message, true);
    }
  });
  return card(
    "Say whether an answer was right",
    h(
      "p",
      { class: "hint" },
      "Each answer to a question in other words has a name in its header ",
      h("code", "X-Cache-Match"),
      ".",
    ),
    form,
  );
}
