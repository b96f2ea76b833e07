//go:build wasip1

package plugin

// The component model's canonical ABI for this one interface, by hand: so a plugin needs no
// generator and no module but the standard library. Offsets and sizes are those of wit/plugin.wit;
// addresses are 32 bits wide, and Go's pointers 64, so Go's structs cannot be used as they are.

import (
	"math"
	"runtime"
	"unsafe"
)

var registered Plugin

// Register says what the plugin is. It belongs in a func init: main is never called.
func Register(plugin Plugin) {
	registered = plugin
}

// Log writes a line to the log of whoever runs the plugin. It must not quote a value.
func Log(level Level, message string) {
	hostLog(uint32(level), message)
}

//go:wasmimport pgoutput:plugin/log@0.1.0 log
func hostLog(level uint32, message string)

// Rows are events of one relation, with what was wanted of them. They are there during Process
// only; what their methods returned may be kept.
type Rows struct {
	// Relation is the ID that Select was told.
	Relation uint32
	Events   []Event

	width, oldWidth        int
	values, old, documents unsafe.Pointer
	hasDocuments           bool
}

// Value returns a value of an event's row: of the new one, or of the one that was deleted; column
// is an index among Wanted.Columns. Where there is no row, as for a TRUNCATE, it is Unchanged.
func (r Rows) Value(event, column int) Value {
	return value(unsafe.Add(r.values, r.index(event, column, r.width)*valueSize))
}

// Old returns a value of the row before an UPDATE; Unchanged where there is none. Wanted.Old must
// have been set.
func (r Rows) Old(event, column int) Value {
	return value(unsafe.Add(r.old, r.index(event, column, r.oldWidth)*valueSize))
}

// Document returns key and payload of an event. Wanted.Payload must have been set.
func (r Rows) Document(event int) Document {
	if !r.hasDocuments || event < 0 || event >= len(r.Events) {
		panic("there is no such document")
	}
	document := unsafe.Add(r.documents, event*documentSize)
	return Document{Key: optional(document), Payload: optional(unsafe.Add(document, 12))}
}

func (r Rows) index(event, column, width int) int {
	if event < 0 || event >= len(r.Events) || column < 0 || column >= width {
		panic("there is no such value")
	}
	return event*width + column
}

// Sizes of the interface's records.
const (
	columnSize   = 20
	eventSize    = 24
	valueSize    = 16
	documentSize = 24
	verdictSize  = 12
	newValueSize = 24
	emissionSize = 40
	headerSize   = 16
)

// Cases of the variant value.
const (
	caseNull = iota
	caseUnchanged
	caseBoolean
	caseInteger
	caseFloat
	caseDecimal
	caseText
	caseBytes
	caseTimestamp
	caseJSON
)

//go:wasmexport pgoutput:plugin/transform@0.1.0#describe
func describe() unsafe.Pointer {
	defer begin()()
	description := registered.Describe()
	to := allocate(20)
	putString(to, 0, description.Name)
	putString(to, 8, description.Version)
	putBool(to, 16, description.Commits)
	return to
}

//go:wasmexport pgoutput:plugin/transform@0.1.0#init
func initialize(config unsafe.Pointer, length uint32) unsafe.Pointer {
	defer begin()()
	err := registered.Init(text(config, length))
	to := allocate(12)
	if err != nil {
		putByte(to, 0, 1)
		putString(to, 4, err.Error())
	}
	return to
}

//go:wasmexport pgoutput:plugin/transform@0.1.0#select
func choose(
	id uint32,
	topic unsafe.Pointer, topicLength uint32,
	schema unsafe.Pointer, schemaLength uint32,
	table unsafe.Pointer, tableLength uint32,
	columns unsafe.Pointer, columnsLength uint32,
) unsafe.Pointer {
	defer begin()()
	relation := Relation{
		ID:      id,
		Topic:   text(topic, topicLength),
		Schema:  text(schema, schemaLength),
		Table:   text(table, tableLength),
		Columns: make([]Column, columnsLength),
	}
	for i := range relation.Columns {
		from := unsafe.Add(columns, i*columnSize)
		relation.Columns[i] = Column{
			Name:     getString(from, 0),
			TypeOID:  get32(from, 8),
			Typmod:   int32(get32(from, 12)),
			Key:      getByte(from, 16) != 0,
			Nullable: getByte(from, 17) != 0,
		}
	}
	wanted := registered.Select(relation)
	to := allocate(20)
	if wanted == nil {
		return to
	}
	putByte(to, 0, 1)
	putByte(to, 4, uint8(wanted.Operations))
	putList(to, 8, keep(unsafe.Pointer(unsafe.SliceData(wanted.Columns))), len(wanted.Columns))
	putBool(to, 16, wanted.Old)
	putBool(to, 17, wanted.Payload)
	return to
}

//go:wasmexport pgoutput:plugin/transform@0.1.0#process
func process(
	relation uint32,
	events unsafe.Pointer, eventsLength uint32,
	values unsafe.Pointer, valuesLength uint32,
	old unsafe.Pointer, oldLength uint32,
	documents unsafe.Pointer, documentsLength uint32,
) unsafe.Pointer {
	defer begin()()
	rows := Rows{
		Relation:     relation,
		Events:       make([]Event, eventsLength),
		values:       values,
		old:          old,
		documents:    documents,
		hasDocuments: documentsLength > 0,
	}
	if eventsLength > 0 {
		rows.width = int(valuesLength / eventsLength)
		rows.oldWidth = int(oldLength / eventsLength)
	}
	for i := range rows.Events {
		from := unsafe.Add(events, i*eventSize)
		rows.Events[i] = Event{
			Operation: Operation(getByte(from, 0)),
			LSN:       get64(from, 8),
			CommitUS:  int64(get64(from, 16)),
		}
	}
	verdicts := registered.Process(rows)
	list := allocate(len(verdicts) * verdictSize)
	for i, verdict := range verdicts {
		putVerdict(unsafe.Add(list, i*verdictSize), verdict)
	}
	to := allocate(8)
	putList(to, 0, list, len(verdicts))
	return to
}

//go:wasmexport pgoutput:plugin/transform@0.1.0#flush
func flush(xid uint32, lsn uint64, commitUS int64, events uint32) unsafe.Pointer {
	defer begin()()
	commit := Commit{XID: xid, LSN: lsn, CommitUS: commitUS, Events: events}
	to := allocate(8)
	putEmissions(to, 0, registered.Flush(commit))
	return to
}

func putVerdict(to unsafe.Pointer, verdict Verdict) {
	switch verdict := verdict.(type) {
	case nil:
	case Drop:
		putByte(to, 0, 1)
	case Change:
		putByte(to, 0, 2)
		list := allocate(len(verdict) * newValueSize)
		for i, change := range verdict {
			to := unsafe.Add(list, i*newValueSize)
			put32(to, 0, change.Column)
			putBool(to, 4, change.Old)
			putValue(unsafe.Add(to, 8), change.Value)
		}
		putList(to, 4, list, len(verdict))
	case Replace:
		putByte(to, 0, 3)
		putString(to, 4, string(verdict))
	case Route:
		putByte(to, 0, 4)
		putString(to, 4, string(verdict))
	case Emit:
		putByte(to, 0, 5)
		putEmissions(to, 4, verdict)
	case Fail:
		putByte(to, 0, 6)
		putString(to, 4, string(verdict))
	default:
		panic("a verdict is of a type that is none")
	}
}

func putEmissions(to unsafe.Pointer, offset int, emissions []Emission) {
	list := allocate(len(emissions) * emissionSize)
	for i, emission := range emissions {
		to := unsafe.Add(list, i*emissionSize)
		putString(to, 0, emission.Topic)
		putOptional(to, 8, emission.Key)
		putOptional(to, 20, emission.Payload)
		headers := allocate(len(emission.Headers) * headerSize)
		for i, header := range emission.Headers {
			putString(headers, i*headerSize, header.Name)
			putString(headers, i*headerSize+8, header.Value)
		}
		putList(to, 32, headers, len(emission.Headers))
	}
	putList(to, offset, list, len(emissions))
}

func putOptional(to unsafe.Pointer, offset int, text *string) {
	if text != nil {
		putByte(to, offset, 1)
		putString(to, offset+4, *text)
	}
}

func optional(from unsafe.Pointer) *string {
	if getByte(from, 0) == 0 {
		return nil
	}
	text := getString(from, 4)
	return &text
}

func value(from unsafe.Pointer) Value {
	switch getByte(from, 0) {
	case caseNull:
		return nil
	case caseUnchanged:
		return Unchanged{}
	case caseBoolean:
		return getByte(from, 8) != 0
	case caseInteger:
		return int64(get64(from, 8))
	case caseFloat:
		return math.Float64frombits(get64(from, 8))
	case caseDecimal:
		return Decimal(getString(from, 8))
	case caseText:
		return getString(from, 8)
	case caseBytes:
		return []byte(getString(from, 8))
	case caseTimestamp:
		return Timestamp(get64(from, 8))
	case caseJSON:
		return JSON(getString(from, 8))
	default:
		panic("a value is of a case that is none")
	}
}

func putValue(to unsafe.Pointer, value Value) {
	switch value := value.(type) {
	case nil:
		putByte(to, 0, caseNull)
	case Unchanged:
		putByte(to, 0, caseUnchanged)
	case bool:
		putByte(to, 0, caseBoolean)
		putBool(to, 8, value)
	case int64:
		putByte(to, 0, caseInteger)
		put64(to, 8, uint64(value))
	case float64:
		putByte(to, 0, caseFloat)
		put64(to, 8, math.Float64bits(value))
	case Decimal:
		putByte(to, 0, caseDecimal)
		putString(to, 8, string(value))
	case string:
		putByte(to, 0, caseText)
		putString(to, 8, value)
	case []byte:
		putByte(to, 0, caseBytes)
		putList(to, 8, keep(unsafe.Pointer(unsafe.SliceData(value))), len(value))
	case Timestamp:
		putByte(to, 0, caseTimestamp)
		put64(to, 8, uint64(value))
	case JSON:
		putByte(to, 0, caseJSON)
		putString(to, 8, string(value))
	default:
		panic("a new value is of a type that no value has")
	}
}

// Memory. The host knows addresses only, and the garbage collector does not see those: what has one
// is held here. Go moves nothing in its heap.
var (
	// given is what the host was given for the arguments of the next call.
	given []unsafe.Pointer
	// kept is what the answer of the last call is made of.
	kept []unsafe.Pointer
)

// begin begins a call: the last answer has been read. What it returns ends it: the arguments are
// Go's now, or not needed any more.
func begin() (end func()) {
	clear(kept)
	kept = kept[:0]
	return func() {
		if reason := recover(); reason != nil {
			fail(reason)
		}
		clear(given)
		given = given[:0]
	}
}

// fail says where the plugin panicked, and ends it. Go's own trace has the arguments of functions
// in it, which may be values of a row.
func fail(reason any) {
	switch reason := reason.(type) {
	case error:
		println("panic:", reason.Error())
	case string:
		println("panic:", reason)
	default:
		println("panic")
	}
	callers := make([]uintptr, 16)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		println("  at", frame.Function, frame.File, frame.Line)
		if !more {
			break
		}
	}
	exit(2)
}

//go:wasmimport wasi_snapshot_preview1 proc_exit
func exit(code uint32)

func keep(address unsafe.Pointer) unsafe.Pointer {
	kept = append(kept, address)
	return address
}

// allocate makes room for a part of the answer, of zeros.
func allocate(size int) unsafe.Pointer {
	return keep(unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8))))
}

// started is whether Go's runtime is; before, its heap cannot be used, but the host's WASI already
// wants memory for itself: early.
var (
	started   bool
	early     [256 << 10]byte
	earlyUsed uintptr
)

func init() {
	started = true
}

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if !started {
		start := uintptr(unsafe.Pointer(&early)) + earlyUsed
		start = (start + uintptr(align) - 1) &^ (uintptr(align) - 1)
		earlyUsed = start + uintptr(size) - uintptr(unsafe.Pointer(&early))
		if earlyUsed > unsafe.Sizeof(early) {
			return nil
		}
		return unsafe.Add(unsafe.Pointer(&early), start-uintptr(unsafe.Pointer(&early)))
	}
	if size == 0 {
		return unsafe.Add(nil, align)
	}
	// The garbage collector looks at the clock, which is the host's, which must not be called from
	// here: WASI answers with the last time instead.
	pauseClock(true)
	var address unsafe.Pointer
	if align == 1 {
		address = unsafe.Pointer(unsafe.SliceData(make([]byte, size)))
	} else {
		address = unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	}
	given = append(given, address)
	copy(unsafe.Slice((*byte)(address), size), unsafe.Slice((*byte)(old), oldSize))
	pauseClock(false)
	return address
}

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused bool)

func text(address unsafe.Pointer, length uint32) string {
	if length == 0 {
		return ""
	}
	return unsafe.String((*byte)(address), length)
}

func getByte(from unsafe.Pointer, offset int) uint8 {
	return *(*uint8)(unsafe.Add(from, offset))
}

func get32(from unsafe.Pointer, offset int) uint32 {
	return *(*uint32)(unsafe.Add(from, offset))
}

func get64(from unsafe.Pointer, offset int) uint64 {
	return *(*uint64)(unsafe.Add(from, offset))
}

func getString(from unsafe.Pointer, offset int) string {
	return text(unsafe.Add(nil, get32(from, offset)), get32(from, offset+4))
}

func putByte(to unsafe.Pointer, offset int, value uint8) {
	*(*uint8)(unsafe.Add(to, offset)) = value
}

func putBool(to unsafe.Pointer, offset int, value bool) {
	*(*bool)(unsafe.Add(to, offset)) = value
}

func put32(to unsafe.Pointer, offset int, value uint32) {
	*(*uint32)(unsafe.Add(to, offset)) = value
}

func put64(to unsafe.Pointer, offset int, value uint64) {
	*(*uint64)(unsafe.Add(to, offset)) = value
}

func putString(to unsafe.Pointer, offset int, text string) {
	putList(to, offset, keep(unsafe.Pointer(unsafe.StringData(text))), len(text))
}

func putList(to unsafe.Pointer, offset int, address unsafe.Pointer, length int) {
	put32(to, offset, uint32(uintptr(address)))
	put32(to, offset+4, uint32(length))
}
