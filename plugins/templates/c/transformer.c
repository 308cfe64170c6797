/* ResultFly CDP: the export of a transform. See cdp.h. */
#include "cdp.c"

typedef struct { uint32_t row; cdp_text why; } wire_reason;
typedef struct { uint32_t row; uint8_t tag; cdp_text why; } wire_failed;
typedef struct { cdp_text pointer; list rows; cdp_column values; } wire_assignment;
typedef struct { uint32_t row; cdp_text event_type; int64_t occurred_at; cdp_text document; } wire_event;
typedef struct { list decisions, reasons, failures, assignments, new_events; } wire_outcome;
_Static_assert(sizeof(wire_assignment) == 44 && sizeof(wire_event) == 32 && sizeof(wire_failed) == 16, "the contract's layout");

typedef struct { uint32_t *rows; cell *cells; size_t count; } writer;
static writer writers[64];
static uint32_t rows_max;
static wire_event *born;
static size_t born_count, born_room;

static void set(cdp_patch patch, size_t write, cell value) {
  if (write >= 64 || !cdp_me.writes[write].pointer) __builtin_trap();
  writer *to = &writers[write];
  if (!to->rows) {
    to->rows = cdp_alloc(rows_max * sizeof *to->rows);
    to->cells = cdp_alloc(rows_max * sizeof *to->cells);
  }
  if (to->count && to->rows[to->count - 1] == patch.row) to->count--; /* the later write stays */
  to->rows[to->count] = patch.row;
  to->cells[to->count++] = value;
}
void cdp_set_text(cdp_patch p, size_t w, cdp_text text) { set(p, w, (cell){.tag = 0, .text = text}); }
void cdp_set_integer(cdp_patch p, size_t w, int64_t integer) { set(p, w, (cell){.tag = 1, .integer = integer}); }
void cdp_set_number(cdp_patch p, size_t w, double number) { set(p, w, (cell){.tag = 2, .number = number}); }
void cdp_set_boolean(cdp_patch p, size_t w, bool boolean) { set(p, w, (cell){.tag = 3, .boolean = boolean}); }
void cdp_set_null(cdp_patch p, size_t w) { set(p, w, (cell){.presence = CDP_NULL}); }
void cdp_remove(cdp_patch p, size_t w) { set(p, w, (cell){.presence = CDP_ABSENT}); }

void cdp_bear(cdp_patch patch, cdp_text event_type, int64_t occurred_at, cdp_text document) {
  if (born_count == born_room) {
    wire_event *more = cdp_alloc((born_room = born_room * 2 + 16) * sizeof *more);
    if (born_count) memcpy(more, born, born_count * sizeof *more);
    born = more;
  }
  born[born_count++] = (wire_event){patch.row, event_type, occurred_at, document};
}

EXPORT("transform@1.0.0#apply") wire_outcome *cdp_apply(const char *config, size_t config_len, uint32_t rows,
    const uint32_t *event_type, size_t event_types, const cdp_text *types, size_t types_len, const int64_t *occurred_at,
    size_t occurred_len, const int64_t *received_at, size_t received_len, const cdp_column *fields_ptr, size_t fields_len) {
  cdp_batch batch = {rows, event_type, event_types, types, types_len, occurred_at, occurred_len, received_at, received_len, fields_ptr, fields_len};
  memset(writers, 0, sizeof writers);
  rows_max = rows;
  born = 0;
  born_count = born_room = 0;
  uint8_t *decisions = cdp_alloc(rows);
  wire_reason *reasons = cdp_alloc(rows * sizeof *reasons);
  wire_failed *failures = cdp_alloc(rows * sizeof *failures);
  size_t reason_count = 0, failure_count = 0;
  for (uint32_t row = 0; row < rows; row++) {
    cdp_decision one = cdp_my_transformer((cdp_event){&batch, row}, (cdp_patch){row}, (cdp_text){config, config_len});
    decisions[row] = one.decision;
    if (one.decision == 1 && one.why.len) reasons[reason_count++] = (wire_reason){row, one.why};
    if (one.decision == 2) failures[failure_count++] = (wire_failed){row, one.failure, one.why};
  }
  wire_assignment *assignments = cdp_alloc(64 * sizeof *assignments);
  size_t assigned = 0;
  for (size_t w = 0; w < 64 && cdp_me.writes[w].pointer; w++) {
    writer *from = &writers[w];
    if (!from->count) continue;
    cdp_column values = column_of(cdp_me.writes[w].kind, from->cells, from->count);
    assignments[assigned++] = (wire_assignment){cdp_str(cdp_me.writes[w].pointer), {from->rows, from->count}, values};
  }
  wire_outcome *out = cdp_alloc(sizeof *out);
  *out = (wire_outcome){{decisions, rows}, {reasons, reason_count}, {failures, failure_count}, {assignments, assigned}, {born, born_count}};
  return out;
}
__attribute__((export_name("cabi_post_cdp:plugin/transform@1.0.0#apply"), used)) void cdp_apply_over(void *r) { (void)r; over(); }
