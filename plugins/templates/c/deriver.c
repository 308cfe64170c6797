/* ResultFly CDP: the exports of a derivation. See cdp.h. */
#include "cdp.c"

typedef struct { uint32_t state_version; uint8_t laws; list outputs; uint32_t max_state_bytes; struct { uint8_t some; uint32_t value; } lookback; } wire_shape;
typedef struct { uint8_t tag; cdp_text why; } wire_failure;
typedef struct { uint8_t err; union { cdp_list states; wire_failure failure; list readings[2]; }; } wire_result;
typedef struct { cdp_text config; cdp_list states; const uint32_t *ends; size_t groups; cdp_batch events; } fold_args;
typedef struct { uint8_t some; int64_t at; } wire_until;
_Static_assert(sizeof(wire_result) == 20 && sizeof(fold_args) == 76 && sizeof(wire_shape) == 28, "the contract's layout");

struct cdp_values { cell *cells; wire_until until; };

static size_t outputs(void) {
  size_t count = 0;
  while (cdp_me.outputs[count].name) count++;
  return count;
}

EXPORT("derivation@1.0.0#shape") wire_shape *cdp_shape(const char *config, size_t len) {
  (void)config, (void)len;
  wire_shape *out = cdp_alloc(sizeof *out);
  size_t count = outputs();
  wire_field *each = cdp_alloc(count * sizeof *each);
  for (size_t i = 0; i < count; i++) each[i] = (wire_field){cdp_str(cdp_me.outputs[i].name), cdp_me.outputs[i].kind};
  uint32_t bytes = cdp_me.max_state_bytes ? cdp_me.max_state_bytes : cdp_my_deriver.bytes;
  *out = (wire_shape){cdp_me.state_version ? cdp_me.state_version : 1, cdp_me.laws, {each, count}, bytes, {0, 0}};
  return out;
}
__attribute__((export_name("cabi_post_cdp:plugin/derivation@1.0.0#shape"), used)) void cdp_shape_over(void *r) { (void)r; over(); }

static wire_result *refuse(const char *why) {
  wire_result *out = cdp_alloc(sizeof *out);
  out->err = 1;
  out->failure = (wire_failure){0, cdp_str(why)};
  return out;
}

static wire_result *give(const cell *cells, size_t count) {
  wire_result *out = cdp_alloc(sizeof *out);
  out->states = gather(cells, count);
  return out;
}

/* A state to work on: zeroes when there is none yet, NULL when it is not one of ours. */
static void *open_state(cdp_text bytes) {
  if (bytes.len && bytes.len != cdp_my_deriver.bytes) return 0;
  void *state = cdp_alloc(cdp_my_deriver.bytes);
  if (bytes.len) memcpy(state, bytes.ptr, bytes.len);
  return state;
}

EXPORT("derivation@1.0.0#fold") wire_result *cdp_fold(const fold_args *args) {
  cell *out = cdp_alloc(args->groups * sizeof *out);
  for (uint32_t group = 0, row = 0; group < args->groups; group++) {
    out[group].text = item(&args->states, group);
    if (row == args->ends[group]) continue;
    void *state = open_state(out[group].text);
    if (!state) return refuse("a state has another size than this version's");
    for (; row < args->ends[group]; row++) cdp_my_deriver.step(state, (cdp_event){&args->events, row}, args->config);
    out[group].text = (cdp_text){state, cdp_my_deriver.bytes};
  }
  return give(out, args->groups);
}
__attribute__((export_name("cabi_post_cdp:plugin/derivation@1.0.0#fold"), used)) void cdp_fold_over(void *r) { (void)r; over(); }

EXPORT("derivation@1.0.0#combine") wire_result *cdp_combine(const char *config_ptr, size_t config_len, const uint32_t *left_ends,
    size_t left_count, const char *left_data, size_t left_len, const uint32_t *right_ends, size_t right_count, const char *right_data, size_t right_len) {
  cdp_text config = {config_ptr, config_len};
  cdp_list left = {left_ends, left_count, left_data, left_len}, right = {right_ends, right_count, right_data, right_len};
  cell *out = cdp_alloc(left.count * sizeof *out);
  for (size_t i = 0; i < left.count; i++) {
    cdp_text a = item(&left, i), b = item(&right, i);
    out[i].text = a.len ? a : b;
    if (!a.len || !b.len) continue;
    void *into = open_state(a), *from = open_state(b);
    if (!into || !from) return refuse("a state has another size than this version's");
    cdp_my_deriver.join(into, from, config);
    out[i].text = (cdp_text){into, cdp_my_deriver.bytes};
  }
  return give(out, left.count);
}
__attribute__((export_name("cabi_post_cdp:plugin/derivation@1.0.0#combine"), used)) void cdp_combine_over(void *r) { (void)r; over(); }

static void set(cdp_values *values, size_t output, cell value) {
  if (output >= outputs()) __builtin_trap();
  values->cells[output] = value;
}
void cdp_out_text(cdp_values *v, size_t o, cdp_text text) { set(v, o, (cell){.tag = 0, .text = text}); }
void cdp_out_integer(cdp_values *v, size_t o, int64_t integer) { set(v, o, (cell){.tag = 1, .integer = integer}); }
void cdp_out_number(cdp_values *v, size_t o, double number) { set(v, o, (cell){.tag = 2, .number = number}); }
void cdp_out_boolean(cdp_values *v, size_t o, bool boolean) { set(v, o, (cell){.tag = 3, .boolean = boolean}); }
void cdp_out_valid_until(cdp_values *v, int64_t at_ms) { v->until = (wire_until){1, at_ms}; }

EXPORT("derivation@1.0.0#read") wire_result *cdp_read(const char *config, size_t len, int64_t as_of, const uint32_t *ends, size_t count, const char *data, size_t data_len) {
  cdp_list states = {ends, count, data, data_len};
  size_t wide = outputs();
  cell *cells = cdp_alloc(wide * count * sizeof *cells), *row = cdp_alloc(wide * sizeof *row);
  wire_until *until = cdp_alloc(count * sizeof *until);
  for (size_t i = 0; i < count; i++) {
    const void *state = open_state(item(&states, i));
    if (!state) return refuse("a state has another size than this version's");
    for (size_t o = 0; o < wide; o++) row[o] = (cell){.presence = CDP_ABSENT};
    cdp_values values = {row, {0, 0}};
    cdp_my_deriver.read(state, as_of, &values, (cdp_text){config, len});
    until[i] = values.until;
    for (size_t o = 0; o < wide; o++) cells[o * count + i] = row[o];
  }
  cdp_column *columns = cdp_alloc(wide * sizeof *columns);
  for (size_t o = 0; o < wide; o++) columns[o] = column_of(cdp_me.outputs[o].kind, cells + o * count, count);
  wire_result *out = cdp_alloc(sizeof *out);
  out->readings[0] = (list){columns, wide};
  out->readings[1] = (list){until, count};
  return out;
}
__attribute__((export_name("cabi_post_cdp:plugin/derivation@1.0.0#read"), used)) void cdp_read_over(void *r) { (void)r; over(); }
