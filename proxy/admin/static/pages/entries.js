/** Entries: what is stored; look for it, look at it, and let it be served no more. */

import { h, refill } from "../dom.js";
import { bytes, count, duration, moment, short, some } from "../format.js";
import { card, empty, facts, field, heading, notice, select, state, trouble, waiting } from "../parts/bits.js";
import { open as dialog } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { tierName } from "../words.js";
import { purge } from "./purge.js";

export const title = "Entries";

const FIELDS = [
  ["key", "Key begins with", "search"],
  ["tag", "Tag", "search"],
  ["model", "Model", "search"],
  ["path", "Path begins with", "search"],
  ["dialect", "Dialect", "search"],
  ["scope", "Scope", "search"],
];
const STATES = [
  ["", "All"],
  ["fresh", "Fresh"],
  ["stale", "Stale"],
  ["negative", "Negative"],
];
const LIMIT = 50;
const KEY = /^[0-9a-f]{64}$/;
const MOST_KEYS = 1000; // of one purge
const PURGED_BY = new Set(["tag", "model", "path", "dialect", "scope"]);

export function open(main, { api, keys, signal, parameters }) {
  const fields = FIELDS.map(([name, title, type]) => [
    name,
    field(title, { name, type, value: parameters.get(name) }),
  ]);
  const tier = field("Tier", { name: "tier", type: "search", list: "tiers", value: parameters.get("tier") });
  const life = select("State", "state", STATES, parameters.get("state") ?? "");
  const found = h("div", { class: "stack", "aria-busy": "false" });
  const form = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Entries" },
    fields.map(([, each]) => each.element),
    tier.element,
    life.element,
    h(
      "datalist",
      { id: "tiers" },
      ["l1_memory", "l2_disk", "l2_redis"].map((name) => h("option", { value: name }, tierName(name))),
    ),
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "submit", class: "primary" }, "Search"),
      h("button", { type: "button", on: { click: clear } }, "Clear"),
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  refill(
    main,
    heading("Entries", h("button", { type: "button", class: "danger", on: { click: () => sweep() } }, "Purge all …")),
    form,
    found,
  );
  keys.here("/", "Search", () => fields[0][1].input.focus());
  keys.here("r", "Search again", search);
  search();

  function wanted() {
    return Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value),
    );
  }

  function clear() {
    for (const control of form.querySelectorAll("input, select")) control.value = "";
    search();
  }

  async function search() {
    const asked = wanted();
    history.replaceState(null, "", `#/entries?${new URLSearchParams(asked)}`);
    found.setAttribute("aria-busy", "true");
    if (!found.firstChild) refill(found, waiting());
    try {
      const page = await api.get("/entries", { ...asked, limit: LIMIT }, signal);
      refill(found, results(asked, page));
    } catch (error) {
      if (!signal.aborted) refill(found, trouble(error, search));
    } finally {
      found.setAttribute("aria-busy", "false");
    }
  }

  function results(asked, first) {
    const narrowed = Object.keys(asked).length > 0;
    if (!first.entries.length && !first.next && !first.untold.length) {
      return narrowed
        ? empty("No entry fits.", "Clear a field, or look at Explain for why an answer was not stored.")
        : empty("Nothing is stored yet.", "Answers show here once the proxy has fetched some.");
    }
    const rows = [...first.entries];
    let page = first;
    const list = table("Entries", columns(), rows, { none: "None so far." });
    const note = h("p", { class: "hint", role: "status" });
    const more = h("button", { type: "button" }, "Show more");
    const some_ = h(
      "button",
      { type: "button", class: "danger", on: { click: () => narrow(asked, rows, page) } },
      "Purge what is found …",
    );
    const tell = () => {
      refill(
        note,
        `${some(rows.length, "entry", "entries")}, ${count(page.looked_at)} looked at. ${page.next ? "There is more." : ""}${page.untold.length ? ` ${page.untold.map(tierName).join(", ")} could not be looked through.` : ""}`,
      );
      more.hidden = !page.next;
    };
    more.addEventListener("click", async () => {
      more.disabled = true;
      try {
        page = await api.get("/entries", { ...asked, limit: LIMIT, after: page.next }, signal);
        rows.push(...page.entries);
        list.add(page.entries);
        tell();
      } catch (error) {
        if (!signal.aborted) note.after(trouble(error));
      } finally {
        more.disabled = false;
      }
    });
    tell();
    return card("Found", note, list, h("div", { class: "buttons" }, more, narrowed && some_));
  }

  function columns() {
    return [
      [
        "Entry",
        (row) =>
          h(
            "button",
            { type: "button", class: "link", "aria-haspopup": "dialog", on: { click: () => inspect(row.key) } },
            row.question ?? short(row.key),
          ),
        "name",
      ],
      ["Model", (row) => row.model],
      ["Path", (row) => row.path, "wide path"],
      ["Tier", (row) => tierName(row.tier)],
      ["State", (row) => standing(row)],
      ["Age", (row) => duration(row.age_s), "number"],
      ["Size", (row) => bytes(row.size_bytes), "number wide"],
      ["Uses", (row) => count(row.uses), "number wide"],
      [
        "~Purge",
        (row) =>
          h(
            "button",
            {
              type: "button",
              class: "quiet",
              "aria-label": `Purge the entry ${short(row.key)} …`,
              on: { click: () => one(row.key) },
            },
            "Purge …",
          ),
      ],
    ];
  }

  async function inspect(key) {
    const place = h("div", { class: "stack" }, waiting());
    const drawer = dialog({ title: "Entry", content: place, kind: "drawer" });
    const look = async () => {
      try {
        refill(
          place,
          entry(await api.get(`/entries/${key}`, {}, signal), () => {
            drawer.close();
            one(key);
          }),
        );
      } catch (error) {
        if (!signal.aborted) refill(place, trouble(error, look));
      }
    };
    await look();
  }

  const one = (key) =>
    purge(
      api,
      {
        what: ["The entry ", h("code", key), ", in every tier and at every replica."],
        body: { kind: "key", value: key },
      },
      search,
    );

  const sweep = () =>
    purge(
      api,
      {
        what: [
          "Every stored answer, in every tier and at every replica. The backend will be asked for all of them anew.",
        ],
        body: { kind: "all" },
        typed: "all",
      },
      search,
    );

  /** Purge by the label that was searched for, or, where there are several, by the keys that were found. */
  function narrow(asked, rows, page) {
    const [[name, value], ...others] = Object.entries(asked);
    if (!others.length && PURGED_BY.has(name)) {
      return purge(
        api,
        {
          what: [
            `Every answer whose ${name} ${name === "path" ? "begins with" : "is"} `,
            h("code", value),
            ", in every tier and at every replica, whether it is shown here or not.",
          ],
          body: { kind: name, value },
        },
        search,
      );
    }
    const known = [...new Set(rows.map((row) => row.key))].filter((key) => KEY.test(key)).slice(0, MOST_KEYS);
    const rest = page.next
      ? " There is more that fits: show it first, or search by one label alone to purge by it."
      : "";
    return purge(
      api,
      {
        what: [
          `The ${some(known.length, "entry", "entries")} shown here, by key, in every tier and at every replica.${rest}`,
        ],
        body: { kind: "key", values: known },
      },
      search,
    );
  }
}

function standing(row) {
  if (row.negative) return state("odd", "negative");
  return row.state === "fresh"
    ? h("span", state("good", "fresh"), h("span", { class: "quiet" }, ` ${duration(row.ttl_s)} left`))
    : state("off", row.state);
}

function entry({ key, found, headers, lifetime, form, content }, purged) {
  const [first] = found;
  if (!first)
    return empty(
      "This entry is not stored any more.",
      "It was purged, it made room for others, or its time was over.",
    );
  return [
    facts([
      ["Key", h("code", { class: "long" }, key)],
      ["Model", first.model],
      ["Path", h("code", first.path)],
      ["Dialect", first.dialect],
      ["Scope", h("code", { class: "long" }, first.scope)],
      ["Status", String(first.status)],
      ["Stored", `${moment(first.stored_at)}, ${duration(first.age_s)} ago`],
      [
        "Lifetime",
        `fresh for ${duration(lifetime.ttl_s)}, then stale for ${duration(lifetime.stale_while_revalidate_s)} while it is renewed, ${duration(lifetime.stale_if_error_s)} if the backend fails`,
      ],
      [
        "Tokens",
        first.input_tokens === null ? null : `${count(first.input_tokens)} in, ${count(first.output_tokens)} out`,
      ],
      ["The backend took", duration(first.upstream_s)],
      ["Tags", first.tags.length ? first.tags.map((tag) => h("code", { class: "tag" }, tag)) : "none"],
      [
        "Form",
        Object.entries(form ?? {})
          .map(([name, value]) => `${name}: ${value}`)
          .join(", "),
      ],
    ]),
    table(
      "Where it is",
      [
        ["Tier", (row) => tierName(row.tier), "name"],
        ["State", standing],
        ["Size", (row) => bytes(row.size_bytes), "number"],
        ["Uses", (row) => count(row.uses), "number"],
      ],
      found,
      { hidden: false },
    ),
    h(
      "details",
      h("summary", "Headers"),
      table(
        "Headers",
        [
          ["Name", ([name]) => name, "name"],
          ["Value", ([, value]) => value],
        ],
        headers,
      ),
    ),
    told(content),
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "button", class: "danger", on: { click: purged } }, "Purge …"),
    ),
  ];
}

function told(content) {
  if (!content.shown)
    return notice(h("p", "Question and answer are not shown. ", h("code", "admin.show_content"), " allows it."));
  return [
    content.question !== null && h("section", h("h3", "Question"), h("pre", content.question)),
    content.body !== null &&
      h(
        "section",
        h("h3", "Answer"),
        h("pre", { tabindex: "0" }, content.body),
        content.truncated && h("p", { class: "hint" }, "There is more of it than is shown."),
      ),
  ];
}
