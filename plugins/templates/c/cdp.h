/* ResultFly CDP: what a plugin in C is made of.
 *
 * A plugin says what it is (`CDP_ABOUT`) and then calls CDP_DERIVER or CDP_TRANSFORMER once with its functions; these
 * lines become the exports of the contract. The structs below have the layout that the component model gives the
 * types of `wit/cdp-plugin.wit` on wasm32, so nothing is copied or translated.
 *
 * Memory from `cdp_alloc` lives until the call is over; nothing is to be freed.
 */
#ifndef CDP_H
#define CDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* -- What crosses the boundary ------------------------------------------------------------------------------------ */

typedef struct { const char *ptr; size_t len; } cdp_text;
typedef struct { const uint32_t *ends; size_t count; const char *data; size_t len; } cdp_list;

enum { CDP_PRESENT, CDP_ABSENT, CDP_NULL, CDP_MISTYPED };
typedef enum { CDP_TEXT, CDP_INTEGER, CDP_NUMBER, CDP_BOOLEAN, CDP_DECIMAL, CDP_JSON } cdp_kind;

typedef struct {
  const uint8_t *presence; size_t presences;
  uint8_t tag; /* 0 texts, 1 integers, 2 numbers, 3 booleans */
  union {
    cdp_list texts;
    struct { const int64_t *ptr; size_t len; } integers;
    struct { const double *ptr; size_t len; } numbers;
    struct { const uint8_t *ptr; size_t len; } booleans;
  };
} cdp_column;

typedef struct {
  uint32_t rows;
  const uint32_t *event_type; size_t event_types;
  const cdp_text *types; size_t types_len;
  const int64_t *occurred_at; size_t occurred_len;
  const int64_t *received_at; size_t received_len;
  const cdp_column *fields; size_t fields_len;
} cdp_batch;

_Static_assert(sizeof(cdp_column) == 28 && sizeof(cdp_batch) == 44, "the contract's layout");

/* -- Memory ------------------------------------------------------------------------------------------------------- */

/* Memory until the end of the call, zeroed. */
void *cdp_alloc(size_t bytes);

/* -- What the plugin is ------------------------------------------------------------------------------------------- */

typedef struct { const char *pointer; cdp_kind kind; } cdp_field;
typedef struct { const char *name; cdp_kind kind; } cdp_output;
enum { CDP_COMMUTATIVE = 1, CDP_MERGEABLE = 2, CDP_IDEMPOTENT = 4 };

/* Lists end with a NULL; what is left out is empty. */
typedef struct {
  const char *name, *version, *summary;
  const char *events[65]; /* empty: all */
  cdp_field reads[65], writes[65];
  const char *config_schema;
  const char *tables[17];
  /* Derivations only. */
  uint32_t state_version, max_state_bytes;
  uint8_t laws;
  cdp_output outputs[65];
} cdp_about;

extern const cdp_about cdp_me;
/* What the plugin is: CDP_ABOUT(.name = "…", .version = "…", …); */
#define CDP_ABOUT(...) const cdp_about cdp_me = {__VA_ARGS__}

/* -- One event ---------------------------------------------------------------------------------------------------- */

/* Fields are named by their position in `reads`. The getters give false when the value is absent, null or mistyped. */
typedef struct { const cdp_batch *batch; uint32_t row; } cdp_event;

cdp_text cdp_event_type(cdp_event event);
static inline int64_t cdp_occurred_at(cdp_event event) { return event.batch->occurred_at[event.row]; }
static inline int64_t cdp_received_at(cdp_event event) { return event.batch->received_at[event.row]; }
uint8_t cdp_presence(cdp_event event, size_t read);
/* Text, decimal and JSON fields. */
bool cdp_get_text(cdp_event event, size_t read, cdp_text *out);
bool cdp_get_integer(cdp_event event, size_t read, int64_t *out);
bool cdp_get_number(cdp_event event, size_t read, double *out);
bool cdp_get_boolean(cdp_event event, size_t read, bool *out);

static inline cdp_text cdp_str(const char *text) { return (cdp_text){text, text ? strlen(text) : 0}; }
static inline bool cdp_equal(cdp_text a, const char *b) { return a.len == strlen(b) && !memcmp(a.ptr, b, a.len); }

/* Writes a line to the plugin's log; 0 trace, 1 debug, 2 info, 3 warn, 4 error. */
void cdp_log(int level, const char *message);

/* -- Exact decimals ----------------------------------------------------------------------------------------------- */

/* units / 10^scale; zeroed memory is 0. Beyond 38 digits the plugin traps: a wrong sum is worse than none. */
typedef struct { __int128 units; int32_t scale; int32_t unused[3]; } cdp_decimal;

bool cdp_get_decimal(cdp_event event, size_t read, cdp_decimal *out);
bool cdp_decimal_parse(cdp_text text, cdp_decimal *out);
cdp_decimal cdp_decimal_add(cdp_decimal a, cdp_decimal b);
cdp_decimal cdp_decimal_negate(cdp_decimal a);
/* Plain notation, without needless zeros. */
cdp_text cdp_decimal_text(cdp_decimal a);
/* Milliseconds since 1970 as text, such as 2011-12-09T12:50:00.000Z. */
cdp_text cdp_iso(int64_t ms);

/* -- Derivations -------------------------------------------------------------------------------------------------- */

/* The values of one state: one call per output, in any order; what is not set is absent. */
typedef struct cdp_values cdp_values;
void cdp_out_text(cdp_values *values, size_t output, cdp_text text);
void cdp_out_integer(cdp_values *values, size_t output, int64_t integer);
void cdp_out_number(cdp_values *values, size_t output, double number);
void cdp_out_boolean(cdp_values *values, size_t output, bool boolean);
static inline void cdp_out_decimal(cdp_values *v, size_t output, cdp_decimal d) { cdp_out_text(v, output, cdp_decimal_text(d)); }
/* When the values change without a new event, in milliseconds since 1970. */
void cdp_out_valid_until(cdp_values *values, int64_t at);

typedef struct {
  size_t bytes;
  void (*step)(void *state, cdp_event event, cdp_text config);
  void (*join)(void *left, const void *right, cdp_text config);
  void (*read)(const void *state, int64_t now, cdp_values *values, cdp_text config);
} cdp_deriver;
extern const cdp_deriver cdp_my_deriver;

/* A fold over one person's events. STATE is a struct without pointers, which begins as zeroes and whose bytes the host
 * keeps; raise `state_version` when its meaning changes. STEP takes an event in, JOIN takes another history in (NULL
 * when it is not mergeable), READ sets the outputs. */
#define CDP_DERIVER(STATE, STEP, JOIN, READ)                                                                          \
  static void cdp_step_(void *s, cdp_event e, cdp_text c) { STEP((STATE *)s, e, c); }                                 \
  static void cdp_join_(void *l, const void *r, cdp_text c) { JOIN((STATE *)l, (const STATE *)r, c); }                \
  static void cdp_read_(const void *s, int64_t n, cdp_values *v, cdp_text c) { READ((const STATE *)s, n, v, c); }     \
  const cdp_deriver cdp_my_deriver = {sizeof(STATE), cdp_step_, cdp_join_, cdp_read_}

/* -- Transforms --------------------------------------------------------------------------------------------------- */

/* Takes what is to be changed on one event; fields are named by their position in `writes`. */
typedef struct { uint32_t row; } cdp_patch;
void cdp_set_text(cdp_patch patch, size_t write, cdp_text text); /* text, decimal and JSON fields */
void cdp_set_integer(cdp_patch patch, size_t write, int64_t integer);
void cdp_set_number(cdp_patch patch, size_t write, double number);
void cdp_set_boolean(cdp_patch patch, size_t write, bool boolean);
void cdp_set_null(cdp_patch patch, size_t write);
void cdp_remove(cdp_patch patch, size_t write);
/* A new event of the same person; `document` is a JSON object with properties and traits. */
void cdp_bear(cdp_patch patch, cdp_text event_type, int64_t occurred_at, cdp_text document);

typedef struct { uint8_t decision, failure; cdp_text why; } cdp_decision;
static inline cdp_decision cdp_keep(void) { return (cdp_decision){0, 0, {0, 0}}; }
static inline cdp_decision cdp_drop(const char *why) { return (cdp_decision){1, 0, cdp_str(why)}; }
static inline cdp_decision cdp_reject(const char *why) { return (cdp_decision){2, 0, cdp_str(why)}; }
static inline cdp_decision cdp_misconfigured(const char *why) { return (cdp_decision){2, 2, cdp_str(why)}; }

typedef cdp_decision cdp_transformer(cdp_event event, cdp_patch patch, cdp_text config);
extern cdp_transformer *const cdp_my_transformer;
/* Judges and changes each event by itself. */
#define CDP_TRANSFORMER(APPLY) cdp_transformer *const cdp_my_transformer = APPLY

#endif
