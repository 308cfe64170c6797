/* What a person ordered: how many orders, what they came to, and when the last one was. */
#include "cdp.h"

enum { REVENUE };
enum { ORDER_COUNT, TOTAL_SPEND, LAST_ORDER_AT };

CDP_ABOUT(
  .name = "{{name}}", .version = "0.1.0",
  .summary = "Orders, what they came to, and when the last one was.",
  .events = {"Order Completed"},
  .reads = {[REVENUE] = {"/properties/revenue", CDP_DECIMAL}},
  .outputs = {[ORDER_COUNT] = {"order_count", CDP_INTEGER}, [TOTAL_SPEND] = {"total_spend", CDP_DECIMAL},
              [LAST_ORDER_AT] = {"last_order_at", CDP_TEXT}},
  .laws = CDP_COMMUTATIVE | CDP_MERGEABLE);

typedef struct { cdp_decimal spend; int64_t orders, last; } state;

static void step(state *s, cdp_event event, cdp_text config) {
  (void)config;
  cdp_decimal revenue;
  if (cdp_get_decimal(event, REVENUE, &revenue)) s->spend = cdp_decimal_add(s->spend, revenue);
  int64_t at = cdp_occurred_at(event);
  if (!s->orders || at > s->last) s->last = at;
  s->orders++;
}

static void join(state *s, const state *other, cdp_text config) {
  (void)config;
  s->spend = cdp_decimal_add(s->spend, other->spend);
  if (other->last > s->last) s->last = other->last;
  s->orders += other->orders;
}

static void read(const state *s, int64_t now, cdp_values *out, cdp_text config) {
  (void)now, (void)config;
  cdp_out_integer(out, ORDER_COUNT, s->orders);
  cdp_out_decimal(out, TOTAL_SPEND, s->spend);
  if (s->orders) cdp_out_text(out, LAST_ORDER_AT, cdp_iso(s->last));
}

CDP_DERIVER(state, step, join, read);
