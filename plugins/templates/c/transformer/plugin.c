/* Says of each buyer what the last order was worth: high, mid or low. Test orders go no further. */
#include "cdp.h"

enum { REVENUE, TEST };
enum { BAND };

CDP_ABOUT(
  .name = "{{name}}", .version = "0.1.0",
  .summary = "Says of each buyer what the last order was worth.",
  .events = {"Order Completed"},
  .reads = {[REVENUE] = {"/properties/revenue", CDP_DECIMAL}, [TEST] = {"/properties/test", CDP_BOOLEAN}},
  .writes = {[BAND] = {"/traits/last_order_band", CDP_TEXT}});

static int compare(cdp_decimal a, int64_t whole) {
  cdp_decimal difference = cdp_decimal_add(a, (cdp_decimal){.units = -(__int128)whole});
  return difference.units < 0 ? -1 : difference.units > 0;
}

static cdp_decision apply(cdp_event event, cdp_patch patch, cdp_text config) {
  (void)config;
  bool test;
  cdp_decimal revenue;
  if (cdp_get_boolean(event, TEST, &test) && test) return cdp_drop("a test order");
  if (!cdp_get_decimal(event, REVENUE, &revenue)) return cdp_keep();
  if (compare(revenue, 0) < 0) return cdp_reject("the revenue is below zero");
  cdp_set_text(patch, BAND, cdp_str(compare(revenue, 200) >= 0 ? "high" : compare(revenue, 50) >= 0 ? "mid" : "low"));
  return cdp_keep();
}

CDP_TRANSFORMER(apply);
