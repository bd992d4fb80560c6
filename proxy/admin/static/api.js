/**
 * What the proxy is asked: JSON over fetch with the token, which stays in this tab's session storage and
 * is never part of an address.
 */

const ROOT = new URL("../", import.meta.url);
const LIMIT_MS = 30_000;
const KEPT = "token";

/** An answer that is none, in words that say what to do. `status` is 0 where nobody answered. */
export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const ADVICE = {
  403: "The proxy takes this page for one of another site. Open it at the address of the admin listener.",
  421: "The admin listener does not go by this name. Add it to admin.allowed_hosts, or use its address.",
  429: "Too many wrong tokens came from this address. Wait a few seconds and try again.",
};
const UNREACHED = "The proxy cannot be reached. Is it running, and is the admin listener still at this address?";

/** Asks the proxy; `wantToken(wrong)` resolves to a token, or to null if there is none to be had. */
export class Api {
  constructor(wantToken) {
    this.wantToken = wantToken;
    this.asking = null; // the token dialog that is open, shared by all who wait for it
  }

  get token() {
    return sessionStorage.getItem(KEPT);
  }

  /** Forget the token; the next question asks for it. */
  forget() {
    sessionStorage.removeItem(KEPT);
  }

  /** The answer to GET `path`, as an object; parameters that are empty are left out. */
  async get(path, parameters = {}, signal = undefined) {
    return (await this.fetch(path, { parameters, signal })).json();
  }

  /** The answer to POST `path` and its status. */
  async post(path, body, signal = undefined) {
    const response = await this.fetch(path, { method: "POST", body, signal });
    return { status: response.status, ...(await response.json()) };
  }

  /** Whether there is such a path: what is switched off is not offered. */
  async offers(path, signal = undefined) {
    return Object.hasOwn((await this.get("/openapi.json", {}, signal)).paths, path);
  }

  /** A response that is no error; for streams and files. Raises Failed, or what aborting `signal` raises. */
  async fetch(path, { method = "GET", parameters = {}, body, signal, limitMs = LIMIT_MS } = {}) {
    const url = new URL(path.replace(/^\//, ""), ROOT);
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
    }
    for (;;) {
      const token = this.token;
      const response = await this.once(url, method, token, body, signal, limitMs);
      if (response.ok) return response;
      if (response.status !== 401) throw await failure(response);
      if (this.token === token) await this.renew(token !== null);
      signal?.throwIfAborted();
    }
  }

  async once(url, method, token, body, signal, limitMs) {
    const headers = { Accept: "application/json, text/event-stream" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const clock = new AbortController();
    const timer = setTimeout(() => clock.abort(), limitMs); // until the head is here
    try {
      return await fetch(url, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, clock.signal]) : clock.signal,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Failed(0, clock.signal.aborted ? `No answer came within ${limitMs / 1000} s. Try again.` : UNREACHED);
    } finally {
      clearTimeout(timer);
    }
  }

  async renew(wrong) {
    this.asking ??= this.wantToken(wrong).finally(() => (this.asking = null));
    const token = await this.asking;
    if (token === null) throw new Failed(401, "The proxy wants its admin token. Reload this page to enter it.");
    sessionStorage.setItem(KEPT, token);
  }
}

async function failure(response) {
  let why = ADVICE[response.status];
  if (!why) {
    try {
      why = String((await response.json()).error);
    } catch {
      why = `The proxy answered ${response.status}.`;
    }
  }
  return new Failed(response.status, why);
}
