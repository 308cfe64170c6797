// Says of each buyer what the last order was worth: high, mid or low. Test orders go no further.
import { boolean, decimal, drop, reject, text, transformer } from "./cdp.js";

export const { metadata, transform } = transformer({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Says of each buyer what the last order was worth.",
  events: ["Order Completed"],
  reads: { revenue: decimal("/properties/revenue"), test: boolean("/properties/test") },
  writes: { band: text("/traits/last_order_band") },

  apply({ revenue, test }) {
    if (test) return drop("a test order");
    if (revenue == null) return;
    if (decimal.cmp(revenue, "0") < 0) return reject("the revenue is below zero");
    const band = decimal.cmp(revenue, "200") >= 0 ? "high" : decimal.cmp(revenue, "50") >= 0 ? "mid" : "low";
    return { set: { band } };
  },
});
