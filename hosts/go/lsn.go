package pgoutput

import (
	"cmp"
	"fmt"
)

// LSN is a position in the write-ahead log, in bytes. It prints as PostgreSQL's pg_lsn does.
type LSN uint64

func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint32(l)) }

// Position is where an event stands in the stream: total, and independent of options.
type Position struct {
	// CommitLSN is the transaction's, or the message's LSN where there is none.
	CommitLSN LSN
	// Index is that of the server's change in its transaction, from 1; 0 is its beginning.
	Index uint32
	// Sub is the index of the event among those of one change, from 0.
	Sub uint32
}

// Compare is negative where p comes before other, and positive where it comes after it.
func (p Position) Compare(other Position) int {
	return cmp.Or(
		cmp.Compare(p.CommitLSN, other.CommitLSN),
		cmp.Compare(p.Index, other.Index),
		cmp.Compare(p.Sub, other.Sub),
	)
}

func (p Position) String() string {
	if p.Sub == 0 {
		return fmt.Sprintf("%v:%d", p.CommitLSN, p.Index)
	}
	return fmt.Sprintf("%v:%d.%d", p.CommitLSN, p.Index, p.Sub)
}
