package pgoutput

// Record is a Begin, Commit, Discard, Event, Prepared or Stash.
type Record interface{ isRecord() }

func (Begin) isRecord()    {}
func (Commit) isRecord()   {}
func (Discard) isRecord()  {}
func (Event) isRecord()    {}
func (Prepared) isRecord() {}
func (Stash) isRecord()    {}

// Begin says that a transaction's events follow.
type Begin struct {
	CommitLSN LSN
	// CommitTimeUs is in µs since 1970-01-01.
	CommitTimeUs int64
	XID          uint32
}

// Commit says that all events of a transaction have come.
type Commit struct {
	CommitLSN LSN
	// CommitTimeUs is in µs since 1970-01-01.
	CommitTimeUs int64
	XID          uint32
	// Events is how many it had.
	Events uint32
	// EndLSN may be confirmed once all of them are dealt with.
	EndLSN LSN
}

// Stash says that frames are to be kept until they are discarded or replayed.
type Stash struct {
	XID uint32
	// SubXID is that of the subtransaction, or of the transaction itself.
	SubXID uint32
	// Offset and Bytes are where they are in the frames of the call.
	Offset, Bytes uint64
}

// Discard says that frames that were stashed are to be forgotten.
type Discard struct {
	XID uint32
	// SubXID is that of the subtransaction; that of the transaction: all of it.
	SubXID uint32
}

// Prepared says that a transaction is prepared, and may stay so for days: nothing behind the
// PREPARE may be confirmed until it is discarded, unless the stash itself survives.
type Prepared struct {
	XID        uint32
	PrepareLSN LSN
}
