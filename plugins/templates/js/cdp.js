// ResultFly CDP: what a plugin in JavaScript is made of. It turns the columns of the contract into events and back.
//
// A plugin calls `deriver`, `transformer`, `connector` or `session` once and exports what it gives. Values are text, numbers and
// booleans; a decimal is text such as "64.2", and `decimal` reckons with it exactly. A field that the event does not
// have is undefined, JSON null is null, and what is of another kind than declared is undefined and named in
// `event.mistyped`. Whole numbers beyond 2^53 lose their last digits: declare such a field as text or decimal.

import log from "cdp:plugin/log@1.0.0";

// -- Fields ----------------------------------------------------------------------------------------------------------

/** Declares a field: a JSON pointer into the event, and the kind expected there. */
const kind = (kind) => (pointer) => ({ pointer, kind });
export const text = kind("text");
export const integer = kind("integer");
export const number = kind("number");
export const boolean = kind("boolean");
export const json = kind("json");

/** Declares a decimal field; `decimal.add`, `.sub` and `.cmp` reckon with decimals, which are text. */
export const decimal = Object.assign(kind("decimal"), { add, sub, cmp });

/** In `set`: takes the field away. */
export const REMOVE = Symbol("remove");

// -- Worlds ----------------------------------------------------------------------------------------------------------

/**
 * A derived attribute: a fold over one person's events, whose state the host keeps.
 *
 * `start(config)` gives the state of no events, `step(state, event, config)` the state after one more,
 * `read(state, now, config)` an object with the outputs and optionally `validUntil`, the time in milliseconds at which
 * they change by themselves. `join(a, b, config)` joins two histories; without it the host folds anew when people are
 * merged. A state is anything that JSON can say; `migrate(state, oldVersion)` brings an old one up to date.
 */
export function deriver(plugin) {
  const outputs = Object.entries(plugin.outputs);
  const events = reader(plugin);
  const load = (bytes, config) => (bytes === "" ? plugin.start(config) : JSON.parse(bytes));
  const each = (states, make) => toBytesList(fromTextList(states).map(make));
  return {
    metadata: metadata(plugin),
    derivation: {
      shape(config) {
        const laws = plugin.laws ?? [];
        return {
          stateVersion: plugin.stateVersion ?? 1,
          laws: {
            commutative: laws.includes("commutative"),
            mergeable: laws.includes("mergeable"),
            idempotent: laws.includes("idempotent"),
          },
          outputs: outputs.map(([name, kind]) => ({ name, kind })),
          maxStateBytes: plugin.maxStateBytes ?? 4096,
          lookbackDays: plugin.lookbackDays ?? null,
        };
      },
      fold(config, states, groupEnds, batch) {
        const settings = configure(plugin, config);
        const seen = events(batch);
        let at = 0;
        return each(states, (bytes, group) => {
          if (at === groupEnds[group]) return bytes;
          let state = load(bytes, settings);
          for (; at < groupEnds[group]; at++) state = plugin.step(state, seen[at], settings) ?? state;
          return JSON.stringify(state);
        });
      },
      combine(config, left, right) {
        const settings = configure(plugin, config);
        if (!plugin.join) throw { tag: "rejected", val: "this derivation cannot join two states" };
        const others = fromTextList(right);
        return each(left, (bytes, at) => {
          if (bytes === "") return others[at];
          if (others[at] === "") return bytes;
          return JSON.stringify(plugin.join(JSON.parse(bytes), JSON.parse(others[at]), settings));
        });
      },
      read(config, asOf, states) {
        const settings = configure(plugin, config);
        const values = fromTextList(states).map((bytes) => plugin.read(load(bytes, settings), asOf, settings));
        return {
          values: outputs.map(([name, kind]) => toColumn(values.map((value) => own(value, name)), kind)),
          validUntil: values.map((value) => value.validUntil ?? null),
        };
      },
    },
    retraction: {
      retract(config, states, groupEnds, batch) {
        const settings = configure(plugin, config);
        if (!plugin.unstep) throw { tag: "rejected", val: "this derivation takes nothing out again" };
        const seen = events(batch);
        let at = 0;
        return each(states, (bytes, group) => {
          if (at === groupEnds[group]) return bytes;
          let state = load(bytes, settings);
          for (; at < groupEnds[group]; at++) state = plugin.unstep(state, seen[at], settings) ?? state;
          return JSON.stringify(state);
        });
      },
    },
    migration: {
      migrate(config, oldVersion, states) {
        const settings = configure(plugin, config);
        if (!plugin.migrate) throw { tag: "rejected", val: "this derivation knows no older states" };
        return each(states, (bytes) => bytes && JSON.stringify(plugin.migrate(JSON.parse(bytes), oldVersion, settings)));
      },
    },
  };
}

/**
 * Judges and changes each event by itself.
 *
 * `apply(event, config)` gives nothing to keep the event as it is, or `{ set: { name: value }, events: [...] }` with
 * the names of `writes`, or what `drop`, `reject`, `retry` and `misconfigured` give. A new event is
 * `{ type, occurredAt, properties, traits }`.
 */
export function transformer(plugin) {
  const events = reader(plugin);
  const writes = Object.entries(plugin.writes ?? {}).map(([name, { pointer, kind }]) => ({ name, pointer, kind }));
  keepLayouts(writes.map(({ name }) => name));
  return {
    metadata: metadata(plugin),
    transform: {
      apply(config, batch) {
        const out = { decisions: NONE, reasons: [], failures: [], assignments: [], newEvents: [] };
        let settings;
        try {
          settings = configure(plugin, config);
        } catch (failure) {
          out.decisions = new Array(batch.rows).fill("fail");
          out.failures = out.decisions.map((_, row) => [row, failure]);
          return out;
        }
        const seen = events(batch);
        const cells = writes.map(({ name }) => {
          return { name, isInherited: isInherited(name), count: 0, rows: new Uint32Array(seen.length), values: [] };
        });
        const width = cells.length;
        for (let row = 0; row < seen.length; row++) {
          const answer = plugin.apply(seen[row], settings);
          if (answer == null) continue;
          const { decision, set, events: born } = answer;
          if (decision !== undefined) {
            if (out.decisions === NONE) out.decisions = new Array(seen.length).fill("keep");
            out.decisions[row] = decision;
            if (answer.reason) out.reasons.push([row, answer.reason]);
            if (answer.failure) out.failures.push([row, answer.failure]);
            continue;
          }
          if (set) {
            for (let at = 0; at < width; at++) {
              const cell = cells[at];
              const value = cell.isInherited ? own(set, cell.name) : set[cell.name];
              if (value === undefined) continue;
              cell.rows[cell.count] = row;
              cell.values[cell.count++] = value === REMOVE ? undefined : value;
            }
          }
          if (born) {
            for (const { type: eventType, occurredAt = seen[row].occurredAt, properties = {}, traits = {} } of born) {
              out.newEvents.push({ row, eventType, occurredAt, document: JSON.stringify({ properties, traits }) });
            }
          }
        }
        writes.forEach(({ pointer, kind }, at) => {
          const { count, rows, values } = cells[at];
          if (count > 0) out.assignments.push({ pointer, rows: rows.slice(0, count), values: toColumn(values, kind) });
        });
        return out;
      },
    },
  };
}

/** The event goes no further. */
export const drop = (reason = "") => ({ decision: "drop", reason });
/** The event will never work: to the dead letters. */
export const reject = (why) => ({ decision: "fail", failure: { tag: "rejected", val: why } });
/** Try again, not before so many milliseconds. */
export const retry = (ms = null) => ({ decision: "fail", failure: { tag: "transient", val: ms } });
/** The configuration is wrong: the host stops calling the plugin. */
export const misconfigured = (why) => ({ decision: "fail", failure: { tag: "misconfigured", val: why } });

/**
 * Plans the requests towards another system, and judges its replies; the host sends.
 *
 * `plan(items, config, now)` gives `[{ covers: [positions], request }]`; an item is
 * `{ id, change, document, attempt }` with the document as an object. In a request `headers` is an object whose values
 * are text or `secret("name")`, and `body` is text, bytes or what JSON can say. `settle(items, reply, config)` gets
 * `{ status, headers, body }` or `{ error }` and gives one of "delivered", `{ retry: ms }`, `{ rejected: why }` for each.
 */
export function connector(plugin) {
  return {
    metadata: metadata(plugin),
    connector: {
      plan(config, now, items) {
        const settings = configure(plugin, config);
        const planned = plugin.plan(opened(items), settings, now);
        return planned.map(({ covers, request }) => ({ covers, request: toRequest(request) }));
      },
      settle(config, items, reply) {
        const settings = configure(plugin, config);
        const seen = reply.tag === "ok" ? fromResponse(reply.val) : { error: reply.val };
        return plugin.settle(opened(items), seen, settings).map(toVerdict);
      },
    },
  };
}

const opened = (items) => items.map((item) => ({ ...item, document: JSON.parse(item.document) }));

const toRequest = (request) => ({
  method: request.method ?? "POST",
  url: request.url,
  headers: Object.entries(request.headers ?? {}).map(([name, value]) => [
    name,
    value.secret === undefined ? { tag: "plain", val: value } : { tag: "secret", val: value.secret },
  ]),
  body: toBody(request.body),
  timeoutMs: request.timeoutMs ?? 10000,
  idempotencyKey: request.idempotencyKey ?? null,
});

const fromResponse = (response) => ({
  ...response,
  headers: Object.fromEntries(response.headers),
  body: fromUtf8(response.body),
});

function toVerdict(verdict) {
  if (verdict === "delivered") return { tag: "delivered" };
  if (verdict.rejected !== undefined) return { tag: "rejected", val: verdict.rejected };
  return { tag: "retry", val: verdict.retry ?? null };
}

/**
 * Sends by itself, step by step, through the host.
 *
 * `deliver(items, config, outside, now)` gives one of "delivered", `{ retry: ms }`, `{ rejected: why }` for each item.
 * `outside` is what `outside(http, kv)` gives, with the interfaces of the contract that a project of this world may
 * import: `send(request)` gives what `settle` of a connector that plans gets, and `get(key)` and `put(key, text,
 * ttlSeconds)` are a small store of the plugin's own, which throw where it has no room or is away.
 */
export function session(plugin, outside) {
  return {
    metadata: metadata(plugin),
    sessionConnector: {
      deliver(config, now, items) {
        const settings = configure(plugin, config);
        return plugin.deliver(opened(items), settings, outside, now).map(toVerdict);
      },
    },
  };
}

/** The outer world of a connector that sends by itself. */
export const outside = (http, kv) => ({
  send(request) {
    try {
      return fromResponse(http.send(toRequest(request)));
    } catch (thrown) {
      const error = thrown?.payload ?? thrown;
      if (error?.tag === undefined) throw thrown;
      return { error };
    }
  },
  get(key) {
    const kept = kv.get(key);
    return kept == null ? undefined : fromUtf8(kept);
  },
  put: (key, text, ttlSeconds = null) => kv.put(key, toBody(text), ttlSeconds),
});

/** In a connector's headers: the host puts the secret in its place while sending. */
export const secret = (name) => ({ secret: name });

/** Lines for the plugin's log. */
export const say = {
  debug: (message) => log.write("debug", String(message)),
  info: (message) => log.write("info", String(message)),
  warn: (message) => log.write("warn", String(message)),
  error: (message) => log.write("error", String(message)),
};

/** Milliseconds since 1970 as text, such as "2011-12-09T12:50:00.000Z". */
export const iso = (ms) => new Date(ms).toISOString();

// -- Descriptor and configuration ------------------------------------------------------------------------------------

function metadata(plugin) {
  return {
    describe: () => ({
      name: plugin.name,
      version: plugin.version,
      summary: plugin.summary,
      eventTypes: plugin.events ?? [],
      reads: Object.values(plugin.reads ?? {}),
      writes: Object.values(plugin.writes ?? {}),
      configSchema: plugin.configSchema ? JSON.stringify(plugin.configSchema) : "",
      secrets: plugin.secrets ?? [],
      hosts: plugin.hosts ?? [],
      tables: plugin.tables ?? [],
    }),
    checkConfig(config) {
      const problems = judge(plugin, config).problems;
      if (problems.length > 0) throw problems;
    },
  };
}

/** Reads the configuration; a plugin's own `check(settings)` gives its problems as `"<pointer>: <sentence>"`. */
function judge(plugin, config) {
  let settings = {};
  if (config.trim() !== "") {
    try {
      settings = JSON.parse(config);
    } catch {
      return { problems: [": is not JSON"] };
    }
    if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
      return { problems: [": is not an object"] };
    }
  }
  return { settings, problems: plugin.check?.(settings) ?? [] };
}

function configure(plugin, config) {
  const { settings, problems } = judge(plugin, config);
  if (problems.length > 0) throw { tag: "misconfigured", val: problems.join("; ") };
  return settings;
}

// -- Columns ---------------------------------------------------------------------------------------------------------

const NONE = Object.freeze([]);

// Names are the plugin's, and some of them every object has by inheritance: `constructor`, `toString`, `__proto__`.

const isInherited = (name) => name in Object.prototype;
const own = (object, name) => (isInherited(name) && !Object.hasOwn(object, name) ? undefined : object[name]);
/** A name as the key of a literal; only in brackets is `__proto__` a member like any other. */
const key = (name) => (name === "__proto__" ? `["__proto__"]` : JSON.stringify(name));

/**
 * Objects that are only there to be alive. The runtime shares the layout of objects, after each member that is added, as
 * long as some object has it; layouts that every event and every answer goes through would be made anew each time.
 */
const alive = [];
function keepLayouts(names) {
  const written = (count) => `{ ${names.slice(0, count).map((name) => `${key(name)}: 0`).join(", ")} }`;
  alive.push(new Function(`return [${names.map((_, at) => written(at + 1)).join(", ")}]`)());
}
keepLayouts(["set", "events"]);
keepLayouts(["decision", "reason"]);
keepLayouts(["decision", "failure"]);

/**
 * Gives the function that makes the events of a batch. It is spelt out for the plugin's fields, because an object that is
 * written as a literal takes a fraction of the time of one that is put together by names.
 */
function reader(plugin) {
  const fields = Object.entries(plugin.reads ?? {}).map(([name, { kind }]) => ({ name, kind }));
  const everyEvents = {
    type: "types[eventType[row]]",
    occurredAt: "occurredAt[row]",
    receivedAt: "receivedAt[row]",
    mistyped: "none",
  };
  for (const { name } of fields) {
    if (Object.hasOwn(everyEvents, name)) throw new TypeError(`a field cannot be called "${name}": every event has that`);
  }
  const values = [...Object.entries(everyEvents), ...fields.map(({ name }, at) => [name, `column${at}[row]`])];
  keepLayouts(values.map(([name]) => name));
  const make = new Function("batch", "types", "columns", "none", `
    const { rows, eventType, occurredAt, receivedAt } = batch;
    const [${fields.map((_, at) => `column${at}`).join(", ")}] = columns;
    const events = new Array(rows);
    for (let row = 0; row < rows; row++) {
      events[row] = { ${values.map(([name, value]) => `${key(name)}: ${value}`).join(", ")} };
    }
    return events;
  `);
  return (batch) => {
    const types = plugin.events?.length > 0 ? plugin.events : batch.types;
    const events = make(batch, types, fields.map(({ kind }, at) => fromColumn(batch.fields[at], kind)), NONE);
    fields.forEach(({ name }, at) => {
      const { presence } = batch.fields[at];
      for (let row = 0; row < presence.length; row++) {
        if (presence[row] === "mistyped") events[row].mistyped = [...events[row].mistyped, name];
      }
    });
    return events;
  };
}

/** One value for each event. */
function fromColumn({ presence, cells }, kind) {
  const given = cells.tag === "texts" ? fromTextList(cells.val) : cells.val;
  if (presence.length === 0 && kind !== "json") return given;
  const values = new Array(given.length);
  for (let row = 0; row < given.length; row++) {
    const state = presence[row] ?? "present";
    if (state === "present") values[row] = kind === "json" ? JSON.parse(given[row]) : given[row];
    else values[row] = state === "null" ? null : undefined;
  }
  return values;
}

function toColumn(values, kind) {
  const plain = !values.includes(undefined) && !values.includes(null);
  const presence = plain
    ? []
    : values.map((value) => (value === undefined ? "absent" : value === null ? "null" : "present"));
  const full = (empty) => (plain ? values : values.map((value) => value ?? empty));
  switch (kind) {
    case "integer":
      return { presence, cells: { tag: "integers", val: full(0) } };
    case "number":
      return { presence, cells: { tag: "numbers", val: Float64Array.from(full(0)) } };
    case "boolean":
      return { presence, cells: { tag: "booleans", val: full(false) } };
    case "json":
      return { presence, cells: { tag: "texts", val: toBytesList(values.map((v) => (v == null ? "" : JSON.stringify(v)))) } };
    default:
      return { presence, cells: { tag: "texts", val: toBytesList(full("")) } };
  }
}

// This runtime has no TextDecoder. What is native is base64, both ways: so bytes become text and text bytes without a step for
// each of them, and only what is not ASCII is looked at again. Lists of numbers go out as typed arrays, which are copied whole.

const fromLatin1 = (bytes) => atob(bytes.toBase64());
const toLatin1 = (text) => Uint8Array.fromBase64(btoa(text));

/** Whether bytes are ASCII, looked at four at a time. */
function areAscii({ buffer, byteOffset, length }) {
  const whole = byteOffset % 4 === 0 ? length >> 2 : 0;
  const words = new Int32Array(buffer, whole === 0 ? 0 : byteOffset, whole);
  let seen = 0;
  for (let at = 0; at < whole; at++) seen |= words[at];
  const bytes = new Uint8Array(buffer, byteOffset, length);
  for (let at = whole << 2; at < length; at++) seen |= bytes[at];
  return (seen & 0x80808080) === 0;
}

/** The bytes of ASCII text; undefined for text that is more than that. */
function toAscii(text) {
  try {
    const bytes = toLatin1(text);
    return areAscii(bytes) ? bytes : undefined;
  } catch {
    return undefined;
  }
}

const fromUtf8 = (bytes) => {
  const raw = fromLatin1(bytes);
  return areAscii(bytes) ? raw : decodeURIComponent(escape(raw));
};
const spread = (text) => unescape(encodeURIComponent(text));
const toUtf8 = (text) => toAscii(text) ?? toLatin1(spread(text));

function fromTextList({ ends, data }) {
  const all = fromLatin1(data);
  const count = ends.length;
  const out = new Array(count);
  for (let at = 0, start = 0; at < count; at++) out[at] = all.slice(start, (start = ends[at]));
  return areAscii(data) ? out : out.map((item) => decodeURIComponent(escape(item)));
}

function toBytesList(texts) {
  let data = toAscii(texts.join(""));
  if (data === undefined) {
    texts = texts.map(spread);
    data = toLatin1(texts.join(""));
  }
  const count = texts.length;
  const ends = new Uint32Array(count);
  for (let at = 0, end = 0; at < count; at++) ends[at] = end += texts[at].length;
  return { ends, data };
}

function toBody(body) {
  if (body === undefined) return new Uint8Array(0);
  if (body instanceof Uint8Array) return body;
  return toUtf8(typeof body === "string" ? body : JSON.stringify(body));
}

// -- Decimals --------------------------------------------------------------------------------------------------------

const scale = (text) => (text.indexOf(".") < 0 ? 0 : text.length - text.indexOf(".") - 1);
const digits = (text, to) => BigInt(text.replace(".", "") + "0".repeat(to - scale(text)));

function spell(units, to) {
  const sign = units < 0n ? "-" : "";
  const all = String(units < 0n ? -units : units).padStart(to + 1, "0");
  const fraction = to === 0 ? "" : all.slice(-to).replace(/0+$/, "");
  return sign + all.slice(0, all.length - to) + (fraction === "" ? "" : "." + fraction);
}

/** Both as whole numbers of the same scale, while doubles hold them exactly; otherwise undefined. */
function small(a, b) {
  const pointA = a.indexOf("."), pointB = b.indexOf(".");
  const scaleA = pointA < 0 ? 0 : a.length - pointA - 1, scaleB = pointB < 0 ? 0 : b.length - pointB - 1;
  const to = scaleA > scaleB ? scaleA : scaleB;
  if (a.length + to > 15 || b.length + to > 15) return undefined;
  const x = pointA < 0 ? +a : +(a.slice(0, pointA) + a.slice(pointA + 1));
  const y = pointB < 0 ? +b : +(b.slice(0, pointB) + b.slice(pointB + 1));
  return [x * 10 ** (to - scaleA), y * 10 ** (to - scaleB), to];
}

function spellSmall(units, to) {
  if (to === 0) return String(units);
  const sign = units < 0 ? "-" : "";
  const all = String(Math.abs(units)).padStart(to + 1, "0");
  let end = all.length;
  while (end > all.length - to && all.charCodeAt(end - 1) === 48) end--;
  const whole = sign + all.slice(0, all.length - to);
  return end === all.length - to ? whole : whole + "." + all.slice(all.length - to, end);
}

function add(a, b) {
  const both = small(a, b);
  if (both) return spellSmall(both[0] + both[1], both[2]);
  const to = Math.max(scale(a), scale(b));
  return spell(digits(a, to) + digits(b, to), to);
}

function sub(a, b) {
  const both = small(a, b);
  if (both) return spellSmall(both[0] - both[1], both[2]);
  const to = Math.max(scale(a), scale(b));
  return spell(digits(a, to) - digits(b, to), to);
}

/** Less than zero, zero or more, as `a` is below, at or above `b`. */
function cmp(a, b) {
  const both = small(a, b);
  if (both) return both[0] - both[1];
  const to = Math.max(scale(a), scale(b));
  const difference = digits(a, to) - digits(b, to);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
