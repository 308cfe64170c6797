// The bench's work as a JavaScript guest: see `work.rs` of the bench.
import { drop, integer, number, text, transformer } from "./cdp.js";

export const { metadata, transform } = transformer({
  name: "bench",
  version: "1.0.0",
  summary: "Writes beside each order what it is worth.",
  events: ["Order Completed"],
  reads: {
    total: number("/properties/total"),
    currency: text("/properties/currency"),
    country: text("/properties/country"),
    lines: integer("/properties/lines"),
  },
  writes: { band: text("/properties/value_band") },
  check(settings) {
    while (settings.forever);
    return [];
  },
  apply({ total, currency, country, lines }) {
    if (!lines) return drop();
    if (total == null) return;
    const rate = currency === "GBP" ? 1.17 : currency === "USD" ? 0.92 : 1.0;
    const worth = total * rate * (country === "United Kingdom" ? 1.0 : 0.9);
    return { set: { band: worth >= 200 ? "high" : worth >= 50 ? "mid" : "low" } };
  },
});
