package pgoutput

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Decoder decodes one replication stream: the resource of wit/decoding.wit, which says what the
// bytes are that go in and come out. [Stream] does what its records and questions ask for.
//
// What it returns depends on what it was given and on nothing else. It is for one goroutine at a
// time. After a [TrapError] it is of no further use.
type Decoder struct {
	guest *guest
	self  uint64
}

// Decoded is what a call to [Decoder.Decode] came to.
type Decoded struct {
	// Records are packed: [Topics.Read] reads them.
	Records []byte
	// Consumed is how many bytes of the frames were used up: whole frames only. Fewer than there
	// are without a Stop: the rest is to be passed in another call.
	Consumed int
	// Stop is why the decoder stopped before a frame: nil, or a *Question, a *DecodeError or a
	// ReplayRequest.
	Stop Stop
}

// Stop is a *Question, a *DecodeError or a ReplayRequest.
type Stop interface{ isStop() }

// Question says that the frame names a relation of which nothing is known: it is to be answered
// by [Decoder.Learn], and the frame passed again.
type Question struct {
	// Relation is the OID of the relation whose facts are wanted; where they are of one with
	// another name, so are those of the relation that has the name now.
	Relation  uint32
	Namespace string
	Name      string
	// Types are its columns' types that are not built in and not known.
	Types []uint32
}

// ReplayRequest is the xid of the transaction that the frame commits: all frames stashed under it
// are to be passed, oldest first, and then this frame again.
type ReplayRequest uint32

func (*Question) isStop()     {}
func (*DecodeError) isStop()  {}
func (ReplayRequest) isStop() {}

// Open makes a decoder at the beginning of a stream. Options have Debezium's property names, and
// "format" ("debezium" or "native"); an [OptionError] says which cannot be.
func (e *Engine) Open(ctx context.Context, options map[string]string) (*Decoder, error) {
	g, err := newGuest(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("instantiating the decoder: %w", err)
	}
	decoder := &Decoder{guest: g}
	if err := decoder.open(ctx, options); err != nil {
		_ = decoder.Close()
		return nil, err
	}
	return decoder, nil
}

func (d *Decoder) open(ctx context.Context, options map[string]string) error {
	g := d.guest
	names := slices.Sorted(maps.Keys(options)) // The same options are the same bytes.
	at, count := putList(ctx, g, names, func(pair *elements, name string) {
		pair.text(name)
		pair.text(options[name])
	})
	result := uint32(g.call(ctx, openName, uint64(at), uint64(count)))
	var refused error
	if g.u8At(result) == 0 {
		d.self = uint64(g.u32At(result + 4))
	} else {
		refused = &OptionError{Name: g.textAt(result + 4), Reason: g.textAt(result + 12)}
	}
	g.returned(ctx, openName, result)
	if err := g.err(); err != nil {
		return err
	}
	return refused
}

// Decode decodes whole frames. nowUs is the only clock the decoder ever sees, µs since 1970-01-01:
// the time given to the events.
func (d *Decoder) Decode(ctx context.Context, frames []byte, nowUs int64) (Decoded, error) {
	g := d.guest
	at := g.put(ctx, frames, 1)
	result := uint32(g.call(ctx, decodeName, d.self, uint64(at), uint64(len(frames)), uint64(nowUs)))
	decoded := Decoded{
		Records:  g.bytesAt(result),
		Consumed: int(g.u32At(result + 8)),
	}
	if g.u8At(result+16) != 0 {
		decoded.Stop = g.stopAt(result + 24)
	}
	g.returned(ctx, decodeName, result)
	if g.err() == nil && decoded.Consumed > len(frames) {
		g.fail(decodeName, fmt.Errorf("%d bytes used up of %d", decoded.Consumed, len(frames)))
	}
	if err := g.err(); err != nil {
		return Decoded{}, err
	}
	return decoded, nil
}

// stopAt reads a stop: its case, and behind it what the case holds, aligned for a u64.
func (g *guest) stopAt(at uint32) Stop {
	payload := at + 8
	switch g.u8At(at) {
	case 0:
		question := &Question{
			Relation:  g.u32At(payload),
			Namespace: g.textAt(payload + 4),
			Name:      g.textAt(payload + 12),
		}
		g.each(payload+20, 4, func(at uint32) {
			question.Types = append(question.Types, g.u32At(at))
		})
		return question
	case 1:
		failed := &DecodeError{
			Kind:   DecodeErrorKind(g.u8At(payload)),
			Offset: g.u32At(payload + 4),
			LSN:    LSN(g.u64At(payload + 8)),
			Detail: g.textAt(payload + 16),
		}
		if g.u8At(payload+1) != 0 {
			messageType := g.u8At(payload + 2)
			failed.MessageType = &messageType
		}
		return failed
	default:
		return ReplayRequest(g.u32At(payload))
	}
}

// Learn takes facts from the server's catalogs. What a question asked for and is not among them
// is taken as gone.
func (d *Decoder) Learn(ctx context.Context, facts *Facts) error {
	g := d.guest
	types, typeCount := putList(ctx, g, facts.Types, writeType)
	relations, relationCount := putList(ctx, g, facts.Relations, writeRelation)
	g.call(ctx, learnName, d.self,
		uint64(types), uint64(typeCount), uint64(relations), uint64(relationCount))
	return g.err()
}

// Skip gives up the frame of the last [DecodeError]: what follows it can be decoded again.
func (d *Decoder) Skip(ctx context.Context) error {
	d.guest.call(ctx, skipName, d.self)
	return d.guest.err()
}

// Save returns what a successor needs to go on where this decoder stands, between transactions.
func (d *Decoder) Save(ctx context.Context) ([]byte, error) {
	g := d.guest
	result := uint32(g.call(ctx, saveName, d.self))
	saved := g.bytesAt(result)
	g.returned(ctx, saveName, result)
	return saved, g.err()
}

// Restore is the inverse of [Decoder.Save], on a new decoder with the same options. It fails with
// [ErrSavedCorrupt] or [ErrSavedVersion].
func (d *Decoder) Restore(ctx context.Context, saved []byte) error {
	g := d.guest
	at := g.put(ctx, saved, 1)
	result := uint32(g.call(ctx, restoreName, d.self, uint64(at), uint64(len(saved))))
	failed, reason := g.u8At(result), g.u8At(result+1)
	switch err := g.err(); {
	case err != nil:
		return err
	case failed == 0:
		return nil
	case reason == 0:
		return ErrSavedCorrupt
	default:
		return ErrSavedVersion
	}
}

// IgnoredOptions are those that were given, are Debezium's, and have no meaning to a decoder.
func (d *Decoder) IgnoredOptions(ctx context.Context) ([]string, error) {
	g := d.guest
	result := uint32(g.call(ctx, ignoredOptionsName, d.self))
	var names []string
	g.each(result, 8, func(at uint32) { names = append(names, g.textAt(at)) })
	g.returned(ctx, ignoredOptionsName, result)
	return names, g.err()
}

// Close frees the decoder's memory.
func (d *Decoder) Close() error {
	// With the instance goes all that is in it: no destructor needs to run.
	return d.guest.module.Close(context.Background())
}
