/** A purge: asked about first, and what came of it told, replica by replica. */

import { h, refill } from "../dom.js";
import { duration, some } from "../format.js";
import { notice, state, trouble, waiting } from "../parts/bits.js";
import { confirm, open } from "../parts/dialog.js";
import { table } from "../parts/table.js";

/**
 * Purge, if the operator agrees.
 *
 * `what` says what will go, `body` is what is asked of the proxy, `typed` a word to be typed first.
 * `done()` is called once it has taken effect here.
 */
export async function purge(api, { what, body, typed = "" }, done) {
  const kind = (value, title, says, checked) =>
    h(
      "label",
      { class: "option" },
      h("input", { type: "radio", name: "how", value, checked }),
      h("span", h("strong", title), h("span", { class: "hint" }, says)),
    );
  const answer = await confirm({
    title: "Purge?",
    action: "Purge",
    danger: true,
    typed,
    content: [
      h("p", what),
      h(
        "fieldset",
        { class: "options" },
        h("legend", "How"),
        kind("hard", "Hard", "It is served no more.", true),
        kind(
          "soft",
          "Soft",
          "It turns stale: served once more where stale answers are allowed, while a new one is fetched.",
          false,
        ),
      ),
    ],
  });
  if (answer === null) return;
  const place = h("div", { class: "stack", role: "status" });
  const close = h("button", { type: "button", class: "primary", on: { click: () => dialog.close() } }, "Done");
  const again = h("button", { type: "button", on: { click: () => carryOut() } }, "Purge again");
  const dialog = open({ title: "Purge", content: [place, h("div", { class: "buttons" }, again, close)] });
  await carryOut();

  async function carryOut() {
    again.hidden = true;
    refill(place, waiting("Telling every replica …"));
    try {
      const receipt = await api.post("/purge", { ...body, soft: answer.get("how") === "soft" });
      refill(place, told(receipt));
      again.hidden = receipt.complete;
      done();
    } catch (error) {
      refill(place, trouble(error));
      again.hidden = false;
    }
  }
}

function told({ complete, absent, trouble: why }) {
  return [
    h("p", complete ? state("good", "Every replica obeys.") : state("odd", "It holds here.")),
    why && notice(h("p", `The others could not be told yet: ${why}. They will be as soon as that is possible.`)),
    absent.length > 0 && [
      h(
        "p",
        `${some(absent.length, "replica")} ${absent.length === 1 ? "has" : "have"} not said so: hung, cut off from Redis, or ended without a word. It may serve what was purged until it hears of it. If it must hold everywhere now, purge again.`,
      ),
      table(
        "Replicas that have not answered",
        [
          ["Replica", (row) => h("code", row.replica), "name"],
          ["Silent for", (row) => duration(row.silent_s), "number"],
        ],
        absent,
      ),
    ],
  ];
}
