package pgoutput

import (
	"encoding/binary"
	"iter"
)

// Topics are those that a decoder has named so far, by their ids.
type Topics map[uint32]*Topic

// Read iterates over the records of one call to the decoder, whose memory the events share.
func (t Topics) Read(records []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for at, length := 0, 0; at < len(records); at += length {
			rest := fields{rest: records[at:]}
			bytes := rest.u32()
			kind := rest.u8()
			if rest.problem != "" || uint64(bytes) > uint64(len(records)-at) || bytes < 5 {
				yield(nil, &RecordError{cut, at})
				return
			}
			length = int(bytes)
			record, problem := t.record(kind, records[at:at+length:at+length])
			if problem != "" {
				yield(nil, &RecordError{problem, at})
				return
			}
			if record != nil && !yield(record, nil) {
				return
			}
		}
	}
}

func (t Topics) record(kind uint8, record []byte) (Record, string) {
	f := fields{rest: record[min(8, len(record)):]}
	var read Record
	switch kind {
	case 1:
		f.topic(t)
	case 2:
		read = Begin{f.lsn(), f.i64(), f.u32()}
	case 3:
		read = Commit{f.lsn(), f.i64(), f.u32(), f.u32(), f.lsn()}
	case 4:
		return t.event(record)
	case 5:
		read = Stash{f.u32(), f.u32(), f.u64(), f.u64()}
	case 6:
		read = Discard{f.u32(), f.u32()}
	case 7:
		read = Prepared{f.u32(), LSN(f.skip(4).u64())}
	}
	return read, f.problem
}

func (t Topics) event(record []byte) (Record, string) {
	if len(record) < eventBytes {
		return nil, cut
	}
	e := Event{record, t[le.Uint32(record[44:])]}
	if e.topic == nil {
		return nil, "an event of an unknown topic"
	}
	need := eventBytes + 4*uint64(le.Uint32(record[60:]))
	for at := 48; at < 60; at += 4 {
		need += uint64(le.Uint32(record[at:]))
	}
	if need > uint64(len(record)) {
		return nil, cut
	}
	for at := 64; at < eventBytes; at += 8 {
		end := uint64(le.Uint32(record[at:])) + uint64(le.Uint32(record[at+4:]))
		if end > uint64(le.Uint32(record[52:])) {
			return nil, "a part that lies outside the value"
		}
	}
	return e, ""
}

func (f *fields) topic(topics Topics) {
	topic := &Topic{ID: f.u32(), RelationOID: f.u32()}
	name, schema, table, headers := f.u32(), f.u32(), f.u32(), f.u32()
	columns := f.u32()
	topic.Name, topic.Schema, topic.Table = f.text(name), f.text(schema), f.text(table)
	topic.Headers = []byte(f.text(headers))
	for ; columns > 0 && f.problem == ""; columns-- {
		column := Column{TypeOID: f.u32(), Typmod: int32(f.u32())}
		var flags uint8
		column.Name, column.Shape, flags = f.shape(0)
		column.InKey, column.Nullable = flags&1 != 0, flags&2 != 0
		topic.Columns = append(topic.Columns, column)
	}
	if f.problem == "" {
		topics[topic.ID] = topic
	}
}

// shape reads what columns and attributes have in common: name, shape and flags.
func (f *fields) shape(depth int) (string, Shape, uint8) {
	shape, flags := Shape{Code: f.u8()}, f.u8()
	name := f.text(uint32(f.u16()))
	if shape.Code%16 != 5 {
		return name, shape, flags
	}
	if depth == depthMax {
		f.problem = "objects within too many others"
	}
	for count := f.u16(); count > 0 && f.problem == ""; count-- {
		attribute, inner, _ := f.shape(depth + 1)
		shape.Attributes = append(shape.Attributes, Attribute{attribute, inner})
	}
	return name, shape, flags
}

// fields is what is left of a record. Behind its end all numbers are 0, and there is a problem.
type fields struct {
	rest    []byte
	problem string
}

func (f *fields) take(bytes uint32) []byte {
	if uint64(bytes) > uint64(len(f.rest)) {
		f.rest, f.problem = nil, cut
		return make([]byte, min(bytes, 8))
	}
	taken := f.rest[:bytes]
	f.rest = f.rest[bytes:]
	return taken
}

func (f *fields) skip(bytes uint32) *fields { f.take(bytes); return f }
func (f *fields) text(bytes uint32) string  { return string(f.take(bytes)) }
func (f *fields) u8() uint8                 { return f.take(1)[0] }
func (f *fields) u16() uint16               { return le.Uint16(f.take(2)) }
func (f *fields) u32() uint32               { return le.Uint32(f.take(4)) }
func (f *fields) u64() uint64               { return le.Uint64(f.take(8)) }
func (f *fields) i64() int64                { return int64(f.u64()) }
func (f *fields) lsn() LSN                  { return LSN(f.u64()) }

var le = binary.LittleEndian

const (
	cut        = "a record cut short"
	eventBytes = 88
	depthMax   = 64 // The decoder looks into fewer composites.
)
