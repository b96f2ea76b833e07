// Package plugin is the interface of pgoutput-decoder's plugins, pgoutput:plugin@0.1.0, in Go: what
// wit/plugin.wit says, with Go's types. How it crosses the border is in abi.go.
package plugin

// Plugin is what a plugin does. Register it in a func init.
type Plugin interface {
	// Describe says what the plugin is. It is called before all else, without Init.
	Describe() Description
	// Init takes the configuration, as its user wrote it; empty where there is none. The error is
	// for people, and must not quote a secret of it.
	Init(config string) error
	// Select says what is wanted of the events of a relation; nil: they pass by. It is asked before
	// the first of them, and again when the relation has changed.
	Select(relation Relation) *Wanted
	// Process decides about events, in the order they were committed: as many verdicts as events,
	// in their order.
	Process(rows Rows) []Verdict
	// Flush is told of a complete transaction, if Description.Commits says so.
	Flush(commit Commit) []Emission
}

// Description is what a plugin is.
type Description struct {
	// Name is a word for logs, errors and counters.
	Name string
	// Version is the plugin's own.
	Version string
	// Commits says whether the plugin is told of commits: Flush.
	Commits bool
}

// Relation is where events belong.
type Relation struct {
	// ID is what Process calls it. A relation that has changed is another one.
	ID uint32
	// Topic is that of its events, for example shop.public.orders.
	Topic string
	// Schema is empty for what is of no table: logical messages, and what a plugin before this one
	// emitted.
	Schema  string
	Table   string
	Columns []Column
}

// Column returns the index of the column with that name.
func (r Relation) Column(name string) (index uint32, found bool) {
	for i, column := range r.Columns {
		if column.Name == name {
			return uint32(i), true
		}
	}
	return 0, false
}

// Column is one of a relation's.
type Column struct {
	Name string
	// TypeOID is pg_attribute.atttypid; of a domain, its base type.
	TypeOID uint32
	// Typmod is atttypmod; -1 for none.
	Typmod int32
	// Key says whether the column is part of the key.
	Key      bool
	Nullable bool
}

// Wanted is what a plugin wants of a relation's events.
type Wanted struct {
	// Operations are those it wants; events of others pass by.
	Operations Operations
	// Columns are indexes among the relation's columns.
	Columns []uint32
	// Old says whether the same columns of the row before an UPDATE are wanted, too.
	Old bool
	// Payload says whether key and payload are wanted, as JSON.
	Payload bool
}

// Operation is what an event is about.
type Operation uint8

const (
	Create Operation = iota
	Read
	Update
	Delete
	Truncate
	Message
	// Emitted is what a plugin before this one emitted.
	Emitted
)

// Operations is a set of them.
type Operations uint8

// Of makes a set of operations.
func Of(operations ...Operation) Operations {
	var set Operations
	for _, operation := range operations {
		set |= 1 << operation
	}
	return set
}

// Event is one change.
type Event struct {
	Operation Operation
	// LSN is that of the change. Several changes may share one.
	LSN uint64
	// CommitUS is the commit time, µs since 1970-01-01.
	CommitUS int64
}

// Document is what is sent, as JSON; nil where the event has none.
type Document struct {
	Key, Payload *string
}

// Value is a value as it stands in the event; which of these types it has is up to its column:
//
//   - nil: SQL's NULL
//   - Unchanged
//   - bool
//   - int64: smallint, integer, bigint, oid; any integer in the event
//   - float64
//   - Decimal: numeric
//   - string: text, and everything else that is a string in the event
//   - []byte: bytea
//   - Timestamp: timestamp and timestamptz, in the native format
//   - JSON: json, jsonb, arrays, composites
type Value any

type (
	// Unchanged was not sent: a TOASTed value that did not change, or a column of which the old row
	// has no value.
	Unchanged struct{}
	// Decimal has digits, or is NaN, Infinity or -Infinity.
	Decimal string
	// Timestamp is µs since 1970-01-01.
	Timestamp int64
	// JSON is a JSON text.
	JSON string
)

// Verdict is what becomes of an event: nil keeps it; else it is one of Drop, Change, Replace,
// Route, Emit and Fail.
type Verdict interface{ verdict() }

type (
	// Drop drops the event.
	Drop struct{}
	// Change gives the event other values in some columns.
	Change []NewValue
	// Replace gives the event another payload: a JSON text.
	Replace string
	// Route gives the event another topic.
	Route string
	// Emit puts these in the event's place, in this order: none, one or many.
	Emit []Emission
	// Fail says that the event cannot be dealt with: why, for people. It must not quote a value.
	Fail string
)

func (Drop) verdict()    {}
func (Change) verdict()  {}
func (Replace) verdict() {}
func (Route) verdict()   {}
func (Emit) verdict()    {}
func (Fail) verdict()    {}

// NewValue is what a column becomes.
type NewValue struct {
	// Column is an index among the relation's columns. One that the row has no value of stays so.
	Column uint32
	// Old is about the row before an UPDATE, instead of the new one and of the key.
	Old bool
	// Value is of the column's type, or nil for NULL.
	Value Value
}

// Emission is an event of the plugin's own.
type Emission struct {
	Topic string
	// Key is a JSON text, or nil.
	Key *string
	// Payload is a JSON text; nil for a tombstone.
	Payload *string
	Headers []Header
}

// Header is one of an event's.
type Header struct{ Name, Value string }

// Commit is the end of a transaction.
type Commit struct {
	XID uint32
	LSN uint64
	// CommitUS is µs since 1970-01-01.
	CommitUS int64
	// Events of the transaction, before any plugin.
	Events uint32
}

// Level is how much a line of the log matters.
type Level uint32

const (
	Debug Level = iota
	Info
	Warning
	Error
)
