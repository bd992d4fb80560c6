/** Tables: a caption, headings, numbers to the right; wide ones scroll by themselves, by keyboard too. */

import { fresh, h, refill } from "../dom.js";

/**
 * A table. `columns` are [title, cell, kind?]: `cell(row)` is what stands there, the kind is "number",
 * "name" (the row's heading) or "wide" (left out where there is little room). A title after a tilde is only
 * heard, not seen.
 */
export function table(caption, columns, rows, { hidden = true, none = "Nothing yet." } = {}) {
  const name = fresh("table");
  const body = h("tbody");
  const element = h(
    "div",
    { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": name },
    h(
      "table",
      h("caption", { id: name, class: hidden ? "unseen" : null }, caption),
      h(
        "thead",
        h(
          "tr",
          columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, heading(title))),
        ),
      ),
      body,
    ),
  );
  element.show = (found) =>
    refill(body, found.length ? found.map((row) => line(columns, row)) : nothing(columns, none));
  element.add = (found) => body.append(...found.map((row) => line(columns, row)));
  element.show(rows);
  return element;
}

function line(columns, row) {
  return h(
    "tr",
    columns.map(([, cell, kind]) =>
      kind === "name" ? h("th", { scope: "row", class: kind }, cell(row)) : h("td", { class: kind }, cell(row)),
    ),
  );
}

const nothing = (columns, text) => h("tr", { class: "none" }, h("td", { colspan: columns.length }, text));

// A column of buttons needs no title for those who see them.
const heading = (title) => (title.startsWith("~") ? h("span", { class: "unseen" }, title.slice(1)) : title);
