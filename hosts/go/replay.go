package pgoutput

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
)

// ReplayOptions say how a recording is replayed. nil is as it was recorded.
type ReplayOptions struct {
	// Options of the decoder, besides those that were recorded, or in their place.
	Options map[string]string
	// Undecodable and StashMaxBytes are as in StreamOptions.
	Undecodable   func(*DecodeError) error
	StashMaxBytes int
}

// Replay iterates over the events of a recording. What is sound is decoded: an error ends the
// iteration, and the events before it hold.
func (e *Engine) Replay(
	ctx context.Context, recording io.Reader, options *ReplayOptions,
) iter.Seq2[Event, error] {
	if options == nil {
		options = &ReplayOptions{}
	}
	return func(yield func(Event, error) bool) {
		r := replay{engine: e, options: options, yield: yield}
		defer r.close()
		for block, err := range ReadBlocks(recording) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = r.take(ctx, block)
			}
			if err == errBreak {
				return
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

type replay struct {
	engine  *Engine
	options *ReplayOptions
	yield   func(Event, error) bool

	decoder *Decoder
	stream  *Stream
	answers map[uint32]*answers
	// last is the last event's; zero where there was none, for no event is there.
	last Position
	// known is what last was when the stream was connected again: the server sends again what was
	// not confirmed, and so the events up to here come a second time.
	known Position
}

// answers are those about one relation.
type answers struct {
	unused []Facts
	// last is the one that was used last.
	last Facts
}

func (r *replay) take(ctx context.Context, block Block) error {
	switch content := block.Content.(type) {
	case Head:
		if err := r.begin(ctx, content); err != nil {
			return fmt.Errorf("block %d at byte %d: %w", block.Number, block.Offset, err)
		}
	case Answer:
		known := r.answers[content.Relation]
		if known == nil {
			known = &answers{}
			r.answers[content.Relation] = known
		}
		known.unused = append(known.unused, content.Facts)
	case Frames:
		for record, err := range r.stream.Decode(ctx, content, block.ReceivedUs) {
			if err != nil {
				return fmt.Errorf("block %d at byte %d: %w", block.Number, block.Offset, err)
			}
			if event, ok := record.(Event); ok && !r.emit(event) {
				return errBreak
			}
		}
	}
	return nil
}

func (r *replay) begin(ctx context.Context, head Head) error {
	r.close()
	r.answers = map[uint32]*answers{}
	r.known = r.last
	options := map[string]string{}
	maps.Copy(options, head.Options)
	maps.Copy(options, r.options.Options)
	decoder, err := r.engine.Open(ctx, options)
	if err != nil {
		return err
	}
	r.decoder = decoder
	r.stream = NewStream(decoder, &StreamOptions{
		Facts:         r.answer,
		Undecodable:   r.options.Undecodable,
		StashMaxBytes: r.options.StashMaxBytes,
	})
	return nil
}

func (r *replay) answer(_ context.Context, question *Question) (*Facts, error) {
	known := r.answers[question.Relation]
	if known == nil {
		return &Facts{}, nil
	}
	if len(known.unused) > 0 {
		known.last, known.unused = known.unused[0], known.unused[1:]
	}
	return &known.last, nil
}

func (r *replay) emit(event Event) bool {
	position := event.Position()
	if position.Compare(r.known) <= 0 && r.known != (Position{}) {
		return true
	}
	r.last = position
	return r.yield(event, nil)
}

func (r *replay) close() {
	if r.decoder != nil {
		_ = r.decoder.Close()
		r.decoder = nil
	}
}
