package cdp

import "unsafe"

// Decision is what becomes of an event.
type Decision struct {
	decision, failure uint32
	why               string
	ms                *uint32
}

// Keep lets the event stay, with what was set.
func Keep() Decision { return Decision{} }

// Drop lets it go no further.
func Drop(reason string) Decision { return Decision{decision: 1, why: reason} }

// Reject sends it to the dead letters: it will never work.
func Reject(why string) Decision { return Decision{decision: 2, why: why} }

// Retry asks for another try, not before so many milliseconds.
func Retry(ms uint32) Decision { return Decision{decision: 2, failure: 1, ms: &ms} }

// Misconfigured says that the configuration is wrong: the host stops calling the plugin.
func Misconfigured(why string) Decision { return Decision{decision: 2, failure: 2, why: why} }

// Patch takes what is to be changed on one event; fields are named by their position in About.Writes.
type Patch struct {
	row  uint32
	work *work
}

// Set gives a field a value of its declared kind; nil sets JSON null. Of two writes to one field the later stays.
func (p Patch) Set(write int, value any) { p.put(write, cellOf(value)) }

// Remove takes a field away.
func (p Patch) Remove(write int) { p.put(write, cell{presence: Absent}) }

// Bear makes a new event of the same person; document is a JSON object with properties and traits.
func (p Patch) Bear(eventType string, occurredAt int64, document string) {
	p.work.born = append(p.work.born, newEvent{p.row, pinText(eventType), occurredAt, pinText(document)})
}

func (p Patch) put(write int, value cell) {
	w := &p.work.writers[write]
	if n := len(w.rows); n > 0 && w.rows[n-1] == p.row {
		w.rows, w.cells = w.rows[:n-1], w.cells[:n-1]
	}
	w.rows, w.cells = append(w.rows, p.row), append(w.cells, value)
}

type work struct {
	writers []writer
	born    []newEvent
}

type writer struct {
	rows  []uint32
	cells []cell
}

type newEvent struct {
	row        uint32
	eventType  text
	occurredAt int64
	document   text
}

type assignment struct {
	pointer text
	rows    list
	values  column
}

type reason struct {
	row uint32
	why text
}

type failed struct {
	row, tag   uint32
	word1, word2 uint32
}

var judge func(event Event, patch Patch, config string) Decision

// Transformer makes a function the component's transform: it judges and changes each event by itself. Once, from init.
func Transformer(what About, apply func(event Event, patch Patch, config string) Decision) {
	about = what
	judge = apply
}

//go:wasmexport cdp:plugin/transform@1.0.0#apply
func apply(config, bytes, rows, eventType, eventTypes, types, typesLen, occurredAt, occurredLen, receivedAt, receivedLen, fields, fieldsLen uint32) unsafe.Pointer {
	events := batch{rows, list{eventType, eventTypes}, list{types, typesLen}, list{occurredAt, occurredLen}, list{receivedAt, receivedLen}, list{fields, fieldsLen}}
	settings := text{config, bytes}.String()
	work := work{writers: make([]writer, len(about.Writes))}
	decisions := make([]uint8, rows)
	var reasons []reason
	var failures []failed
	for row := range rows {
		one := judge(Event{&events, int(row)}, Patch{row, &work}, settings)
		decisions[row] = uint8(one.decision)
		why := pinText(one.why)
		switch {
		case one.decision == 1 && one.why != "":
			reasons = append(reasons, reason{row, why})
		case one.ms != nil:
			failures = append(failures, failed{row, one.failure, 1, *one.ms})
		case one.decision == 2:
			failures = append(failures, failed{row, one.failure, why.ptr, why.len})
		}
	}
	var assignments []assignment
	for i, w := range work.writers {
		if len(w.rows) > 0 {
			values := columnOf(about.Writes[i].Kind, w.cells)
			assignments = append(assignments, assignment{pinText(about.Writes[i].Pointer), pin(w.rows), values})
		}
	}
	d, r, f, a, b := pin(decisions), pin(reasons), pin(failures), pin(assignments), pin(work.born)
	return answer(d.ptr, d.len, r.ptr, r.len, f.ptr, f.len, a.ptr, a.len, b.ptr, b.len)
}

//go:wasmexport cabi_post_cdp:plugin/transform@1.0.0#apply
func applyOver(unsafe.Pointer) { over() }
