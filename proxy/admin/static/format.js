/** Numbers as people read them: with units, rounded to what can be told apart; an en dash is "not known". */

export const UNKNOWN = "–";

const GAP = "\u00a0"; // a number and its unit stay on one line

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const two = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** 1,204 */
export const count = (value) => (known(value) ? plain.format(value) : UNKNOWN);

/** 1,204, but 1.2M */
export const brief = (value) => (known(value) ? (Math.abs(value) < 10000 ? plain : compact).format(value) : UNKNOWN);

/** 62.4 %, of 0.624 */
export const percent = (value) => (known(value) ? `${plain.format(value * 100)}${GAP}%` : UNKNOWN);

/** 0.857: a likeness, a threshold. */
export const score = (value) => (known(value) ? value.toFixed(3) : UNKNOWN);

/** 3.2/s */
export const rate = (value) => (known(value) ? `${(value < 1 ? two : plain).format(value)}/s` : UNKNOWN);

/** 412 µs, 12.3 ms, 3.2 s, 4 min 12 s, 3 h 5 min, 2 d 4 h; of seconds. */
export function duration(value) {
  if (!known(value)) return UNKNOWN;
  if (value < 0) return `−${duration(-value)}`;
  if (value === 0) return `0${GAP}s`;
  if (value < 0.0009995) return `${three.format(value * 1e6)}${GAP}µs`;
  if (value < 0.9995) return `${three.format(value * 1e3)}${GAP}ms`;
  if (value < 59.95) return `${three.format(value)}${GAP}s`;
  const whole = Math.round(value);
  if (whole < 3600) return both(whole, 60, "min", "s");
  if (whole < 86400) return both(Math.round(whole / 60), 60, "h", "min");
  return both(Math.round(whole / 3600), 24, "d", "h");
}

function both(small, many, large, unit) {
  const rest = small % many;
  return `${plain.format(Math.floor(small / many))}${GAP}${large}${rest ? `${GAP}${rest}${GAP}${unit}` : ""}`;
}

/** 512 B, 1.46 KiB, 20.1 MiB */
export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  let left = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(left) < 1000) return `${three.format(left)}${GAP}${unit}`;
    left /= 1024;
  }
  return `${three.format(left)}${GAP}TiB`;
}

/** $12.30, and $0.0042 where cents are too coarse. */
export function money(value, currency) {
  if (!known(value)) return UNKNOWN;
  const coarse = value === 0 || Math.abs(value) >= 1;
  const digits = coarse ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumSignificantDigits: 2 };
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, ...digits }).format(value);
  } catch {
    return `${new Intl.NumberFormat("en", digits).format(value)} ${currency ?? ""}`.trim();
  }
}

const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const whole = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const told = (format, at) => {
  const date = new Date(at ?? NaN);
  return Number.isNaN(date.getTime()) ? UNKNOWN : format.format(date);
};

/** 14:03, by this machine's clock; of a text or of milliseconds. */
export const minute = (at) => told(hours, at);

/** 14:03:27 */
export const clock = (at) => told(seconds, at);

/** 3 Mar 2026, 14:03:27 */
export const moment = (at) => told(whole, at);

/** One entry, 3 entries. */
export const some = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** The beginning of a key: enough to tell it from others on a page. */
export const short = (key) => (!key ? UNKNOWN : key.length > 12 ? `${key.slice(0, 10)}…` : key);
