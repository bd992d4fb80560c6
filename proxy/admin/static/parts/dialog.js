/** Dialogs and drawers: the browser's own, so focus stays inside, Escape closes, and focus comes back. */

import { fresh, h, refill } from "../dom.js";

/** Open a dialog, of a kind ("drawer": at the side); it is gone once closed. Returns the element. */
export function open({ title, content, kind = "", closed = () => {} }) {
  const name = fresh("title");
  const close = h(
    "button",
    { type: "button", class: "quiet close", "aria-label": "Close", on: { click: () => dialog.close() } },
    "✕",
  );
  const dialog = h(
    "dialog",
    { class: kind || null, "aria-labelledby": name },
    h("header", h("h2", { id: name }, title), close),
    h("div", { class: "content" }, content),
  );
  // A click on the backdrop hits the dialog itself; one on what it holds does not.
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask whether to go on. Resolves to what the form holds, or to null.
 *
 * `typed`: a word to be typed first, for what cannot be taken back.
 */
export function confirm({ title, content, action, danger = false, typed = "" }) {
  return new Promise((resolve) => {
    let answer = null;
    const word =
      typed && h("input", { name: "word", autocomplete: "off", required: true, pattern: typed, spellcheck: "false" });
    const form = h(
      "form",
      { method: "dialog", class: "stack" },
      content,
      typed && h("label", { class: "field" }, h("span", "Type ", h("code", typed), " to go on"), word),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel"),
        h("button", { type: "submit", class: danger ? "danger" : "primary" }, action),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault(); // the policy lets no form go anywhere
      answer = new FormData(form);
      dialog.close();
    });
    const dialog = open({ title, content: form, closed: () => resolve(answer) });
  });
}

/** Ask for the admin token; null if there is none to be had. */
export function askToken(wrong) {
  return new Promise((resolve) => {
    let token = null;
    const input = h("input", {
      type: "password",
      name: "token",
      required: true,
      autocomplete: "off",
      autofocus: true,
    });
    const form = h(
      "form",
      { method: "dialog", class: "stack" },
      wrong &&
        h("p", { class: "notice bad", role: "alert" }, "That was not the token. Check it for blanks and try again."),
      h(
        "p",
        "This proxy tells nothing without its admin token: what ",
        h("code", "admin.token"),
        " in its configuration says.",
      ),
      h("label", { class: "field" }, h("span", "Admin token"), input),
      h("p", { class: "hint" }, "It is kept until this tab is closed, and sent to this proxy alone."),
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Go on")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      token = input.value.trim() || null;
      dialog.close();
    });
    const dialog = open({ title: "Admin token", content: form, kind: "lasting", closed: () => resolve(token) });
  });
}

/** Say something that needs no answer, for a few seconds. */
export function toast(text, bad = false) {
  const place = document.getElementById("toasts");
  const note = h("p", { class: bad ? "toast bad" : "toast" }, text);
  refill(place, note);
  setTimeout(() => note.remove(), 6000);
}
