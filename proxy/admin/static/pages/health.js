/** Health: tiers, backends, flights and the process itself. */

import { h, refill } from "../dom.js";
import { bytes, count, duration, percent, some } from "../format.js";
import { card, empty, facts, heading, meter, state, troubleIn, waiting } from "../parts/bits.js";
import { toast } from "../parts/dialog.js";
import { table } from "../parts/table.js";
import { repeat } from "../stream.js";
import { tierName } from "../words.js";

export const title = "Health";

const EVERY_MS = 5000;
const KINDS = { up: "good", down: "bad", distrusted: "bad", off: "off" };
const PROFILE_S = 5;
const MANY = 0.1; // of a backend's calls; as the alert has it

export function open(main, { api, signal }) {
  const standing = h("div");
  const failed = troubleIn(standing, refresh, signal);
  const body = h("div", { class: "stack" }, waiting());
  const live = h("div", { class: "stack" });
  const profile = h("div");
  api.offers("/profile", signal).then((offered) => offered && refill(profile, profiling(api, signal)), failed);
  refill(main, heading("Health"), standing, body);

  async function refresh() {
    const [tiers, upstreams, stats, workers] = await Promise.all(
      ["/tiers", "/upstreams", "/stats", "/workers"].map((path) => api.get(path, {}, signal)),
    );
    refill(standing);
    if (body.firstChild !== live) refill(body, live, profile);
    if (live.contains(document.activeElement) || live.querySelector("details[open]")) return; // somebody reads it
    refill(
      live,
      summary(tiers, upstreams, stats, workers),
      tiersOf(tiers),
      upstreamsOf(upstreams),
      workersOf(workers),
      h("div", { class: "pair" }, guard(tiers), flights(stats)),
      calls(stats),
      h("div", { class: "pair" }, process(stats), others(stats, tiers)),
    );
  }

  repeat(refresh, EVERY_MS, { failed, signal });
}

function summary({ tiers }, { upstreams }, { loop_lag: lag }, { workers }) {
  const bad = [
    ...workers.filter((each) => each.silent).map((each) => `worker ${each.slot} does not answer`),
    ...tiers.filter((each) => KINDS[each.state] === "bad").map((each) => `${tierName(each.tier)} is ${each.state}`),
    ...upstreams
      .filter((each) => each.breaker.enabled && each.breaker.state !== "closed")
      .map((each) => `the breaker of ${each.upstream} is open`),
    ...upstreams.map(failing).filter(Boolean),
  ];
  const good = "All tiers and backends are well.";
  return h(
    "p",
    { class: "summary" },
    bad.length ? [state("bad", "Look here"), ` ${sentence(bad)}.`] : good,
    ` The event loop is late by ${duration(lag.p99_s)} at most, 99 times in 100.`,
  );
}

/** What is said of a backend that fails at many calls; since the start, as it is counted. */
function failing({ upstream, responses, errors }) {
  const sum = (found) => Object.values(found).reduce((all, number) => all + number, 0);
  const failed = sum(errors) + (responses["5xx"] ?? 0);
  const calls = sum(errors) + sum(responses);
  return failed > calls * MANY ? `${upstream} failed at ${count(failed)} of ${some(calls, "call")} since the start` : "";
}

function sentence(parts) {
  const text = parts.join(", ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function tiersOf({ tiers, order }) {
  if (!tiers.length) return card("Tiers", empty("There are none.", "Nothing is stored."));
  const sorted = [...tiers].sort((one, other) => order.indexOf(one.tier) - order.indexOf(other.tier));
  return h(
    "section",
    { "aria-labelledby": "tiers-title" },
    h("h2", { id: "tiers-title" }, "Tiers"),
    h("div", { class: "cards" }, sorted.map(tierOf)),
  );
}

function tierOf(tier) {
  const removed = Object.entries(tier.removed ?? {}).filter(([, number]) => number);
  const details = Object.entries(tier.detail ?? {});
  return h(
    "section",
    { class: "card", "aria-label": tierName(tier.tier) },
    h("header", h("h3", tierName(tier.tier)), state(KINDS[tier.state] ?? "off", tier.state)),
    facts([
      ["Entries", count(tier.entries)],
      [
        "Size",
        tier.max_bytes && tier.bytes !== null
          ? meter(tier.bytes / tier.max_bytes, `${bytes(tier.bytes)} of ${bytes(tier.max_bytes)}`)
          : bytes(tier.bytes),
      ],
      removed.length > 0 && ["Removed", removed.map(([cause, number]) => `${count(number)} ${cause}`).join(", ")],
    ]),
    tier.operations.length > 0 &&
      h(
        "details",
        h("summary", "Operations"),
        table(
          `Operations of ${tierName(tier.tier)}`,
          [
            ["Operation", (row) => row.operation, "name"],
            ["Result", (row) => row.result],
            ["Count", (row) => count(row.count), "number"],
          ],
          tier.operations,
        ),
        tier.latency.length > 0 &&
          table(
            `Latency of ${tierName(tier.tier)}`,
            [
              ["Operation", (row) => row.operation, "name"],
              ["Half", (row) => duration(row.p50_s), "number"],
              ["99 %", (row) => duration(row.p99_s), "number"],
            ],
            tier.latency,
          ),
      ),
    details.length > 0 &&
      h(
        "details",
        h("summary", "More"),
        facts(
          details.map(([name, value]) => [words(name), typeof value === "number" ? count(value) : String(value)]),
        ),
      ),
  );
}

function upstreamsOf({ upstreams }) {
  if (!upstreams.length) return card("Backends", empty("There are none.", "Give one with --upstream or upstreams."));
  return card(
    "Backends",
    table(
      "Backends",
      [
        [
          "Backend",
          (row) => h("span", row.upstream, row.standby && h("span", { class: "quiet" }, " stands by")),
          "name",
        ],
        ["Address", (row) => h("code", `${row.url}${row.prefix ? ` at ${row.prefix}` : ""}`), "wide"],
        ["Breaker", (row) => breaker(row.breaker)],
        ["Connections", (row) => `${count(row.in_use)} of ${count(row.max_connections)}`, "number"],
        ["Answers", (row) => pairs(row.responses)],
        ["Errors", (row) => pairs(row.errors)],
        ["Half", (row) => duration(row.latency.p50_s), "number"],
        ["99 %", (row) => duration(row.latency.p99_s), "number"],
      ],
      upstreams,
    ),
  );
}

/** Where several processes serve. */
function workersOf({ workers, wanted, restarts }) {
  if (wanted < 2 && workers.length < 2) return null;
  return card(
    "Workers",
    h(
      "p",
      { class: "hint" },
      `All other figures are those of all of them. Replaced after they had died: ${count(restarts)}.`,
    ),
    table(
      "Workers",
      [
        ["Worker", (row) => h("span", String(row.slot), h("span", { class: "quiet" }, ` process ${row.pid}`)), "name"],
        ["State", (row) => doing(row)],
        ["Up for", (row) => duration(row.age_s), "number"],
        ["Requests", (row) => count(row.requests), "number"],
        ["Under way", (row) => count(row.in_progress), "number"],
        ["Connections", (row) => count(row.connections), "number"],
        ["Memory", (row) => bytes(row.rss_bytes), "number"],
        ["Loop late, 99 %", (row) => duration(row.loop_lag_p99_s), "number"],
      ],
      workers,
    ),
  );
}

const doing = ({ silent, state: now }) =>
  silent ? state("bad", "silent") : state(now === "ready" ? "good" : "off", now);

function breaker({ enabled, state: now, refused }) {
  if (!enabled) return state("off", "off");
  return now === "closed" ? state("good", "closed") : state("bad", `${now}, ${count(refused)} refused`);
}

const pairs = (counts) =>
  Object.entries(counts ?? {})
    .filter(([, number]) => number)
    .map(([name, number]) => `${count(number)} × ${name}`)
    .join(", ") || "none";

function guard({ guard: found }) {
  if (!found)
    return card(
      "Guard",
      empty("There is none.", "It saves lookups on the disk; see ", h("code", "l2_disk.guard"), "."),
    );
  return card(
    "Guard",
    facts([
      ["Full", meter(found.fill_ratio, percent(found.fill_ratio))],
      ["Asked", some(found.lookups, "time")],
      ["Lookups saved", count(found.saved)],
      ["Looked for nothing", some(found.false_positives, "time")],
    ]),
  );
}

const words = (name) => {
  const text = name.replace(/_s$/, "").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
};

const counts = (found) =>
  facts(
    Object.entries(found ?? {}).map(([name, number]) => [
      words(name),
      name.endsWith("_s") ? duration(number) : typeof number === "number" ? count(number) : String(number ?? ""),
    ]),
  );

function flights({ flights: found }) {
  const some = Object.fromEntries(Object.entries(found).filter(([name, number]) => number || name === "in_progress"));
  const all = h("details", h("summary", "All counts"), counts(found));
  return card(
    "Flights",
    h("p", { class: "hint" }, "Calls to backends, each with all who wait for it."),
    counts(some),
    all,
  );
}

function calls({ calls: found }) {
  return card(
    "Calls",
    h("p", { class: "hint" }, "Calls of all backends; see ", h("code", "overload"), "."),
    facts([
      ["Under way", `${count(found.in_flight)} of ${count(found.limit)}`],
      ["Waiting", count(found.queued)],
      ["Not made", pairs(found.shed)],
    ]),
  );
}

function process({ process: own, loop_lag: lag, uptime_s: up, version, python, pid }) {
  return card(
    "Process",
    facts([
      ["Up for", duration(up)],
      ["Version", `${version}, Python ${python}, process ${pid}`],
      ["Memory", bytes(own.rss_bytes)],
      ["Processor time", duration(own.cpu_s)],
      ["Open files", count(own.open_fds)],
      [
        "Event loop late by",
        `${duration(lag.p50_s)} half of the time, ${duration(lag.p99_s)} 99 times in 100, ${duration(lag.max_s)} at most`,
      ],
    ]),
  );
}

function others({ clients, compression, batching }, { journal }) {
  const groups = [
    ["Clients", clients],
    ["Purges", journal && { untold: journal.untold }],
    ["Compression", compression],
    ["Embeddings together", batching],
  ];
  return card(
    "Clients and the rest",
    groups
      .filter(([, found]) => found && Object.keys(found).length)
      .map(([name, found]) => h("details", h("summary", name), counts(found))),
  );
}

function profiling(api, signal) {
  const place = h("div", { role: "status" });
  const button = h("button", { type: "button" }, `Take a profile of ${PROFILE_S} s`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    refill(place, waiting("Looking where the time goes …"));
    try {
      const response = await api.fetch("/profile", { parameters: { seconds: PROFILE_S, format: "svg" }, signal });
      const url = URL.createObjectURL(await response.blob());
      signal.addEventListener("abort", () => URL.revokeObjectURL(url));
      refill(
        place,
        h("a", { class: "button", href: url, download: "sidecache-profile.svg" }, "Save the flame graph"),
      );
    } catch (error) {
      refill(place);
      if (!signal.aborted) toast(error.message, true);
    } finally {
      button.disabled = false;
    }
  });
  return card(
    "Profile",
    h(
      "p",
      { class: "hint" },
      "Where the proxy spends its time, as a flame graph. It needs the extra ",
      h("code", "profile"),
      ".",
    ),
    h("div", { class: "row" }, button, place),
  );
}
