package pgoutput

// Topic is what is constant for the events that name it.
type Topic struct {
	// ID is unique within a decoder; a changed relation gets a new topic.
	ID uint32
	// RelationOID is 0 for logical messages and transaction metadata.
	RelationOID uint32
	// Name is for example "shop.public.orders".
	Name   string
	Schema string
	Table  string
	// Headers are a JSON object: those of every event without its own.
	Headers []byte
	// Columns are those of the events, in their order.
	Columns []Column
}

// Column is one column of a topic's events.
type Column struct {
	Name string
	// TypeOID is a domain's base type.
	TypeOID uint32
	// Typmod is -1 for none.
	Typmod   int32
	Shape    Shape
	InKey    bool
	Nullable bool
}

// Shape is what JSON stands for, by the table in wit/decoding.wit.
type Shape struct {
	Code uint8
	// Attributes are those of an object, or of the objects in an array.
	Attributes []Attribute
}

// Attribute is one attribute of an object.
type Attribute struct {
	Name  string
	Shape Shape
}
