// Package cdp is what a plugin of ResultFly CDP in Go is made of. It turns the columns of the contract into events and back.
//
// A plugin calls Deriver or Transformer from its init function; main stays empty. Fields are named by their position in
// About.Reads and About.Writes. The component model speaks in 32-bit addresses: what the host wrote is read in place,
// and what is answered is laid out by hand, as `wit/cdp-plugin.wit` says.
package cdp

import (
	"encoding/json"
	"time"
	"unsafe"
)

// Kind says what stands in a field.
type Kind uint8

// The kinds of fields and outputs.
const (
	Text Kind = iota
	Integer
	Number
	Boolean
	DecimalKind
	JSON
)

// Presence says whether a field has a value, and if not, why.
type Presence uint8

// What may stand in a cell.
const (
	Present Presence = iota
	Absent
	Null
	Mistyped
)

// Field is a JSON pointer into the event and the kind expected or set there.
type Field struct {
	Pointer string
	Kind    Kind
}

// About is what a plugin is and needs.
type About struct {
	Name, Version, Summary string
	Events                 []string // empty: all
	Reads, Writes          []Field
	ConfigSchema           string
	Tables                 []string
	// CheckConfig judges a configuration; each string is one problem, "<pointer>: <sentence>".
	CheckConfig func(config string) []string
}

var about About

// Event is one event of a batch.
type Event struct {
	batch *batch
	row   int
}

// Type is the event type.
func (e Event) Type() string {
	number := at[uint32](e.batch.eventType, e.row)
	if len(about.Events) > 0 {
		return about.Events[number]
	}
	return at[text](e.batch.types, int(number)).String()
}

// OccurredAt is when it happened, in milliseconds since 1970.
func (e Event) OccurredAt() int64 { return at[int64](e.batch.occurredAt, e.row) }

// ReceivedAt is when the host received it, in milliseconds since 1970.
func (e Event) ReceivedAt() int64 { return at[int64](e.batch.receivedAt, e.row) }

// Presence says whether a field has a value.
func (e Event) Presence(read int) Presence {
	column := at[column](e.batch.fields, read)
	if column.presence.len == 0 {
		return Present
	}
	return at[Presence](column.presence, e.row)
}

// Text gives a field of kind Text, DecimalKind or JSON.
func (e Event) Text(read int) (string, bool) {
	if e.Presence(read) != Present {
		return "", false
	}
	column := at[column](e.batch.fields, read)
	return column.item(e.row), true
}

// Decimal gives a field of kind DecimalKind.
func (e Event) Decimal(read int) (Decimal, bool) {
	text, ok := e.Text(read)
	if !ok {
		return Decimal{}, false
	}
	return ParseDecimal(text)
}

// Integer gives a field of kind Integer.
func (e Event) Integer(read int) (int64, bool) { return value[int64](e, read) }

// Number gives a field of kind Number.
func (e Event) Number(read int) (float64, bool) { return value[float64](e, read) }

// Boolean gives a field of kind Boolean.
func (e Event) Boolean(read int) (bool, bool) { return value[bool](e, read) }

func value[T any](e Event, read int) (T, bool) {
	if e.Presence(read) != Present {
		var zero T
		return zero, false
	}
	column := at[column](e.batch.fields, read)
	return at[T](list{column.cells[0], column.cells[1]}, e.row), true
}

// ISO spells milliseconds since 1970, such as 2011-12-09T12:50:00.000Z.
func ISO(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

//go:wasmimport cdp:plugin/log@1.0.0 write
func logWrite(level uint32, ptr unsafe.Pointer, bytes uint32)

// Log writes a line; 0 trace, 1 debug, 2 info, 3 warn, 4 error.
func Log(level int, line string) {
	logWrite(uint32(level), unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
}

// -- What crosses the boundary ---------------------------------------------------------------------------------------

type list struct{ ptr, len uint32 }

type text list

type column struct {
	presence list
	tag      uint32
	cells    [4]uint32 // ends and data of texts, or one list
}

type batch struct {
	rows                                              uint32
	eventType, types, occurredAt, receivedAt, fields list
}

func at[T any](l list, i int) T {
	if uint32(i) >= l.len {
		panic("beyond the end of a list")
	}
	var size T
	return *(*T)(unsafe.Add(unsafe.Pointer(uintptr(l.ptr)), uintptr(i)*unsafe.Sizeof(size)))
}

func (t text) String() string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(uintptr(t.ptr))), t.len))
}

func (c column) item(i int) string { return item(list{c.cells[0], c.cells[1]}, list{c.cells[2], c.cells[3]}, i) }

func item(ends, data list, i int) string {
	start := uint32(0)
	if i > 0 {
		start = at[uint32](ends, i-1)
	}
	return text{data.ptr + start, at[uint32](ends, i) - start}.String()
}

// -- Memory: the collector must not take what the host points at; it is let go when the call is over ------------------

var pins []any

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldBytes, align, bytes uint32) unsafe.Pointer {
	words := make([]uint64, (bytes+7)/8+1)
	pins = append(pins, words)
	out := unsafe.Pointer(&words[0])
	if oldBytes > 0 {
		copy(unsafe.Slice((*byte)(out), bytes), unsafe.Slice((*byte)(old), oldBytes))
	}
	return out
}

func over() { pins = pins[:0]; clear(pins[:cap(pins)]) }

// pin gives a slice an address for the host.
func pin[T any](items []T) list {
	if len(items) == 0 {
		return list{8, 0}
	}
	pins = append(pins, items)
	return list{uint32(uintptr(unsafe.Pointer(&items[0]))), uint32(len(items))}
}

func pinText(s string) text { return text(pin([]byte(s))) }

func pinTexts(all []string) list {
	out := make([]text, len(all))
	for i, one := range all {
		out[i] = pinText(one)
	}
	return pin(out)
}

// answer gives a record of 32-bit words an address for the host.
func answer(words ...uint32) unsafe.Pointer {
	out := make([]uint64, (len(words)+1)/2)
	flat := unsafe.Slice((*uint32)(unsafe.Pointer(&out[0])), len(words))
	copy(flat, words)
	pins = append(pins, out)
	return unsafe.Pointer(&out[0])
}

func pinItems(items []string) (ends, data list) {
	offsets, bytes := make([]uint32, len(items)), []byte(nil)
	for i, one := range items {
		bytes = append(bytes, one...)
		offsets[i] = uint32(len(bytes))
	}
	return pin(offsets), pin(bytes)
}

// cell is a value on its way out.
type cell struct {
	presence Presence
	text     string
	integer  int64
	number   float64
	boolean  bool
}

func columnOf(kind Kind, cells []cell) column {
	var out column
	presence, all := make([]Presence, len(cells)), true
	for i, one := range cells {
		presence[i] = one.presence
		all = all && one.presence == Present
	}
	if !all {
		out.presence = pin(presence)
	}
	var values list
	switch kind {
	case Integer:
		values, out.tag = gather(cells, func(c cell) int64 { return c.integer }), 1
	case Number:
		values, out.tag = gather(cells, func(c cell) float64 { return c.number }), 2
	case Boolean:
		values, out.tag = gather(cells, func(c cell) bool { return c.boolean }), 3
	default:
		items := make([]string, len(cells))
		for i, one := range cells {
			items[i] = one.text
		}
		ends, data := pinItems(items)
		out.cells = [4]uint32{ends.ptr, ends.len, data.ptr, data.len}
		return out
	}
	out.cells = [4]uint32{values.ptr, values.len}
	return out
}

func gather[T any](cells []cell, of func(cell) T) list {
	out := make([]T, len(cells))
	for i, one := range cells {
		out[i] = of(one)
	}
	return pin(out)
}

func cellOf(value any) cell {
	switch value := value.(type) {
	case nil:
		return cell{presence: Null}
	case string:
		return cell{text: value}
	case int:
		return cell{integer: int64(value)}
	case int64:
		return cell{integer: value}
	case float64:
		return cell{number: value}
	case bool:
		return cell{boolean: value}
	case Decimal:
		return cell{text: value.String()}
	default:
		out, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return cell{text: string(out)}
	}
}

// -- Metadata --------------------------------------------------------------------------------------------------------

func pinFields(fields []Field) list {
	type wire struct {
		pointer text
		kind    uint32
	}
	out := make([]wire, len(fields))
	for i, one := range fields {
		out[i] = wire{pinText(one.Pointer), uint32(one.Kind)}
	}
	return pin(out)
}

//go:wasmexport cdp:plugin/metadata@1.0.0#describe
func describe() unsafe.Pointer {
	name, version, summary := pinText(about.Name), pinText(about.Version), pinText(about.Summary)
	events, reads, writes := pinTexts(about.Events), pinFields(about.Reads), pinFields(about.Writes)
	schema, tables := pinText(about.ConfigSchema), pinTexts(about.Tables)
	return answer(name.ptr, name.len, version.ptr, version.len, summary.ptr, summary.len, events.ptr, events.len,
		reads.ptr, reads.len, writes.ptr, writes.len, schema.ptr, schema.len, 8, 0, 8, 0, tables.ptr, tables.len)
}

//go:wasmexport cabi_post_cdp:plugin/metadata@1.0.0#describe
func describeOver(unsafe.Pointer) { over() }

//go:wasmexport cdp:plugin/metadata@1.0.0#check-config
func checkConfig(ptr, bytes uint32) unsafe.Pointer {
	if about.CheckConfig == nil {
		return answer(0, 0, 0)
	}
	problems := about.CheckConfig(text{ptr, bytes}.String())
	if len(problems) == 0 {
		return answer(0, 0, 0)
	}
	all := pinTexts(problems)
	return answer(1, all.ptr, all.len)
}

//go:wasmexport cabi_post_cdp:plugin/metadata@1.0.0#check-config
func checkConfigOver(unsafe.Pointer) { over() }
