/** Configuration: what is in force, where each setting was said, and how to read it anew. */

import { h, refill } from "../dom.js";
import { count, moment } from "../format.js";
import { card, empty, facts, field, heading, notice, state, trouble, waiting } from "../parts/bits.js";
import { confirm, toast } from "../parts/dialog.js";
import { table } from "../parts/table.js";

export const title = "Configuration";

export function open(main, { api, keys, signal }) {
  const place = h("div", { class: "stack" }, waiting());
  const reload = h("button", { type: "button", on: { click: again } }, "Reload …");
  refill(main, heading("Configuration", reload), place);
  const filter = field("Find a setting", { name: "setting", type: "search" });
  keys.here("/", "Find a setting", () => filter.input.focus());
  show();

  async function show() {
    try {
      const told = await api.get("/config", {}, signal);
      refill(place, standing(told), settings(told, filter), yaml(told));
    } catch (error) {
      if (!signal.aborted) refill(place, trouble(error, show));
    }
  }

  async function again() {
    const agreed = await confirm({
      title: "Reload the configuration?",
      action: "Reload",
      content: [
        h(
          "p",
          "The file is read and checked as a whole. If it is sound it holds from the next request on; requests under way end under the one they began with. If it is not, nothing changes and you are told why.",
        ),
      ],
    });
    if (agreed === null) return;
    reload.disabled = true;
    try {
      const { generation, changed } = await api.post("/reload", {}, signal);
      toast(
        changed.length
          ? `Generation ${generation}: ${changed.join(", ")} changed.`
          : `Generation ${generation}: nothing changed.`,
      );
    } catch (error) {
      if (!signal.aborted) toast(`Refused, the old configuration is kept. ${error.message}`, true);
    } finally {
      reload.disabled = false;
    }
    await show();
  }
}

function standing({ generation, loaded_at: at, file, last_refusal: refusal, needs_restart: waits }) {
  return [
    card(
      "In force",
      facts([
        ["Generation", count(generation)],
        ["Since", moment(at)],
        [
          "File",
          file
            ? h("code", { class: "long" }, file)
            : "none: all is from the command line, the environment and defaults",
        ],
      ]),
    ),
    refusal &&
      h(
        "div",
        { class: "notice bad" },
        h("h2", "The last reload was refused"),
        h("p", `At ${moment(refusal.at)}, and the old configuration was kept:`),
        h("pre", refusal.why),
      ),
    waits.length > 0 &&
      h(
        "details",
        h("summary", "What a reload cannot change"),
        h(
          "p",
          waits.map((name) => h("code", { class: "tag" }, name)),
        ),
      ),
  ];
}

/** Each setting by its dotted name. */
export function flat(value, name = "") {
  if (value === null || typeof value !== "object") return [[name, value]];
  const inside = Array.isArray(value)
    ? value.map((each, index) => [`${name}[${index}]`, each])
    : Object.entries(value).map(([key, each]) => [name ? `${name}.${key}` : key, each]);
  return inside.length ? inside.flatMap(([key, each]) => flat(each, key)) : [[name, value]];
}

function settings({ settings: found, sources }, filter) {
  const all = flat(found).map(([name, value]) => ({ name, value, source: source(sources, name) }));
  const rows = table(
    "Settings",
    [
      ["Setting", (row) => h("code", row.name), "name"],
      ["Value", (row) => h("code", { class: "long" }, said(row.value))],
      ["Said in", (row) => (row.source ? row.source : h("span", { class: "quiet" }, "default"))],
    ],
    [],
    { none: "No setting fits." },
  );
  const own = h("input", { type: "checkbox", checked: true });
  const note = h("p", { class: "hint", role: "status" });
  const draw = () => {
    const word = filter.input.value.trim().toLowerCase();
    const fit = all.filter((row) => (!own.checked || row.source) && row.name.toLowerCase().includes(word));
    rows.show(fit);
    refill(note, `${count(fit.length)} of ${count(all.length)} settings. Secrets are masked.`);
  };
  filter.input.oninput = draw;
  own.addEventListener("change", draw);
  draw();
  return card(
    "Settings",
    h("div", { class: "row end" }, filter.element, h("label", { class: "check" }, own, "Only what was said")),
    note,
    rows,
  );
}

/** Where a setting was said, or a part it belongs to. */
function source(sources, name) {
  for (let part = name; part; part = part.replace(/(?:\[\d+\]|\.?[^.[\]]+)$/, "")) {
    if (Object.hasOwn(sources, part)) return sources[part];
  }
  return null;
}

const said = (value) =>
  value === null ? "none" : typeof value === "object" ? (Array.isArray(value) ? "none" : "{}") : String(value);

function yaml({ yaml: text }) {
  if (!text) return card("As YAML", empty("There is none."));
  const copy = h("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      toast("The browser does not allow that here: select the text instead.", true);
    }
  });
  return card(
    "As YAML",
    h("div", { class: "row" }, copy, state("off", "secrets masked")),
    h("pre", { tabindex: "0", role: "region", "aria-label": "The configuration as YAML" }, text),
  );
}
