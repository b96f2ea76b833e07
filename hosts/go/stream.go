package pgoutput

import (
	"context"
	"errors"
	"iter"
)

// Stream is a decoder and what it needs beside it: it answers questions, names topics, and keeps
// streamed and prepared transactions until they are decided.
type Stream struct {
	decoder *Decoder
	topics  Topics
	stash   stash
	options StreamOptions
}

// StreamOptions say what a stream does where the decoder cannot go on by itself.
type StreamOptions struct {
	// Facts answers a question. nil: nothing is known, and decoding goes on with what the stream
	// itself says.
	Facts func(context.Context, *Question) (*Facts, error)
	// Undecodable is told of a frame that cannot be decoded, and that it is skipped if it returns
	// nil; else its error ends the iteration. nil: the DecodeError does.
	Undecodable func(*DecodeError) error
	// StashMaxBytes bounds the frames of undecided transactions. 0: 1 GiB.
	StashMaxBytes int
}

// NewStream begins a stream with a new decoder, which remains the caller's to close.
func NewStream(decoder *Decoder, options *StreamOptions) *Stream {
	s := &Stream{decoder: decoder, topics: Topics{}}
	if options != nil {
		s.options = *options
	}
	s.stash = stash{transactions: map[uint32]*undecided{}, bytesMax: s.options.StashMaxBytes}
	if s.stash.bytesMax == 0 {
		s.stash.bytesMax = stashDefaultMaxBytes
	}
	return s
}

// Decode iterates over what comes of frames: a Begin, Commit, Event or Prepared each. The frames
// are whole and have the form of wit/decoding.wit; 64 KiB are a good many. nowUs is the time given
// to the events, µs since 1970-01-01.
//
// The iteration ends with the first error. What follows it, or a break, has not been decoded, so
// that the stream is of no further use then.
func (s *Stream) Decode(
	ctx context.Context, frames []byte, nowUs int64,
) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := s.pass(ctx, frames, nowUs, false, func(record Record) bool {
			return yield(record, nil)
		})
		if err != nil && err != errBreak {
			yield(nil, err)
		}
	}
}

func (s *Stream) pass(
	ctx context.Context, frames []byte, nowUs int64, isReplay bool, yield func(Record) bool,
) error {
	// What was last asked for without going on. Two questions in turn never name one relation.
	var asked any
	for len(frames) > 0 {
		decoded, err := s.decoder.Decode(ctx, frames, nowUs)
		if err != nil {
			return err
		}
		if err := s.read(decoded.Records, frames, yield); err != nil {
			return err
		}
		frames = frames[decoded.Consumed:]
		if decoded.Consumed > 0 {
			asked = nil
		}
		switch stop := decoded.Stop.(type) {
		case nil:
			if decoded.Consumed == 0 {
				return ErrStalled
			}
		case *Question:
			if asked == any(stop.Relation) {
				return ErrStalled
			}
			asked = stop.Relation
			if err := s.answer(ctx, stop); err != nil {
				return err
			}
		case ReplayRequest:
			if asked == any(stop) || isReplay {
				return ErrStalled
			}
			asked = stop
			if err := s.replay(ctx, uint32(stop), nowUs, yield); err != nil {
				return err
			}
		case *DecodeError:
			if err := s.skip(ctx, stop); err != nil {
				return err
			}
			frames = frames[frameBytes(frames):]
			asked = nil
		}
	}
	return nil
}

// read does what the records say of the frames, and yields the others.
func (s *Stream) read(records, frames []byte, yield func(Record) bool) error {
	for record, err := range s.topics.Read(records) {
		if err != nil {
			return err
		}
		switch record := record.(type) {
		case Stash:
			length := uint64(len(frames))
			if record.Offset > length || record.Bytes > length-record.Offset {
				return &RecordError{Problem: "a stash beyond the frames"}
			}
			kept := frames[record.Offset : record.Offset+record.Bytes]
			if err := s.stash.keep(record.XID, record.SubXID, kept); err != nil {
				return err
			}
		case Discard:
			s.stash.discard(record.XID, record.SubXID)
		default:
			if !yield(record) {
				return errBreak
			}
		}
	}
	return nil
}

func (s *Stream) answer(ctx context.Context, question *Question) error {
	facts := &Facts{}
	if s.options.Facts != nil {
		var err error
		if facts, err = s.options.Facts(ctx, question); err != nil {
			return err
		}
	}
	return s.decoder.Learn(ctx, facts)
}

func (s *Stream) replay(
	ctx context.Context, xid uint32, nowUs int64, yield func(Record) bool,
) error {
	stashed := s.stash.replay(xid)
	if stashed == nil {
		return &NotStashedError{xid}
	}
	for frames := range stashed {
		if err := s.pass(ctx, frames, nowUs, true, yield); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stream) skip(ctx context.Context, failed *DecodeError) error {
	if s.options.Undecodable == nil {
		return failed
	}
	if err := s.options.Undecodable(failed); err != nil {
		return err
	}
	return s.decoder.Skip(ctx)
}

// errBreak ends an iteration whose consumer wants no more.
var errBreak = errors.New("break")

const stashDefaultMaxBytes = 1 << 30
