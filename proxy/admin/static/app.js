/** The start: which page is open, the token, light and dark, and the keys that hold everywhere. */

import { Api } from "./api.js";
import { h, refill } from "./dom.js";
import { Keys } from "./keys.js";
import { choice, trouble } from "./parts/bits.js";
import { askToken, toast } from "./parts/dialog.js";
import { Reasons } from "./words.js";
import * as config from "./pages/config.js";
import * as entries from "./pages/entries.js";
import * as explain from "./pages/explain.js";
import * as health from "./pages/health.js";
import * as live from "./pages/live.js";
import * as meaning from "./pages/meaning.js";
import * as overview from "./pages/overview.js";

/** Each has a title and `open(main, about)`; see `App.show`. */
const PAGES = { overview, live, entries, meaning, health, explain, config };
const main = document.getElementById("main");

class App {
  constructor() {
    this.api = new Api(askToken);
    this.reasons = new Reasons(this.api);
    this.open = null; // aborted when another page opens
    const titles = Object.entries(PAGES).map(([name, page]) => [name, page.title]);
    this.keys = new Keys(titles, (name) => (location.hash = `#/${name}`));
    this.keys.always("t", "Light, dark, or as the system is", () => this.turn());
    this.links = new Map(titles.map(([name, title]) => [name, h("a", { href: `#/${name}` }, title)]));
    refill(
      document.getElementById("nav"),
      [...this.links.values()].map((link) => h("li", link)),
    );
    this.foot();
    window.addEventListener("hashchange", () => this.show());
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address says which page is open
      main.querySelector("h1")?.focus();
    });
    this.show();
  }

  /** Open the page that the address names: #/name?parameters. */
  show() {
    const [name, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const known = Object.hasOwn(PAGES, name) ? name : "overview";
    const page = PAGES[known];
    const first = this.open === null;
    this.open?.abort();
    this.open = new AbortController();
    this.keys.clear();
    for (const dialog of document.querySelectorAll("dialog:not(.lasting)")) dialog.close();
    for (const [each, link] of this.links) {
      if (each === known) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${page.title} · Sidecache`;
    const signal = this.open.signal;
    const place = h("div", { class: `page ${known}` });
    refill(main, place);
    const { api, reasons, keys } = this;
    page.open(place, { api, reasons, keys, signal, parameters: new URLSearchParams(query) });
    if (!first) {
      window.scrollTo(0, 0);
      main.querySelector("h1")?.focus({ preventScroll: true });
    }
  }

  foot() {
    const chosen = document.documentElement.dataset.theme ?? "system";
    refill(
      document.getElementById("about"),
      choice(
        "Colours",
        [
          ["light", "Light"],
          ["dark", "Dark"],
          ["system", "System"],
        ],
        chosen,
        (theme) => paint(theme),
      ),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "quiet", on: { click: () => this.keys.tell() } }, "Shortcuts"),
        h("button", { type: "button", class: "quiet", on: { click: () => this.forget() } }, "Forget token"),
      ),
    );
  }

  turn() {
    const order = ["light", "dark", "system"];
    const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % order.length];
    paint(next);
    this.foot();
    toast(`Colours: ${next}`);
  }

  forget() {
    const had = this.api.token !== null;
    this.api.forget();
    toast(had ? "The token is forgotten." : "There was none.");
    if (had) this.show();
  }
}

function paint(theme) {
  localStorage.setItem("theme", theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") return event.preventDefault(); // a page that was left
  toast(event.reason?.message ?? "Something went wrong in this page. Reload it.", true);
});

try {
  new App();
} catch (error) {
  refill(
    main,
    trouble(error, () => location.reload()),
  );
  throw error;
}
