// What a person ordered: how many orders, what they came to, and when the last one was.
import { decimal, deriver, iso } from "./cdp.js";

export const { metadata, derivation } = deriver({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Orders, what they came to, and when the last one was.",
  events: ["Order Completed"],
  reads: { revenue: decimal("/properties/revenue") },
  outputs: { order_count: "integer", total_spend: "decimal", last_order_at: "text" },
  laws: ["commutative", "mergeable"],
  maxStateBytes: 256,

  start: () => ({ orders: 0, spend: "0", last: 0 }),
  step: (state, event) => ({
    orders: state.orders + 1,
    spend: decimal.add(state.spend, event.revenue ?? "0"),
    last: state.orders === 0 ? event.occurredAt : Math.max(state.last, event.occurredAt),
  }),
  join: (a, b) => ({
    orders: a.orders + b.orders,
    spend: decimal.add(a.spend, b.spend),
    last: Math.max(a.last, b.last),
  }),
  read: (state) => ({
    order_count: state.orders,
    total_spend: state.spend,
    last_order_at: state.orders === 0 ? undefined : iso(state.last),
  }),
});
