package pgoutput

import "bytes"

// Event is one change event. It is a view of the records of one call, which it keeps in memory:
// what is to be kept for long is better copied. What it returns is not to be written to.
type Event struct {
	record []byte
	topic  *Topic
}

// Topic is where it belongs and what its columns are.
func (e Event) Topic() *Topic { return e.topic }

// Op is 'c', 'u', 'd', 'r', 't' or 'm'; 0 for tombstones and transaction metadata.
func (e Event) Op() byte { return e.record[5] }

// Key is JSON; nil where it is null.
func (e Event) Key() []byte { return e.slice(eventBytes, e.keyBytes()) }

// Value is JSON; nil for a tombstone.
func (e Event) Value() []byte { return e.slice(e.valueStart(), e.valueBytes()) }

// Headers are a JSON object.
func (e Event) Headers() []byte {
	if own := e.slice(e.valueStart()+e.valueBytes(), e.number(56)); own != nil {
		return own
	}
	return e.topic.Headers
}

// Before is `before` in the value; nil where the value has no such field.
func (e Event) Before() []byte { return e.part(64) }

// After is `after` in the value; nil where the value has no such field.
func (e Event) After() []byte { return e.part(72) }

// Source is `source` in the value; nil where the value has no such field.
func (e Event) Source() []byte { return e.part(80) }

// Unchanged are the indexes of the columns of `after` whose TOASTed value did not change and was
// not sent.
func (e Event) Unchanged() []uint32 {
	start := e.valueStart() + e.valueBytes() + e.number(56)
	var columns []uint32
	for index := range e.number(60) {
		columns = append(columns, le.Uint32(e.record[start+4*index:]))
	}
	return columns
}

// Position is where it stands in the stream.
func (e Event) Position() Position {
	return Position{
		LSN(le.Uint64(e.record[8:])), le.Uint32(e.record[16:]), le.Uint32(e.record[20:]),
	}
}

// LSN is the change's own. Several events may share one.
func (e Event) LSN() LSN { return LSN(le.Uint64(e.record[24:])) }

// CommitTimeUs is in µs since 1970-01-01.
func (e Event) CommitTimeUs() int64 { return int64(le.Uint64(e.record[32:])) }

// XID is the transaction's; 0 for none.
func (e Event) XID() uint32 { return le.Uint32(e.record[40:]) }

// Transactional is whether it belongs to a transaction. Logical messages need not.
func (e Event) Transactional() bool { return e.record[6]&noTransaction == 0 }

// AppendLine appends the event as a line of JSON, with its line break:
// {"topic":…,"key":…,"value":…,"headers":…}
func (e Event) AppendLine(line []byte) []byte {
	start := len(line)
	line = append(line, `{"topic":`...)
	line = appendQuoted(line, e.topic.Name)
	line = append(line, `,"key":`...)
	line = append(line, orNull(e.Key())...)
	line = append(line, `,"value":`...)
	line = append(line, orNull(e.Value())...)
	line = append(line, `,"headers":`...)
	line = append(line, e.Headers()...)
	line = append(line, '}')
	// The server's own json may have line breaks, which stand between its tokens alone.
	for _, lineBreak := range []byte("\n\r") {
		for rest := line[start:]; ; {
			at := bytes.IndexByte(rest, lineBreak)
			if at < 0 {
				break
			}
			rest[at] = ' '
			rest = rest[at+1:]
		}
	}
	return append(line, '\n')
}

func orNull(text []byte) []byte {
	if text == nil {
		return []byte("null")
	}
	return text
}

// appendQuoted escapes what JSON demands and no more, which encoding/json does not do.
func appendQuoted(line []byte, text string) []byte {
	const hexDigits = "0123456789abcdef"
	line = append(line, '"')
	for _, char := range []byte(text) {
		switch {
		case char == '"' || char == '\\':
			line = append(line, '\\', char)
		case char >= ' ':
			line = append(line, char)
		case char >= '\b' && char <= '\r' && char != '\v':
			line = append(line, '\\', "btn_fr"[char-'\b'])
		default:
			line = append(line, `\u00`...)
			line = append(line, hexDigits[char>>4], hexDigits[char&15])
		}
	}
	return append(line, '"')
}

func (e Event) keyBytes() int   { return e.number(48) }
func (e Event) valueStart() int { return eventBytes + e.keyBytes() }
func (e Event) valueBytes() int { return e.number(52) }

// number is a number of bytes or of items; the reader has checked that they are there.
func (e Event) number(at int) int { return int(le.Uint32(e.record[at:])) }

// slice is of the record, and so that nothing can be appended in its place; nil where it is empty.
func (e Event) slice(start, bytes int) []byte {
	if bytes == 0 {
		return nil
	}
	return e.record[start : start+bytes : start+bytes]
}

// part is of the value.
func (e Event) part(at int) []byte {
	return e.slice(e.valueStart()+e.number(at), e.number(at+4))
}

const noTransaction = 2 // A flag.
