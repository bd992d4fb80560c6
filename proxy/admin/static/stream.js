/**
 * Server-sent events over fetch, as EventSource can send no token; begun again when they end, later each
 * time nothing came, and not watched at all by a page nobody sees.
 */

import { Failed } from "./api.js";

const FIRST_MS = 500;
const LONGEST_MS = 15_000;
const MOST_CHARACTERS = 1_000_000; // of one event; more is not ours
const SILENT_MS = 45_000; // the proxy says something every 15 s

/** The events of a body: {event, data, id}. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), SILENT_MS);
      if (done) return;
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop();
      if (rest.length > MOST_CHARACTERS) throw new Failed(0, "The stream of events makes no sense.");
      for (const block of blocks) {
        const event = read(block);
        if (event.data) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function read(block) {
  const event = { event: "message", data: "", id: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data") event.data += event.data ? `\n${value}` : value;
    else if (name === "event" || name === "id") event[name] = value;
  }
  return event;
}

function within(promise, limitMs) {
  let timer;
  const late = new Promise((_, refuse) => {
    timer = setTimeout(() => refuse(new Failed(0, "Nothing came for a while.")), limitMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * Watch `path` until `signal` is aborted.
 *
 * `heard(event, data)` is told of each event, and `standing(state, why)` how things are: "open", "away"
 * (nobody looks at the page) or "lost" (with what to do; it is being tried again). `parameters()` is
 * asked at each beginning.
 */
export async function watch(api, path, parameters, { heard, standing, signal }) {
  let wait = FIRST_MS;
  while (!signal.aborted) {
    if (document.hidden) {
      standing("away", "");
      await shown(signal);
      continue;
    }
    const away = new AbortController();
    const hide = () => document.hidden && away.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      const both = AbortSignal.any([signal, away.signal]);
      const response = await api.fetch(path, { parameters: parameters(), signal: both });
      standing("open", "");
      for await (const { event, data } of events(response.body)) {
        wait = FIRST_MS;
        heard(event, JSON.parse(data));
      }
      standing("lost", "The stream ended; it is being opened again.");
    } catch (error) {
      if (signal.aborted) return;
      if (!away.signal.aborted) standing("lost", error instanceof Failed ? error.message : "The stream broke off.");
    } finally {
      document.removeEventListener("visibilitychange", hide);
    }
    if (!away.signal.aborted) await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, LONGEST_MS);
  }
}

/** Resolves after so many milliseconds, or once `signal` is aborted. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}

function shown(signal) {
  return new Promise((resolve) => {
    function look() {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    }
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/**
 * Do `ask` now and every `everyMs` until `signal` is aborted, but for times when nobody looks. What it
 * raises is told to `failed`, which returns nothing; the next time comes all the same.
 */
export async function repeat(ask, everyMs, { failed, signal }) {
  while (!signal.aborted) {
    if (document.hidden) await shown(signal);
    if (signal.aborted) return;
    try {
      await ask();
    } catch (error) {
      if (signal.aborted) return;
      failed(error);
    }
    await pause(everyMs, signal);
  }
}
