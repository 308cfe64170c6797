package cdp

import (
	"encoding/json"
	"unsafe"
)

// Output is a value that a derivation gives.
type Output struct {
	Name string
	Kind Kind
}

// Laws are promises about a fold; the host tests each before it relies on it.
type Laws uint8

// The laws.
const (
	Commutative Laws = 1 << iota
	Mergeable
	Idempotent
)

// Fold is a fold over one person's events, whose state the host keeps as JSON.
type Fold[State any] struct {
	Outputs       []Output
	Laws          Laws
	StateVersion  uint32 // raise it when the meaning of the state changes; 1 when not set
	MaxStateBytes uint32 // 4096 when not set
	// Step takes an event in. A state begins as its zero value.
	Step func(state *State, event Event, config string)
	// Join takes another history in; nil when the fold is not mergeable.
	Join func(state *State, other State, config string)
	// Read gives the outputs by name; nil or missing ones are absent. The time is when they change by themselves, or 0.
	Read func(state State, now int64, config string) (values map[string]any, validUntil int64)
}

// Deriver makes a fold the component's derivation. Once, from init.
func Deriver[State any](what About, fold Fold[State]) {
	about = what
	derivation = fold
}

type folder interface {
	shape() (version uint32, laws Laws, outputs []Output, bytes uint32)
	fold(state string, events func() (Event, bool), config string) (string, error)
	combine(left, right, config string) (string, error)
	read(state string, now int64, config string) (map[string]any, int64, error)
}

var derivation folder

func (f Fold[State]) shape() (uint32, Laws, []Output, uint32) {
	bytes := f.MaxStateBytes
	if bytes == 0 {
		bytes = 4096
	}
	return max(f.StateVersion, 1), f.Laws, f.Outputs, bytes
}

func open[State any](bytes string) (state State, err error) {
	if bytes != "" {
		err = json.Unmarshal([]byte(bytes), &state)
	}
	return
}

func (f Fold[State]) fold(bytes string, events func() (Event, bool), config string) (string, error) {
	state, err := open[State](bytes)
	if err != nil {
		return "", err
	}
	for event, ok := events(); ok; event, ok = events() {
		f.Step(&state, event, config)
	}
	out, err := json.Marshal(state)
	return string(out), err
}

func (f Fold[State]) combine(left, right, config string) (string, error) {
	a, err := open[State](left)
	if err != nil {
		return "", err
	}
	b, err := open[State](right)
	if err != nil {
		return "", err
	}
	f.Join(&a, b, config)
	out, err := json.Marshal(a)
	return string(out), err
}

func (f Fold[State]) read(bytes string, now int64, config string) (map[string]any, int64, error) {
	state, err := open[State](bytes)
	if err != nil {
		return nil, 0, err
	}
	values, until := f.Read(state, now, config)
	return values, until, nil
}

//go:wasmexport cdp:plugin/derivation@1.0.0#shape
func shape(_, _ uint32) unsafe.Pointer {
	version, laws, outputs, bytes := derivation.shape()
	fields := make([]Field, len(outputs))
	for i, one := range outputs {
		fields[i] = Field{one.Name, one.Kind}
	}
	all := pinFields(fields)
	return answer(version, uint32(laws), all.ptr, all.len, bytes, 0, 0)
}

//go:wasmexport cabi_post_cdp:plugin/derivation@1.0.0#shape
func shapeOver(unsafe.Pointer) { over() }

func refuse(why error) unsafe.Pointer {
	sentence := pinText(why.Error())
	return answer(1, 0, sentence.ptr, sentence.len, 0)
}

func give(states []string) unsafe.Pointer {
	ends, data := pinItems(states)
	return answer(0, ends.ptr, ends.len, data.ptr, data.len)
}

type foldArguments struct {
	config         text
	states         [2]list
	ends           list
	events         batch
}

//go:wasmexport cdp:plugin/derivation@1.0.0#fold
func fold(ptr uint32) unsafe.Pointer {
	arguments := (*foldArguments)(unsafe.Pointer(uintptr(ptr)))
	config := arguments.config.String()
	out := make([]string, arguments.ends.len)
	row := 0
	for group := range out {
		state, end := item(arguments.states[0], arguments.states[1], group), int(at[uint32](arguments.ends, group))
		if row == end {
			out[group] = state
			continue
		}
		next := func() (Event, bool) {
			if row == end {
				return Event{}, false
			}
			row++
			return Event{&arguments.events, row - 1}, true
		}
		folded, err := derivation.fold(state, next, config)
		if err != nil {
			return refuse(err)
		}
		out[group] = folded
	}
	return give(out)
}

//go:wasmexport cabi_post_cdp:plugin/derivation@1.0.0#fold
func foldOver(unsafe.Pointer) { over() }

//go:wasmexport cdp:plugin/derivation@1.0.0#combine
func combine(config, bytes, leftEnds, lefts, leftData, leftBytes, rightEnds, rights, rightData, rightBytes uint32) unsafe.Pointer {
	out := make([]string, lefts)
	for i := range out {
		left := item(list{leftEnds, lefts}, list{leftData, leftBytes}, i)
		right := item(list{rightEnds, rights}, list{rightData, rightBytes}, i)
		if left == "" || right == "" {
			out[i] = left + right
			continue
		}
		joined, err := derivation.combine(left, right, text{config, bytes}.String())
		if err != nil {
			return refuse(err)
		}
		out[i] = joined
	}
	return give(out)
}

//go:wasmexport cabi_post_cdp:plugin/derivation@1.0.0#combine
func combineOver(unsafe.Pointer) { over() }

//go:wasmexport cdp:plugin/derivation@1.0.0#read
func read(config, bytes uint32, asOf int64, ends, count, data, dataBytes uint32) unsafe.Pointer {
	_, _, outputs, _ := derivation.shape()
	cells := make([][]cell, len(outputs))
	until := make([][2]int64, count) // a tag and a time
	for i := range int(count) {
		values, valid, err := derivation.read(item(list{ends, count}, list{data, dataBytes}, i), asOf, text{config, bytes}.String())
		if err != nil {
			return refuse(err)
		}
		for o, output := range outputs {
			one := cell{presence: Absent}
			if value := values[output.Name]; value != nil {
				one = cellOf(value)
			}
			cells[o] = append(cells[o], one)
		}
		if valid != 0 {
			until[i] = [2]int64{1, valid}
		}
	}
	columns := make([]column, len(outputs))
	for o, output := range outputs {
		columns[o] = columnOf(output.Kind, cells[o])
	}
	values, times := pin(columns), pin(until)
	return answer(0, values.ptr, values.len, times.ptr, times.len)
}

//go:wasmexport cabi_post_cdp:plugin/derivation@1.0.0#read
func readOver(unsafe.Pointer) { over() }
