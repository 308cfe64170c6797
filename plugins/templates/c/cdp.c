/* ResultFly CDP: the part that all plugins in C share. See cdp.h. */
#include "cdp.h"

#define EXPORT(name) __attribute__((export_name("cdp:plugin/" name), used))

/* -- Memory: blocks that are given back together when a call is over ---------------------------------------------- */

enum { BLOCK_BYTES = 64 << 10 };
typedef struct block { struct block *next; size_t bytes; } block;
static block *blocks, *spare;
static char *at, *end;
void *malloc(size_t);

void *cdp_alloc(size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  if ((size_t)(end - at) < bytes) {
    size_t want = sizeof(block) + 16 + (bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES);
    block **from = &spare;
    while (*from && (*from)->bytes < want) from = &(*from)->next;
    block *found = *from;
    if (found) *from = found->next;
    else if (!(found = malloc(want))) __builtin_trap();
    else found->bytes = want;
    found->next = blocks;
    blocks = found;
    at = (char *)(((uintptr_t)(found + 1) + 15) & ~(uintptr_t)15);
    end = (char *)found + found->bytes;
  }
  void *out = at;
  at += bytes;
  return memset(out, 0, bytes);
}

static void over(void) {
  while (blocks) {
    block *one = blocks;
    blocks = one->next;
    one->next = spare;
    spare = one;
  }
  at = end = 0;
}

__attribute__((export_name("cabi_realloc"), used)) void *cdp_realloc(void *old, size_t old_bytes, size_t align, size_t bytes) {
  (void)align; /* at most 8, and all of ours are aligned to 16 */
  if (bytes <= old_bytes) return old;
  void *out = cdp_alloc(bytes);
  return old_bytes ? memcpy(out, old, old_bytes) : out;
}

/* -- Metadata ------------------------------------------------------------------------------------------------------ */

typedef struct { const void *ptr; size_t len; } list;
typedef struct { cdp_text pointer; uint8_t kind; } wire_field;
typedef struct { cdp_text name, version, summary; list events, reads, writes; cdp_text schema; list secrets, hosts, tables; } wire_descriptor;
typedef struct { uint8_t err; list problems; } wire_checked;

static list texts(const char *const *from) {
  size_t count = 0;
  while (from[count]) count++;
  cdp_text *out = cdp_alloc(count * sizeof *out);
  for (size_t i = 0; i < count; i++) out[i] = cdp_str(from[i]);
  return (list){out, count};
}

static list fields(const cdp_field *from) {
  size_t count = 0;
  while (from[count].pointer) count++;
  wire_field *out = cdp_alloc(count * sizeof *out);
  for (size_t i = 0; i < count; i++) out[i] = (wire_field){cdp_str(from[i].pointer), from[i].kind};
  return (list){out, count};
}

EXPORT("metadata@1.0.0#describe") wire_descriptor *cdp_describe(void) {
  wire_descriptor *out = cdp_alloc(sizeof *out);
  *out = (wire_descriptor){cdp_str(cdp_me.name), cdp_str(cdp_me.version), cdp_str(cdp_me.summary), texts(cdp_me.events),
    fields(cdp_me.reads), fields(cdp_me.writes), cdp_str(cdp_me.config_schema), {0, 0}, {0, 0}, texts(cdp_me.tables)};
  return out;
}
__attribute__((export_name("cabi_post_cdp:plugin/metadata@1.0.0#describe"), used)) void cdp_describe_over(void *r) { (void)r; over(); }

/* A plugin that takes a configuration defines this; a sentence is a problem. */
__attribute__((weak)) const char *cdp_check_config(cdp_text config) { (void)config; return 0; }

EXPORT("metadata@1.0.0#check-config") wire_checked *cdp_checked(const char *ptr, size_t len) {
  wire_checked *out = cdp_alloc(sizeof *out);
  const char *problem = cdp_check_config((cdp_text){ptr, len});
  if (problem) {
    cdp_text *one = cdp_alloc(sizeof *one);
    *one = cdp_str(problem);
    *out = (wire_checked){1, {one, 1}};
  }
  return out;
}
__attribute__((export_name("cabi_post_cdp:plugin/metadata@1.0.0#check-config"), used)) void cdp_checked_over(void *r) { (void)r; over(); }

__attribute__((import_module("cdp:plugin/log@1.0.0"), import_name("write"))) void cdp_log_write(int level, const char *ptr, size_t len);
void cdp_log(int level, const char *message) { cdp_log_write(level, message, strlen(message)); }

/* -- Events -------------------------------------------------------------------------------------------------------- */

cdp_text cdp_event_type(cdp_event event) {
  uint32_t number = event.batch->event_type[event.row];
  return cdp_me.events[0] ? cdp_str(cdp_me.events[number]) : event.batch->types[number];
}

uint8_t cdp_presence(cdp_event event, size_t read) {
  const cdp_column *column = &event.batch->fields[read];
  return column->presences ? column->presence[event.row] : CDP_PRESENT;
}

static const cdp_column *present(cdp_event event, size_t read, uint8_t tag) {
  const cdp_column *column = &event.batch->fields[read];
  if (column->tag != tag) __builtin_trap(); /* the getter does not fit the declared kind */
  return cdp_presence(event, read) == CDP_PRESENT ? column : 0;
}

static cdp_text item(const cdp_list *from, size_t i) {
  uint32_t start = i ? from->ends[i - 1] : 0;
  return (cdp_text){from->data + start, from->ends[i] - start};
}

bool cdp_get_text(cdp_event event, size_t read, cdp_text *out) {
  const cdp_column *column = present(event, read, 0);
  if (column) *out = item(&column->texts, event.row);
  return column;
}

bool cdp_get_integer(cdp_event event, size_t read, int64_t *out) {
  const cdp_column *column = present(event, read, 1);
  if (column) *out = column->integers.ptr[event.row];
  return column;
}

bool cdp_get_number(cdp_event event, size_t read, double *out) {
  const cdp_column *column = present(event, read, 2);
  if (column) *out = column->numbers.ptr[event.row];
  return column;
}

bool cdp_get_boolean(cdp_event event, size_t read, bool *out) {
  const cdp_column *column = present(event, read, 3);
  if (column) *out = column->booleans.ptr[event.row];
  return column;
}

/* -- Decimals and times -------------------------------------------------------------------------------------------- */

static __int128 times_ten(__int128 units) {
  __int128 out;
  if (__builtin_mul_overflow(units, (__int128)10, &out)) __builtin_trap();
  return out;
}

bool cdp_decimal_parse(cdp_text text, cdp_decimal *out) {
  cdp_decimal d = {0};
  bool minus = text.len && text.ptr[0] == '-', point = false, digits = false;
  for (size_t i = minus; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '.' && !point) { point = true; continue; }
    if (c < '0' || c > '9') return false;
    d.units = times_ten(d.units) + (c - '0');
    d.scale += point;
    digits = true;
  }
  if (minus) d.units = -d.units;
  *out = d;
  return digits;
}

bool cdp_get_decimal(cdp_event event, size_t read, cdp_decimal *out) {
  cdp_text text;
  return cdp_get_text(event, read, &text) && cdp_decimal_parse(text, out);
}

cdp_decimal cdp_decimal_add(cdp_decimal a, cdp_decimal b) {
  for (; a.scale < b.scale; a.scale++) a.units = times_ten(a.units);
  for (; b.scale < a.scale; b.scale++) b.units = times_ten(b.units);
  if (__builtin_add_overflow(a.units, b.units, &a.units)) __builtin_trap();
  return a;
}

cdp_decimal cdp_decimal_negate(cdp_decimal a) { a.units = -a.units; return a; }

cdp_text cdp_decimal_text(cdp_decimal a) {
  while (a.scale > 0 && a.units % 10 == 0) { a.units /= 10; a.scale--; }
  bool minus = a.units < 0;
  unsigned __int128 left = minus ? -(unsigned __int128)a.units : (unsigned __int128)a.units;
  char *out = cdp_alloc(a.scale + 48), *stop = out + a.scale + 48, *p = stop;
  for (int32_t digit = 0; left || digit <= a.scale; digit++) {
    if (digit == a.scale && a.scale) *--p = '.';
    *--p = '0' + (char)(left % 10);
    left /= 10;
  }
  if (minus) *--p = '-';
  return (cdp_text){p, stop - p};
}

static void put(char *to, size_t digits, int64_t value) {
  while (digits--) { to[digits] = '0' + (char)(value % 10); value /= 10; }
}

cdp_text cdp_iso(int64_t ms) {
  int64_t days = ms / 86400000, rest = ms % 86400000;
  if (rest < 0) { rest += 86400000; days--; }
  /* Years that begin in March have their leap day at the end. */
  int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097, day = shifted - era * 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365, of_year = day - (365 * year + year / 4 - year / 100);
  int64_t month = (5 * of_year + 2) / 153, of_month = of_year - (153 * month + 2) / 5 + 1;
  month += month < 10 ? 3 : -9;
  char *out = cdp_alloc(24);
  memcpy(out, "0000-00-00T00:00:00.000Z", 24);
  put(out, 4, year + era * 400 + (month <= 2));
  put(out + 5, 2, month);
  put(out + 8, 2, of_month);
  put(out + 11, 2, rest / 3600000);
  put(out + 14, 2, rest / 60000 % 60);
  put(out + 17, 2, rest / 1000 % 60);
  put(out + 20, 3, rest % 1000);
  return (cdp_text){out, 24};
}

/* -- Columns that are made ----------------------------------------------------------------------------------------- */

typedef struct { uint8_t tag; cdp_text text; int64_t integer; double number; bool boolean; uint8_t presence; } cell;

static uint8_t tag_of(cdp_kind kind) {
  return kind == CDP_INTEGER ? 1 : kind == CDP_NUMBER ? 2 : kind == CDP_BOOLEAN ? 3 : 0;
}

static cdp_list gather(const cell *cells, size_t count) {
  size_t len = 0;
  uint32_t *ends = cdp_alloc(count * sizeof *ends);
  for (size_t i = 0; i < count; i++) ends[i] = len += cells[i].text.len;
  char *data = cdp_alloc(len);
  for (size_t i = 0; i < count; i++) memcpy(data + ends[i] - cells[i].text.len, cells[i].text.ptr, cells[i].text.len);
  return (cdp_list){ends, count, data, len};
}

static cdp_column column_of(cdp_kind kind, const cell *cells, size_t count) {
  cdp_column out = {.tag = tag_of(kind)};
  uint8_t *presence = cdp_alloc(count);
  bool all = true;
  for (size_t i = 0; i < count; i++) {
    presence[i] = cells[i].presence;
    if (presence[i] != CDP_PRESENT) all = false;
    else if (cells[i].tag != out.tag) __builtin_trap(); /* the setter does not fit the declared kind */
  }
  if (!all) { out.presence = presence; out.presences = count; }
  if (out.tag == 0) { out.texts = gather(cells, count); return out; }
  size_t width = out.tag == 3 ? 1 : 8;
  char *values = cdp_alloc(count * width);
  for (size_t i = 0; i < count; i++) {
    if (out.tag == 1) memcpy(values + 8 * i, &cells[i].integer, 8);
    else if (out.tag == 2) memcpy(values + 8 * i, &cells[i].number, 8);
    else values[i] = (char)cells[i].boolean;
  }
  out.integers.ptr = (const int64_t *)(void *)values;
  out.integers.len = count;
  return out;
}
