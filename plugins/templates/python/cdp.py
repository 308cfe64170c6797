"""ResultFly CDP: what a plugin in Python is made of. It turns the columns of the contract into events and back.

A plugin decorates one class with `@deriver`, `@transformer`, `@connector` or `@session`. Values are str, int, float,
bool, and Decimal for decimals. A field that the event does not have, or that is of another kind than declared, is
None, and so is JSON null; `event.why(name)` tells which.
"""

import importlib
import json as _json
import sys
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal, setcontext
from itertools import accumulate, chain, repeat

from componentize_py_types import Err
from wit_world.imports import types as _types

# Sums of money are exact: wider than any 128-bit number, and not to be rounded in silence.
setcontext(Context(prec=60))


# -- Fields ------------------------------------------------------------------------------------------------------------


class _Field:
    def __init__(self, pointer, kind):
        self.pointer, self.kind = pointer, kind


def text(pointer):
    """Declares a field: a JSON pointer into the event, and the kind expected there."""
    return _Field(pointer, "text")


def integer(pointer):
    return _Field(pointer, "integer")


def number(pointer):
    return _Field(pointer, "number")


def boolean(pointer):
    return _Field(pointer, "boolean")


def decimal(pointer):
    return _Field(pointer, "decimal")


def json(pointer):
    return _Field(pointer, "json")


class _Remove:
    pass


#: In a change: takes the field away. None sets JSON null.
REMOVE = _Remove()


class _Event:
    """What every event has: `type`, `occurred_at` and `received_at` in milliseconds since 1970, and the declared fields."""

    __slots__ = ()

    def why(self, name):
        """Tells why a field is None: "absent", "null" or "mistyped"; "present" when it is not."""
        return (self.missing or {}).get(name, "present")


def _event(names):
    """The class of one plugin's events: a tuple, because that is what Python makes fastest."""
    fields = ["type", "occurred_at", "received_at", *names, "missing"]
    for name in names:
        if name in ("type", "occurred_at", "received_at", "missing", "why"):
            raise TypeError(f'a field cannot be called "{name}": every event has that')
    return type("Event", (_Event, namedtuple("Event", fields)), {"__slots__": ()})


def iso(ms):
    """Milliseconds since 1970 as text, such as "2011-12-09T12:50:00.000Z"."""
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- Worlds ------------------------------------------------------------------------------------------------------------


def deriver(*, outputs, laws=(), state_version=1, max_state_bytes=4096, lookback_days=None, **about):
    """A derived attribute: a fold over one person's events, whose state the host keeps.

    The class has `start()`, which gives the state of no events; `step(state, event)`, which gives the state after one
    more; `read(state, now)`, which gives a dict with the outputs and optionally `valid_until`, the time in
    milliseconds at which they change by themselves; and, if it is mergeable, `join(a, b)`. A state is anything that
    JSON can say, and Decimal. `self.config` is the configuration.
    """

    def make(plugin):
        about_all = _About(about, plugin)

        class Metadata(_Metadata):
            described = about_all

        class Derivation:
            def shape(self, config):
                flags = _exports("derivation").Laws
                chosen = flags(0)
                for law in laws:
                    chosen |= flags[law.upper()]
                each = [_exports("derivation").Output(name, _kind(kind)) for name, kind in outputs.items()]
                return _exports("derivation").FoldShape(
                    state_version, chosen, each, max_state_bytes, lookback_days
                )

            def fold(self, config, states, group_ends, events):
                return _walk(about_all.open(config), "step", states, group_ends, about_all.rows(events))

            def combine(self, config, left, right):
                it = about_all.open(config)
                if not hasattr(it, "join"):
                    raise Err(_types.Failure_Rejected("this derivation cannot join two states"))
                joined = []
                for a, b in zip(_items(left), _items(right)):
                    joined.append(_dump(it.join(_load(a), _load(b))) if a and b else a or b)
                return _bytes_list(joined)

            def read(self, config, as_of, states):
                it = about_all.open(config)
                read = [it.read(_load(state) if state else it.start(), as_of) for state in _items(states)]
                values = [_column([row.get(name) for row in read], kind, None) for name, kind in outputs.items()]
                until = [row.get("valid_until") for row in read]
                return _exports("derivation").Readings(values, until)

        class Retraction:
            def retract(self, config, states, group_ends, events):
                return _walk(about_all.open(config), "unstep", states, group_ends, about_all.rows(events))

        class Migration:
            def migrate(self, config, old_version, states):
                it = about_all.open(config)
                old = _items(states)
                return _bytes_list([_dump(it.migrate(_load(state), old_version)) if state else state for state in old])

        _publish(plugin, Metadata=Metadata, Derivation=Derivation, Retraction=Retraction, Migration=Migration)
        return plugin

    return make


def transformer(*, writes=None, **about):
    """Judges and changes each event by itself.

    The class has `apply(event)`, which gives None to keep the event as it is, a dict of values by the names of
    `writes`, or what `drop`, `reject`, `retry`, `misconfigured` and `bear` give. `self.config` is the configuration.
    """
    targets = writes or {}

    def make(plugin):
        about_all = _About(about, plugin, targets)

        class Metadata(_Metadata):
            described = about_all

        class Transform:
            def apply(self, config, events):
                return _apply(about_all, targets, config, events)

        _publish(plugin, Metadata=Metadata, Transform=Transform)
        return plugin

    return make


class _Decision:
    def __init__(self, decision, reason="", failure=None, changes=None, events=()):
        self.decision, self.reason, self.failure = decision, reason, failure
        self.changes, self.events = changes or {}, events


def drop(reason=""):
    """The event goes no further."""
    return _Decision("DROP", reason=reason)


def reject(why):
    """The event will never work: to the dead letters."""
    return _Decision("FAIL", failure=_types.Failure_Rejected(why))


def retry(ms=None):
    """Try again, not before so many milliseconds."""
    return _Decision("FAIL", failure=_types.Failure_Transient(ms))


def misconfigured(why):
    """The configuration is wrong: the host stops calling the plugin."""
    return _Decision("FAIL", failure=_types.Failure_Misconfigured(why))


def bear(*events, **changes):
    """Keeps the event with these changes and bears new ones: dicts with type, occurred_at, properties and traits."""
    return _Decision("KEEP", changes=changes, events=events)


def connector(**about):
    """Plans the requests towards another system and judges its replies; the host sends.

    The class has `plan(items, now)`, which gives a list of `(positions, request)`: an item has `id`, `change`,
    `document` (a dict) and `attempt`; a request is a dict with `url` and optionally `method`, `headers` (values are
    str or `secret("name")`), `body` (bytes, str or what JSON can say), `timeout_ms` and `idempotency_key`. And
    `settle(items, reply)`, which gets a Reply with `status`, `headers`, `body` and `error`, and gives for each item
    None when it was delivered, else what `retry` or `reject` give.
    """

    def make(plugin):
        about_all = _About(about, plugin)

        class Metadata(_Metadata):
            described = about_all

        class Connector:
            def plan(self, config, now, items):
                planned = about_all.open(config).plan([_Item(item) for item in items], now)
                return [_exports("connector").Planned(covers, _request(request)) for covers, request in planned]

            def settle(self, config, items, reply):
                given = about_all.open(config).settle([_Item(item) for item in items], Reply(reply))
                return [_verdict(one) for one in given]

        _publish(plugin, Metadata=Metadata, Connector=Connector)
        return plugin

    return make


def session(**about):
    """Sends by itself, step by step, through the host.

    The class has `deliver(items, outside, now)`, which gives for each item None when it was delivered, else what
    `retry` or `reject` give. `outside.send(request)` gives a Reply, as `settle` of a connector that plans gets it;
    `outside.get(key)` and `outside.put(key, value, ttl_seconds=None)` are a small store of bytes of the plugin's own:
    `get` gives None where there is nothing and ends the call where the store is away; `put` tells whether it was kept.
    """
    http = importlib.import_module("wit_world.imports.http")
    kv = importlib.import_module("wit_world.imports.kv")

    class Outside:
        def send(self, request):
            try:
                return Reply(http.send(_request(request)))
            except Err as error:
                return Reply(error)

        def get(self, key):
            return kv.get(key)

        def put(self, key, value, ttl_seconds=None):
            try:
                kv.put(key, value, ttl_seconds)
                return True
            except Err:
                return False

    def make(plugin):
        about_all = _About(about, plugin)

        class Metadata(_Metadata):
            described = about_all

        class SessionConnector:
            def deliver(self, config, now, items):
                given = about_all.open(config).deliver([_Item(item) for item in items], Outside(), now)
                return [_verdict(one) for one in given]

        _publish(plugin, Metadata=Metadata, SessionConnector=SessionConnector)
        return plugin

    return make


class secret:
    """In a connector's headers: the host puts the secret in its place while sending."""

    def __init__(self, name):
        self.name = name


class _Item:
    def __init__(self, item):
        self.id, self.attempt = item.id, item.attempt
        self.change = item.change.name.lower()
        self.document = _json.loads(item.document)


class Reply:
    """What came back: `status`, `headers` and `body`, or None and `error`."""

    def __init__(self, reply):
        response = getattr(reply, "value", reply)
        self.status, self.headers, self.body, self.error = None, {}, b"", None
        if isinstance(reply, Err):
            self.error = type(reply.value).__name__
        else:
            self.status, self.headers, self.body = response.status, dict(response.headers), bytes(response.body)


def _request(request):
    from wit_world.imports import http_types as http

    headers = []
    for name, value in request.get("headers", {}).items():
        shown = http.HeaderValue_Secret(value.name) if isinstance(value, secret) else http.HeaderValue_Plain(value)
        headers.append((name, shown))
    body = request.get("body", b"")
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else _json.dumps(body, separators=(",", ":"))).encode()
    return http.Request(
        request.get("method", "POST"),
        request["url"],
        headers,
        body,
        request.get("timeout_ms", 10_000),
        request.get("idempotency_key"),
    )


def _verdict(one):
    from wit_world.imports import delivery_types as delivery

    if one is None:
        return delivery.Verdict_Delivered()
    if isinstance(one.failure, _types.Failure_Rejected):
        return delivery.Verdict_Rejected(one.failure.value)
    return delivery.Verdict_Retry(getattr(one.failure, "value", None))


# -- Descriptor and configuration --------------------------------------------------------------------------------------


class _About:
    """What a plugin said about itself, and how its class is opened with a configuration."""

    def __init__(self, about, plugin, writes=None):
        self.plugin = plugin
        self.name, self.version, self.summary = about["name"], about["version"], about["summary"]
        self.events, self.reads = list(about.get("events", ())), about.get("reads", {})
        self.writes, self.schema = writes or {}, about.get("config_schema")
        self.secrets, self.hosts = list(about.get("secrets", ())), list(about.get("hosts", ()))
        self.tables = list(about.get("tables", ()))
        self.event = _event(self.reads)
        unknown = set(about) - {"name", "version", "summary", "events", "reads", "config_schema", "secrets", "hosts", "tables"}
        if unknown:
            raise TypeError(f"a plugin has no {', '.join(sorted(unknown))}")

    def judge(self, config):
        settings = {}
        if config.strip():
            try:
                settings = _json.loads(config, parse_float=Decimal)
            except ValueError:
                return None, [": is not JSON"]
            if not isinstance(settings, dict):
                return None, [": is not an object"]
        check = getattr(self.plugin, "check", None)
        return settings, list(check(settings) or ()) if check else []

    def open(self, config):
        settings, problems = self.judge(config)
        if problems:
            raise Err(_types.Failure_Misconfigured("; ".join(problems)))
        it = self.plugin()
        it.config = settings
        return it

    def rows(self, batch):
        types = self.events or batch.types
        kinds = [types[0]] * batch.rows if len(types) == 1 else [types[kind] for kind in batch.event_type]
        columns = [kinds, batch.occurred_at, batch.received_at]
        missing = [None] * batch.rows
        present = _types.Presence.PRESENT
        for (name, field), column in zip(self.reads.items(), batch.fields):
            values = _values(column.cells.value, field.kind)
            if column.presence:
                values = list(values)
                for at, state in enumerate(column.presence):
                    if state is not present:
                        values[at] = None
                        missing[at] = {**(missing[at] or {}), name: state.name.lower()}
            columns.append(values)
        # Not one step of it is in Python.
        return list(map(tuple.__new__, repeat(self.event), zip(*columns, missing)))


class _Metadata:
    described = None

    def describe(self):
        about, exports = self.described, _exports("metadata")
        fields = lambda named: [exports.Field(field.pointer, _kind(field.kind)) for field in named.values()]
        return exports.Descriptor(
            about.name,
            about.version,
            about.summary,
            about.events,
            fields(about.reads),
            fields(about.writes),
            _json.dumps(about.schema) if about.schema else "",
            about.secrets,
            about.hosts,
            about.tables,
        )

    def check_config(self, config):
        problems = self.described.judge(config)[1]
        if problems:
            raise Err(problems)


def _exports(name):
    return importlib.import_module(f"wit_world.exports.{name}")


def _publish(plugin, **classes):
    """Puts the contract's classes where the toolchain looks for them: into the plugin's own module."""
    module = sys.modules[plugin.__module__]
    for name, one in classes.items():
        setattr(module, name, one)


# -- Derivations -------------------------------------------------------------------------------------------------------


class _Encoder(_json.JSONEncoder):
    def default(self, value):
        return {"$decimal": str(value)} if isinstance(value, Decimal) else super().default(value)


_encode = _Encoder(separators=(",", ":"), ensure_ascii=False).encode
_decode = _json.JSONDecoder(object_hook=lambda o: Decimal(o["$decimal"]) if "$decimal" in o else o).decode


def _dump(state):
    return _encode(state).encode()


def _load(state):
    return _decode(state.decode())


def _walk(it, verb, states, group_ends, events):
    if not hasattr(it, verb):
        raise Err(_types.Failure_Rejected("this derivation takes nothing out again"))
    step, out, start = getattr(it, verb), [], 0
    for state, end in zip(_items(states), group_ends):
        if end > start:
            value = _load(state) if state else it.start()
            for event in events[start:end]:
                changed = step(value, event)
                value = value if changed is None else changed
            state, start = _dump(value), end
        out.append(state)
    return _bytes_list(out)


# -- Transforms --------------------------------------------------------------------------------------------------------


def _apply(about, targets, config, batch):
    exports = _exports("transform")
    try:
        it = about.open(config)
    except Err as wrong:
        failed = [(row, wrong.value) for row in range(batch.rows)]
        return exports.Outcome([exports.Decision.FAIL] * batch.rows, [], failed, [], [])
    decisions, reasons, failures, born = [], [], [], []
    cells = {name: ([], []) for name in targets}
    apply = it.apply
    for row, event in enumerate(about.rows(batch)):
        answer = apply(event)
        if answer is None:
            continue
        if type(answer) is _Decision:
            if answer.decision != "KEEP":
                decisions = decisions or [exports.Decision.KEEP] * batch.rows
                decisions[row] = exports.Decision[answer.decision]
            if answer.reason:
                reasons.append((row, answer.reason))
            if answer.failure is not None:
                failures.append((row, answer.failure))
            for one in answer.events:
                document = {part: one[part] for part in ("properties", "traits") if part in one}
                text = _json.dumps(document, separators=(",", ":"), default=str)
                born.append(exports.NewEvent(row, one["type"], one.get("occurred_at", event.occurred_at), text))
            answer = answer.changes
        for name, value in answer.items():
            rows, values = cells[name]
            rows.append(row)
            values.append(value)
    assignments = [
        exports.Assignment(targets[name].pointer, rows, _column(values, targets[name].kind, REMOVE))
        for name, (rows, values) in cells.items()
        if rows
    ]
    return exports.Outcome(decisions, reasons, failures, assignments, born)


# -- Columns -----------------------------------------------------------------------------------------------------------


def _kind(name):
    return _types.Kind[name.upper()]


def _cut(data, ends):
    return [data[start:end] for start, end in zip(chain((0,), ends), ends)]


def _items(many):
    return _cut(bytes(many.data), many.ends)


def _values(cells, kind):
    if kind not in ("text", "decimal", "json"):
        return cells
    data = bytes(cells.data)
    if data.isascii():
        out = _cut(data.decode("ascii"), cells.ends)
    else:
        out = [item.decode() for item in _items(cells)]
    if kind == "decimal":
        return [Decimal(item) if item else None for item in out]
    return [_json.loads(item) if item else None for item in out] if kind == "json" else out


def _bytes_list(items):
    return _types.BytesList(list(accumulate(map(len, items))), b"".join(items))


def _text_list(items):
    whole = "".join(items)
    if whole.isascii():
        return _types.TextList(list(accumulate(map(len, items))), whole.encode())
    encoded = [item.encode() for item in items]
    return _types.TextList(list(accumulate(map(len, encoded))), b"".join(encoded))


def _spell(value):
    """A decimal in plain notation, without needless zeros."""
    text = format(value if isinstance(value, Decimal) else Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _column(values, kind, absent):
    """The cells of one field; `absent` is what stands for a field that is not there, and None is null if it is not."""
    state, presence = _types.Presence, []
    gone = [value is None or value is absent for value in values]
    if any(gone):
        presence = [
            state.ABSENT if value is absent else state.NULL if value is None else state.PRESENT for value in values
        ]

    def full(convert, empty):
        if not presence:
            return list(map(convert, values))
        return [empty if missing else convert(value) for value, missing in zip(values, gone)]

    if kind == "integer":
        cells = _types.Cells_Integers(full(int, 0))
    elif kind == "number":
        cells = _types.Cells_Numbers(full(float, 0.0))
    elif kind == "boolean":
        cells = _types.Cells_Booleans(full(bool, False))
    else:
        spell = {"decimal": _spell, "json": _encode}.get(kind, str)
        cells = _types.Cells_Texts(_text_list(full(spell, "")))
    return _types.Column(presence, cells)
