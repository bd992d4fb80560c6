/** A request as people paste it: a call of curl, a whole request as JSON, or a body alone. */

const BARE = new Set([
  "-s",
  "-S",
  "-i",
  "-v",
  "-k",
  "-L",
  "-N",
  "-f",
  "-g",
  "-#",
  "--silent",
  "--show-error",
  "--include",
  "--verbose",
  "--insecure",
  "--location",
  "--no-buffer",
  "--fail",
  "--compressed",
  "--http1.1",
  "--http2",
  "--globoff",
  "--fail-with-body",
  "--progress-bar",
]);
const BODY = new Set(["-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json"]);
const WHERE = new Set(["path", "method", "headers", "body"]);
const JSON_TYPE = "application/json";

/**
 * What is asked: {method, path, headers, body}, the body as text or null. `path` is where a body alone
 * goes. Throws Error with a sentence.
 */
export function requestOf(text, path) {
  const pasted = text.trim();
  if (!pasted) throw new Error("Paste a request first: a call of curl, or a JSON body.");
  if (/^(?:\$ )?curl\s/.test(pasted)) return fromCurl(words(pasted.replace(/^\$ /, "")));
  let said;
  try {
    said = JSON.parse(pasted);
  } catch (error) {
    throw new Error(`This is neither a call of curl nor JSON: ${error.message}.`);
  }
  if (said === null || typeof said !== "object" || Array.isArray(said))
    throw new Error("The JSON has to be an object.");
  const whole = typeof said.path === "string" && Object.keys(said).every((name) => WHERE.has(name));
  if (!whole) return { method: "POST", path, headers: { "content-type": JSON_TYPE }, body: pasted };
  const body = said.body ?? null;
  return {
    method: String(said.method ?? "POST"),
    path: said.path,
    headers: said.headers ?? {},
    body: body === null || typeof body === "string" ? body : JSON.stringify(body),
  };
}

/** The words of a command, as a shell would read them; variables stay as they are. */
export function words(command) {
  const found = [];
  const pattern = /\s*((?:'[^']*'|\$'(?:\\[^]|[^'\\])*'|"(?:\\[^]|[^"\\])*"|\\[^]|[^\s'"\\])+)/y;
  const text = command.replace(/\\\r?\n/g, " ").trim();
  while (pattern.lastIndex < text.length) {
    const from = pattern.lastIndex;
    const match = pattern.exec(text);
    if (!match) throw new Error(`A quote is not closed: ${text.slice(from, from + 30)} …`);
    found.push(unquoted(match[1]));
  }
  return found;
}

const ESCAPES = { n: "\n", t: "\t", r: "\r" };

function unquoted(word) {
  return word.replace(
    /\$'((?:\\[^]|[^'\\])*)'|'([^']*)'|"((?:\\[^]|[^"\\])*)"|\\([^])/g,
    (_, ansi, single, double, one) => {
      if (ansi !== undefined)
        return ansi.replace(/\\(?:u([0-9a-fA-F]{4})|([^]))/g, (__, code, letter) =>
          code ? String.fromCharCode(parseInt(code, 16)) : (ESCAPES[letter] ?? letter),
        );
      if (single !== undefined) return single;
      if (double !== undefined) return double.replace(/\\(["\\$`])/g, "$1");
      return one;
    },
  );
}

function fromCurl([, ...rest]) {
  const headers = {};
  const pieces = [];
  let method = null;
  let url = null;
  for (let index = 0; index < rest.length; index += 1) {
    let [word, value] = [rest[index], undefined];
    const joined = /^(--[\w-]+)=([^]*)$/.exec(word) ?? /^(-[XHd])([^]+)$/.exec(word);
    if (joined) [, word, value] = joined;
    const next = () => value ?? rest[(index += 1)] ?? fail(`${word} says nothing.`);
    if (word === "-X" || word === "--request") method = next();
    else if (word === "-H" || word === "--header") {
      const [, name, said] = /^([^:]+):\s*([^]*)$/.exec(next()) ?? fail("A header is a name, a colon and a value.");
      headers[name.trim().toLowerCase()] = said;
    } else if (BODY.has(word)) {
      if (word === "--json") headers["content-type"] ??= JSON_TYPE;
      pieces.push(next());
      if (/^@/.test(pieces.at(-1)) && word !== "--data-raw") fail("A file cannot be read here: paste what is in it.");
    } else if (word === "--url") url = next();
    else if (word === "-u" || word === "--user") headers.authorization = `Basic ${btoa(next())}`;
    else if (word.startsWith("-") && word !== "-") {
      if (!BARE.has(word) && !/^-[sSivkLNfg]+$/.test(word)) fail(`${word} is not known here: leave it out.`);
    } else url = word;
  }
  if (!url) fail("There is no address in it.");
  const body = pieces.length ? pieces.join("&") : null;
  return { method: method ?? (body === null ? "GET" : "POST"), path: pathOf(url), headers, body };
}

function pathOf(url) {
  const path = url.replace(/^[a-z]+:\/\//i, "").replace(/^[^/?#]*/, (host) => (url.startsWith("/") ? host : ""));
  return path.startsWith("/") ? path.replace(/#.*$/, "") : `/${path.replace(/#.*$/, "")}`;
}

function fail(why) {
  throw new Error(why);
}
