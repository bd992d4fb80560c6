/** What the cache did, in words for people; the proxy's own list of reasons says why. */

/** All outcomes, in the order they are shown and stacked. */
export const OUTCOMES = ["hit", "stale", "coalesced", "miss", "bypass", "degraded", "error", "shed"];

const SAYS = {
  hit: ["Hit", "Answered from the cache."],
  stale: ["Stale", "Answered from the cache, past its lifetime."],
  coalesced: ["Coalesced", "Answered by a call that somebody else had caused."],
  miss: ["Miss", "The backend was asked."],
  bypass: ["Bypass", "Nothing for the cache: passed on as it came."],
  degraded: ["Degraded", "The backend fails, and something else was said."],
  error: ["Error", "The proxy had no answer."],
  shed: ["Shed", "Turned away before it could become a request."],
};

/** One word for an outcome. */
export const label = (outcome) => SAYS[outcome]?.[0] ?? String(outcome);

/** A sentence for an outcome. */
export const sentence = (outcome) => SAYS[outcome]?.[1] ?? "";

/** Whether a cache that knew more could have answered: what counts for the hit ratio. */
export const SPARED = new Set(["hit", "stale", "coalesced"]);

const TIERS = { l1_memory: "Memory", l2_disk: "Disk", l2_redis: "Redis", guard: "Guard" };

/** A tier as people call it. */
export const tierName = (tier) => TIERS[tier] ?? String(tier);

/** The proxy's reasons: what each says, and what to do. Asked for once. */
export class Reasons {
  constructor(api) {
    this.api = api;
    this.known = new Map();
    this.asking = null;
  }

  /** Resolves once they are there; without them the bare words do. */
  ready() {
    this.asking ??= this.api
      .get("/reasons")
      .then(({ reasons }) => {
        for (const each of reasons) this.known.set(each.reason, each);
      })
      .catch(() => (this.asking = null));
    return this.asking;
  }

  /** Why, in a sentence; the word itself where nobody has told. */
  says(reason) {
    return this.known.get(reason)?.says ?? reason ?? "";
  }

  /** What to do about it; empty if nothing. */
  advice(reason) {
    return this.known.get(reason)?.advice ?? "";
  }
}
