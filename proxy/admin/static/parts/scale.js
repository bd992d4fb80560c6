/** From numbers to heights: ticks at round numbers, evenly or by powers of ten. */

const MOST_DECADES = 6;

/** Round numbers from 0 to just above `most`. */
export function nice(most) {
  if (!(most > 0)) return [0, 1];
  const rough = most / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(6)));
}

/** Powers of ten around `values`, but for those that are far below the highest. */
export function decades(values) {
  const found = values.filter((value) => value > 0);
  if (!found.length) return [0.001, 1];
  const high = Math.ceil(Math.log10(Math.max(...found)) - 1e-9);
  const low = Math.max(high - MOST_DECADES, Math.min(high - 1, Math.floor(Math.log10(Math.min(...found)))));
  return Array.from({ length: high - low + 1 }, (_, index) => Number((10 ** (low + index)).toPrecision(6)));
}

/** The share of the height for a value: 0 at the lowest tick, 1 at the highest. */
export function linear(ticks) {
  return (value) => value / ticks.at(-1);
}

/** The same by powers of ten; what is below the lowest tick is at the bottom. */
export function logarithmic(ticks) {
  const [low, high] = [Math.log10(ticks[0]), Math.log10(ticks.at(-1))];
  return (value) => (value > 0 ? Math.max(0, (Math.log10(value) - low) / (high - low)) : 0);
}
