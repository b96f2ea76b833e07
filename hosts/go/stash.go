package pgoutput

import (
	"encoding/binary"
	"iter"
)

// stash keeps the frames of undecided transactions, in the order they come.
type stash struct {
	transactions map[uint32]*undecided
	bytes        int
	bytesMax     int
}

type undecided struct {
	runs []*run
	// of are the runs of a transaction or subtransaction, by its xid.
	of map[uint32][]*run
}

// run is frames of one subtransaction that follow each other.
type run struct {
	subXID uint32
	frames []byte
}

func (s *stash) keep(xid, subXID uint32, frames []byte) error {
	if s.bytes+len(frames) > s.bytesMax {
		return &StashFullError{s.bytesMax}
	}
	s.bytes += len(frames)
	transaction := s.transactions[xid]
	if transaction == nil {
		transaction = &undecided{of: map[uint32][]*run{}}
		s.transactions[xid] = transaction
	}
	if count := len(transaction.runs); count > 0 {
		last := transaction.runs[count-1]
		if last.subXID == subXID && len(last.frames)+len(frames) <= callBytesMax {
			last.frames = append(last.frames, frames...)
			return nil
		}
	}
	kept := &run{subXID, append([]byte(nil), frames...)}
	transaction.runs = append(transaction.runs, kept)
	transaction.of[subXID] = append(transaction.of[subXID], kept)
	return nil
}

// discard forgets a subtransaction; or all of the transaction, where the two are the same.
func (s *stash) discard(xid, subXID uint32) {
	transaction := s.transactions[xid]
	if transaction == nil {
		return
	}
	discarded := transaction.of[subXID]
	if xid == subXID {
		discarded = transaction.runs
		delete(s.transactions, xid)
	}
	for _, run := range discarded {
		s.bytes -= len(run.frames)
		run.frames = nil
	}
	delete(transaction.of, subXID)
}

// replay iterates over the transaction's frames, oldest first, as many as one call takes; nil
// where there are none. What it yields holds until the next.
func (s *stash) replay(xid uint32) iter.Seq[[]byte] {
	transaction := s.transactions[xid]
	if transaction == nil {
		return nil
	}
	return func(yield func([]byte) bool) {
		var frames []byte
		for _, run := range transaction.runs {
			for rest := run.frames; len(rest) > 0; {
				bytes := frameBytes(rest)
				if len(frames) > 0 && len(frames)+bytes > callBytesMax {
					if !yield(frames) {
						return
					}
					frames = frames[:0]
				}
				frames = append(frames, rest[:bytes]...)
				rest = rest[bytes:]
			}
		}
		if len(frames) > 0 {
			yield(frames)
		}
	}
}

// frameBytes is the length of the first frame: all there is, where that is less than it says.
func frameBytes(frames []byte) int {
	if len(frames) < 5 {
		return len(frames)
	}
	return int(min(uint64(binary.BigEndian.Uint32(frames[1:]))+1, uint64(len(frames))))
}

// What is passed to the decoder at a time: more gains nothing, less costs calls.
const callBytesMax = 64 << 10
