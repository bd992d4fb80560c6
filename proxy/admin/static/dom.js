/**
 * Elements, made so that nothing that is told can become markup or code: what is inside is text or
 * another element, and attributes that could do more than describe are refused.
 */

const SVG = "http://www.w3.org/2000/svg";
const REFUSED = /^on.|^style$|^srcdoc$|^xlink|^(?:inner|outer)/i;
const LEADS = new Set(["href", "src", "action", "formaction"]);
const OWN = /^(?:#|blob:)/;

/**
 * An HTML element. `about` may be left out; its `on` holds listeners by event, all else is attributes:
 * true is set without a value, and null, undefined and false are left out.
 */
export function h(tag, about, ...children) {
  return filled(document.createElement(tag), about, children);
}

/** An SVG element. */
export function s(tag, about, ...children) {
  return filled(document.createElementNS(SVG, tag), about, children);
}

function filled(element, about, children) {
  if (!isAbout(about)) return grown(element, [about, ...children]);
  for (const [name, value] of Object.entries(about)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
      continue;
    }
    if (REFUSED.test(name) || (LEADS.has(name) && !OWN.test(value))) throw new Error(`no attribute ${name} here`);
    element.setAttribute(name, value === true ? "" : String(value));
  }
  return grown(element, children);
}

function isAbout(about) {
  return about !== null && typeof about === "object" && !Array.isArray(about) && !(about instanceof Node);
}

function grown(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** `element` with `children` in place of what it held. */
export function refill(element, ...children) {
  element.replaceChildren();
  return grown(element, children);
}

let made = 0;

/** An id that no other element has. */
export function fresh(word) {
  made += 1;
  return `${word}-${made}`;
}
