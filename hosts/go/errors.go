package pgoutput

import (
	"errors"
	"fmt"
)

// Why saved state cannot be restored.
var (
	ErrSavedCorrupt = errors.New("not a saved decoder")
	ErrSavedVersion = errors.New("saved by a decoder of another version")
)

// ErrForeign is the error of a file that is no recording.
var ErrForeign = errors.New("not a recording")

// ErrStalled is the error of a decoder that asks the same again without going on: a bug in it.
var ErrStalled = errors.New("the decoder does not go on")

// DecodeError says that a frame cannot be decoded.
type DecodeError struct {
	Kind DecodeErrorKind
	// MessageType is the pgoutput message's first byte; nil where there is none.
	MessageType *byte
	// Offset is where in the pgoutput message, in bytes.
	Offset uint32
	// LSN is the frame's, or the open transaction's commit LSN where the frame has 0.
	LSN LSN
	// Detail is which field, relation or column: for people, not for matching. Never a value.
	Detail string
}

func (e *DecodeError) Error() string {
	message := ""
	if e.MessageType != nil {
		message = fmt.Sprintf(", message %q", *e.MessageType)
	}
	return fmt.Sprintf("%v at LSN %v%s, byte %d: %s", e.Kind, e.LSN, message, e.Offset, e.Detail)
}

// DecodeErrorKind is what is wrong with a frame.
type DecodeErrorKind uint8

// The kinds of decode errors, in the order of wit/decoding.wit.
const (
	// InvalidFrame is not a CopyData message with XLogData in it.
	InvalidFrame DecodeErrorKind = iota
	// LimitExceeded is a bound that was exceeded.
	LimitExceeded
	// OutOfSequence is a message where the protocol does not allow it.
	OutOfSequence
	// TrailingBytes are left over behind the message's last field.
	TrailingBytes
	// TruncatedMessage is one that ends inside a field.
	TruncatedMessage
	// UnsupportedMessage is a message, field or tuple kind this protocol does not have.
	UnsupportedMessage
	// InvalidValue is a field whose bytes are no value of its type.
	InvalidValue
)

var decodeErrorNames = []string{
	"not an XLogData frame", "limit exceeded", "message out of sequence", "trailing bytes",
	"truncated message", "unsupported message", "invalid value",
}

func (k DecodeErrorKind) String() string { return nameOf(decodeErrorNames, k) }

func nameOf[K ~uint8](names []string, kind K) string {
	if int(kind) < len(names) {
		return names[kind]
	}
	return fmt.Sprintf("unknown (%d)", uint8(kind))
}

// OptionError says that an option is unknown or has a value it cannot have.
type OptionError struct {
	Name string
	// Reason is what is wrong and what is allowed: for people.
	Reason string
}

func (e *OptionError) Error() string { return fmt.Sprintf("option %s: %s", e.Name, e.Reason) }

// TrapError says that the decoder trapped or broke its contract, or that its memory or its context
// ended. A new decoder is needed.
type TrapError struct {
	// Call is the function of the module.
	Call string
	Err  error
}

func (e *TrapError) Error() string { return fmt.Sprintf("the decoder failed in %s: %v", e.Call, e.Err) }

func (e *TrapError) Unwrap() error { return e.Err }

// RecordError says that bytes are no records: a bug in the decoder or in whoever stored them.
type RecordError struct {
	Problem string
	// Offset is that of the record, in bytes from the start.
	Offset int
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("not a decoder's records: %s at byte %d", e.Problem, e.Offset)
}

// NotStashedError says that a frame commits a transaction none of whose frames have come.
type NotStashedError struct{ XID uint32 }

func (e *NotStashedError) Error() string {
	return fmt.Sprintf("transaction %d is not stashed", e.XID)
}

// StashFullError says that undecided transactions are larger than they may be.
type StashFullError struct{ LimitBytes int }

func (e *StashFullError) Error() string {
	return fmt.Sprintf("undecided transactions have more than %d bytes", e.LimitBytes)
}

// DamageError says that a recording is sound up to a block, and no further.
type DamageError struct {
	// Block is counted from 1.
	Block int
	// Offset is where the block begins in the file.
	Offset  int64
	Problem string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("block %d at byte %d: %s", e.Block, e.Offset, e.Problem)
}

// VersionError says that a recording is of another version of the format.
type VersionError struct{ Version uint16 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("format %d of recordings, and this reads format %d", e.Version, formatVersion)
}
