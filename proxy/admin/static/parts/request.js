/** Where a request is pasted, to be explained or to look for others like it. */

import { fresh, h, refill } from "../dom.js";
import { requestOf } from "../curl.js";
import { field } from "./bits.js";

const EXAMPLE = `curl http://localhost:8080/v1/chat/completions \\
  -H 'Content-Type: application/json' \\
  -d '{"model": "demo", "messages": [{"role": "user", "content": "What is a sidecar?"}]}'`;

/** An editor with a title; `read()` is the request, or null once it has said what is wrong. */
export class RequestEditor {
  constructor(title, path = "") {
    const [hint, wrong] = [fresh("hint"), fresh("wrong")];
    this.text = h("textarea", {
      rows: "7",
      spellcheck: "false",
      autocomplete: "off",
      autocapitalize: "off",
      placeholder: EXAMPLE,
      "aria-describedby": `${hint} ${wrong}`,
    });
    this.path = field("Path, for a body alone", { name: "path", value: path || "/v1/chat/completions" });
    this.wrong = h("p", { class: "wrong", id: wrong, role: "alert" });
    this.element = h(
      "div",
      { class: "stack" },
      h("label", { class: "field" }, h("span", title), this.text),
      h(
        "p",
        { class: "hint", id: hint },
        'A call of curl, a JSON body, or {"path", "headers", "body"}. With its headers: whose answers these are hangs on the API key.',
      ),
      this.wrong,
      this.path.element,
    );
    this.text.addEventListener("input", () => refill(this.wrong));
  }

  get blank() {
    return this.text.value.trim() === "";
  }

  read() {
    refill(this.wrong);
    this.text.removeAttribute("aria-invalid");
    try {
      return requestOf(this.text.value, this.path.input.value.trim() || "/");
    } catch (error) {
      refill(this.wrong, error.message);
      this.text.setAttribute("aria-invalid", "true");
      this.text.focus();
      return null;
    }
  }
}
