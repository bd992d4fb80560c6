/** Explain: what would become of a request, and why; and where two requests differ. */

import { h, refill } from "../dom.js";
import { count, duration, score, short } from "../format.js";
import { badge, card, empty, facts, heading, state, trouble, waiting } from "../parts/bits.js";
import { RequestEditor } from "../parts/request.js";
import { table } from "../parts/table.js";
import { tierName } from "../words.js";

export const title = "Explain";

const ANSWERS = {
  hit: "good",
  stale: "odd",
  negative: "odd",
  absent: "off",
  purged: "off",
  distrusted: "bad",
  error: "bad",
};

export function open(main, { api, reasons, signal, parameters }) {
  const path = parameters.get("path") ?? "";
  const one = new RequestEditor("The request", path);
  const other = new RequestEditor("Another, to compare it with", path);
  const second = h("details", h("summary", "Compare with another request"), other.element);
  const result = h(
    "div",
    { class: "stack", "aria-live": "polite" },
    empty("Nothing is asked yet.", "Paste a request above. The backend is not asked, and nothing is stored."),
  );
  const form = h(
    "form",
    { class: "card stack" },
    h("div", { class: "editors" }, one.element, second),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Explain")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  refill(main, heading("Explain"), form, result);

  async function ask() {
    const request = one.read();
    const compared = second.open && !other.blank ? other.read() : null;
    if (!request || (second.open && !other.blank && !compared)) return;
    refill(result, waiting());
    try {
      const [told] = await Promise.all([api.post("/explain", { request, other: compared }, signal), reasons.ready()]);
      if (signal.aborted) return;
      refill(
        result,
        told.other && differences(told),
        h(
          "div",
          { class: told.other ? "pair" : "stack" },
          explanation(told.other ? "The request" : "What would become of it", told.request, reasons),
          told.other && explanation("The other", told.other, reasons),
        ),
      );
    } catch (error) {
      if (!signal.aborted) refill(result, trouble(error, ask));
    }
  }
}

const SAME = {
  true: "They have the same key: what answers one answers the other.",
  false: "They have different keys, because of what matters below.",
  null: "One of them has no key, so neither can be answered with the other's.",
};

function differences({ same_key: same, differences: found }) {
  const said = SAME[same];
  return card(
    "The difference",
    h("p", state(same ? "good" : "odd", same ? "same" : "different"), " ", said),
    found.length > 0 &&
      table(
        "Differences",
        [
          ["Where", (row) => h("span", row.where, " ", h("code", row.name)), "name"],
          ["One", (row) => h("code", { class: "long" }, row.one ?? "absent")],
          ["Other", (row) => h("code", { class: "long" }, row.other ?? "absent")],
          ["Matters", (row) => (row.matters ? state("odd", "yes") : state("off", "no"))],
          ["Why", (row) => row.says],
        ],
        found,
      ),
  );
}

function explanation(name, told, reasons) {
  return card(
    name,
    h(
      "p",
      { class: "verdict" },
      badge(told.outcome),
      " ",
      h("strong", told.says),
      " ",
      h("code", { class: "quiet" }, told.reason),
    ),
    told.advice && h("p", { class: "notice" }, told.advice),
    facts([
      ["Dialect", told.dialect],
      ["Backend", told.upstream],
      ["Model", told.model],
      [
        "Scope",
        told.scope &&
          h("span", h("code", short(told.scope)), told.scope_by.length > 0 && ` by ${told.scope_by.join(", ")}`),
      ],
      ["Namespace", told.namespace],
      [
        "Key",
        told.key &&
          h("a", { href: `#/entries?${new URLSearchParams({ key: told.key })}` }, h("code", short(told.key))),
      ],
      [
        "Lifetime",
        told.ttl &&
          h(
            "span",
            duration(told.ttl.would_be_s),
            told.ttl.because && h("span", { class: "quiet" }, `, ${told.ttl.because}`),
          ),
      ],
      told.flight?.in_progress && ["Under way", "the backend is being asked this very question"],
      told.steering?.length > 0 && ["Asked of the cache", told.steering.map(text).join(", ")],
      told.shortened && ["Prompt made shorter", told.shortened],
      told.variants > 1 && ["Variants", count(told.variants)],
      ["If the backend fails", told.if_backend_fails.join(", ") || "the client is told"],
    ]),
    told.tiers.length > 0 &&
      table(
        "Each tier's answer",
        [
          ["Tier", (row) => tierName(row.tier), "name"],
          [
            "Answer",
            (row) => h("span", state(ANSWERS[row.answer] ?? "off", row.answer), row.trouble && ` ${row.trouble}`),
          ],
          ["Took", (row) => duration(row.took_s), "number"],
          ["Age", (row) => duration(row.entry?.age_s), "number"],
          ["Fresh for", (row) => duration(row.entry?.ttl_s), "number"],
        ],
        told.tiers,
        { hidden: false },
      ),
    told.parts.length > 0 &&
      table(
        "Each input",
        [
          ["Key", (row) => h("code", short(row.key)), "name"],
          ["Outcome", (row) => badge(row.outcome)],
          ["Reason", (row) => reasons.says(row.reason)],
          ["Tier", (row) => tierName(row.tier ?? "none")],
        ],
        told.parts,
        { hidden: false },
      ),
    told.semantic && semantic(told.semantic, reasons),
    told.notes.length > 0 &&
      h(
        "ul",
        { class: "hint" },
        told.notes.map((note) => h("li", note)),
      ),
    told.keyed &&
      h(
        "details",
        h("summary", "What makes its key"),
        facts([
          ["Headers", list(told.keyed.headers)],
          ["Headers left out", list(told.keyed.left_out_headers)],
          ["Of the body", list(told.keyed.body)],
          ["Left out of the body", list(told.keyed.left_out_fields)],
        ]),
      ),
    told.terms &&
      h(
        "details",
        h("summary", "Rules in force"),
        facts(
          Object.entries(told.terms).map(([term, value]) => [
            term.replaceAll("_", " "),
            term.endsWith("_s") ? duration(value) : text(value),
          ]),
        ),
      ),
  );
}

function semantic({ asked, doubt, threshold, neighbours }, reasons) {
  const why = doubt ? reasons.says(doubt) : "";
  return h(
    "section",
    h("h3", "In other words"),
    h("p", asked ? `Looked for, with a threshold of ${score(threshold)}. ${why}` : `Not looked for. ${why}`),
    neighbours.length > 0 &&
      table(
        "Neighbours",
        [
          ["Question", (row) => row.question ?? h("code", short(row.key)), "name"],
          ["Score", (row) => score(row.score), "number"],
          ["Would be served", (row) => (row.would_serve ? state("good", "yes") : state("off", "no"))],
          ["Why not", (row) => (row.doubt ? reasons.says(row.doubt) : "")],
        ],
        neighbours,
      ),
  );
}

const list = (names) => (names?.length ? names.map((name) => h("code", { class: "tag" }, name)) : "none");

function text(value) {
  if (Array.isArray(value)) return value.map(text).join(", ") || "none";
  return value !== null && typeof value === "object" ? JSON.stringify(value) : value === null ? "" : String(value);
}
