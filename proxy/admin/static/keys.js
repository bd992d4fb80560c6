/** Keyboard shortcuts: single keys, which can be switched off, as speech input may say them by mistake. */

import { h } from "./dom.js";
import { open } from "./parts/dialog.js";

const KEPT = "shortcuts";

const typing = (target) =>
  target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select");

/** Listens for keys; `pages` are [name, title] in the order of their digits. */
export class Keys {
  constructor(pages, go) {
    this.pages = pages;
    this.go = go;
    this.own = new Map(); // those of the page that is open
    this.lasting = new Map();
    document.addEventListener("keydown", (event) => this.heard(event));
  }

  get enabled() {
    return localStorage.getItem(KEPT) !== "no";
  }

  /** A key for all pages. */
  always(key, says, act) {
    this.lasting.set(key, { says, act });
  }

  /** A key of the page that is open, until another is. */
  here(key, says, act) {
    this.own.set(key, { says, act });
  }

  /** Another page opens. */
  clear() {
    this.own.clear();
  }

  heard(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") return this.used(event, () => this.tell());
    if (!this.enabled) return;
    const page = this.pages[Number(event.key) - 1];
    if (page) return this.used(event, () => this.go(page[0]));
    const found = this.own.get(event.key) ?? this.lasting.get(event.key);
    if (found) this.used(event, found.act);
  }

  used(event, act) {
    event.preventDefault();
    act();
  }

  /** Show which there are. */
  tell() {
    const row = (key, says) => h("tr", h("th", { scope: "row" }, h("kbd", key)), h("td", says));
    const rows = (found) => [...found].map(([key, { says }]) => row(key, says));
    const used = h("input", { type: "checkbox", checked: this.enabled });
    used.addEventListener("change", () => localStorage.setItem(KEPT, used.checked ? "yes" : "no"));
    open({
      title: "Keyboard shortcuts",
      content: [
        h(
          "table",
          { class: "keys" },
          h(
            "thead",
            { class: "unseen" },
            h("tr", h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Does")),
          ),
          h(
            "tbody",
            this.pages.map(([, title], index) => row(String(index + 1), title)),
            rows(this.own),
            rows(this.lasting),
            row("?", "This list"),
            row("Esc", "Close what is open"),
          ),
        ),
        h("label", { class: "check" }, used, "Listen for these keys"),
      ],
    });
  }
}
