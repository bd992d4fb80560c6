/** The small parts that pages are made of. */

import { fresh, h, refill } from "../dom.js";
import { UNKNOWN } from "../format.js";
import { label, sentence } from "../words.js";

/** An outcome: its colour and its name. */
export const badge = (outcome) =>
  h("span", { class: "badge", "data-outcome": outcome, title: sentence(outcome) }, label(outcome));

/** A state in a word: "good", "bad", "odd" or "off". */
export const state = (kind, text) => h("span", { class: "state", "data-kind": kind }, text);

/** A card with a heading. */
export function card(title, ...content) {
  const name = fresh("card");
  return h("section", { class: "card", "aria-labelledby": name }, h("h2", { id: name }, title), content);
}

/** A number that matters: what it is, how much, and a line more. */
export function tile(title) {
  const value = h("dd", { class: "value" }, UNKNOWN);
  const note = h("dd", { class: "note" });
  const element = h("div", { class: "tile" }, h("dt", title), value, note);
  return {
    element,
    show(text, more = "", kind = "") {
      refill(value, text);
      refill(note, more);
      element.dataset.kind = kind;
    },
  };
}

/** Facts, each with its name; those that are null are "not known". */
export const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs
      .filter(Boolean)
      .map(([name, value]) => h("div", h("dt", name), h("dd", value === null || value === "" ? UNKNOWN : value))),
  );

/** Nothing to show, and what to do about it. */
export const empty = (title, ...advice) =>
  h("div", { class: "empty" }, h("p", h("strong", title)), advice.length ? h("p", advice) : null);

/** What went wrong, what to do, and a button to try again. */
export function trouble(error, again) {
  const button = again && h("button", { type: "button", on: { click: again } }, "Try again");
  return h("div", { class: "notice bad", role: "alert" }, h("p", error.message), button);
}

/** What tells of an error in `place`, with a way to `refresh` again, for as long as `signal` has not aborted. */
export function troubleIn(place, refresh, signal) {
  const failed = (error) => {
    if (!signal.aborted) refill(place, trouble(error, () => refresh().catch(failed)));
  };
  return failed;
}

/** Something worth knowing. */
export const notice = (...content) => h("div", { class: "notice" }, content);

/** A wait that has an end: every question has a limit. */
export const waiting = (text = "Asking the proxy …") => h("p", { class: "waiting", role: "status" }, text);

/** Markup for "how full": a bar with a text. */
export function meter(share, text) {
  const bar = h("span", { class: "fill" });
  bar.style.inlineSize = `${Math.min(100, Math.max(0, share * 100))}%`;
  return h("span", { class: "meter" }, h("span", { class: "track", "aria-hidden": "true" }, bar), h("span", text));
}

/** One of a few: radio buttons that look like one switch. */
export function choice(title, options, chosen, change) {
  const name = fresh("choice");
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: "unseen" }, title),
    options.map(([value, text]) =>
      h(
        "label",
        h("input", { type: "radio", name, value, checked: value === chosen, on: { change: () => change(value) } }),
        h("span", text),
      ),
    ),
  );
}

/** A labelled input; `about` are its attributes. */
export function field(title, about, hint = "") {
  const says = hint && fresh("hint");
  const input = h("input", { autocomplete: "off", spellcheck: "false", "aria-describedby": says || null, ...about });
  return {
    input,
    element: h(
      "label",
      { class: "field" },
      h("span", title),
      input,
      hint && h("span", { class: "hint", id: says }, hint),
    ),
  };
}

/** A labelled list to choose from; options are [value, text]. */
export function select(title, name, options, chosen = "") {
  const input = h(
    "select",
    { name },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
  return { input, element: h("label", { class: "field" }, h("span", title), input) };
}

/** The heading of a page, with what stands beside it. */
export const heading = (title, ...beside) =>
  h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, title), h("div", { class: "beside" }, beside));
