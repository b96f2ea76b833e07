package pgoutput_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	pgoutput "github.com/grove/pgoutput-decoder/hosts/go"
)

// parts are a recording's options, answers and frames, for a stream of one's own.
type parts struct {
	options map[string]string
	answers map[uint32]*pgoutput.Facts
	frames  [][]byte
	nowUs   int64
}

func readParts(t *testing.T, name string) parts {
	t.Helper()
	read := parts{answers: map[uint32]*pgoutput.Facts{}}
	for block, err := range pgoutput.ReadBlocks(bytes.NewReader(readFile(t, name))) {
		if err != nil {
			t.Fatal(err)
		}
		switch content := block.Content.(type) {
		case pgoutput.Head:
			read.options = content.Options
		case pgoutput.Answer:
			read.answers[content.Relation] = &content.Facts
		case pgoutput.Frames:
			read.nowUs = block.ReceivedUs
			for rest := bytes.Clone(content); len(rest) > 0; {
				length := 1 + binary.BigEndian.Uint32(rest[1:])
				read.frames = append(read.frames, rest[:length])
				rest = rest[length:]
			}
		}
	}
	return read
}

func openStream(
	t *testing.T, config map[string]string, options *pgoutput.StreamOptions,
) *pgoutput.Stream {
	t.Helper()
	decoder, err := engine.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = decoder.Close() })
	return pgoutput.NewStream(decoder, options)
}

// The recording is of protocol 4 with streaming = parallel: frames are stashed, subtransactions
// of them discarded, and the rest replayed at the commit.
func TestFramesMayBePassedOneByOne(t *testing.T) {
	read := readParts(t, "testdata/streamed.pgrec")
	want := replay(readFile(t, "testdata/streamed.pgrec"), nil)
	for _, perCall := range []int{1, 7, len(read.frames)} {
		questions := 0
		stream := openStream(t, read.options, &pgoutput.StreamOptions{
			Facts: func(_ context.Context, question *pgoutput.Question) (*pgoutput.Facts, error) {
				questions++
				return read.answers[question.Relation], nil
			},
		})
		var lines []byte
		begins, commits, events := 0, 0, 0
		for first := 0; first < len(read.frames); first += perCall {
			last := min(first+perCall, len(read.frames))
			frames := bytes.Join(read.frames[first:last], nil)
			for record, err := range stream.Decode(t.Context(), frames, read.nowUs) {
				if err != nil {
					t.Fatal(err)
				}
				switch record := record.(type) {
				case pgoutput.Begin:
					begins++
				case pgoutput.Event:
					events++
					lines = record.AppendLine(lines)
				case pgoutput.Commit:
					commits++
					if record.EndLSN <= record.CommitLSN || int(record.Events) != events {
						t.Errorf("%+v behind %d events", record, events)
					}
					events = 0
				default:
					t.Errorf("a %T", record)
				}
			}
		}
		if !bytes.Equal(lines, want.lines) {
			t.Errorf("%d frames a call: other events", perCall)
		}
		if begins == 0 || begins != commits || questions == 0 {
			t.Errorf("%d begins, %d commits, %d questions", begins, commits, questions)
		}
	}
}

func TestTheStashHasALimit(t *testing.T) {
	var full *pgoutput.StashFullError
	options := &pgoutput.ReplayOptions{StashMaxBytes: 1000}
	got := replay(readFile(t, "testdata/streamed.pgrec"), options)
	if !errors.As(got.err, &full) || full.LimitBytes != 1000 {
		t.Error(got.err)
	}
}

func TestACommitOfWhatWasNotStashed(t *testing.T) {
	commit := binary.BigEndian.AppendUint32([]byte{'c'}, 742)
	commit = append(commit, 0)
	for _, field := range []uint64{100, 148, 0} {
		commit = binary.BigEndian.AppendUint64(commit, field)
	}
	stream := openStream(t, nil, nil)
	for _, err := range stream.Decode(t.Context(), []byte(frame(100, string(commit))), 0) {
		var missing *pgoutput.NotStashedError
		if !errors.As(err, &missing) || missing.XID != 742 {
			t.Error(err)
		}
	}
}

func TestAFrameThatCannotBeDecoded(t *testing.T) {
	recording := []byte(start + head +
		block(kindFrames, logical(100, "a")+frame(200, "!secret")+logical(300, "b")) + end)

	got := replay(recording, nil)
	var failed *pgoutput.DecodeError
	if !errors.As(got.err, &failed) || got.events != 1 {
		t.Fatalf("%d events, %v", got.events, got.err)
	}
	if failed.Kind != pgoutput.UnsupportedMessage || failed.LSN != 200 || *failed.MessageType != '!' {
		t.Errorf("%+v", failed)
	}
	if bytes.Contains([]byte(got.err.Error()), []byte("secret")) {
		t.Error("an error that tells values")
	}

	skipped := 0
	got = replay(recording, &pgoutput.ReplayOptions{
		Undecodable: func(*pgoutput.DecodeError) error { skipped++; return nil },
	})
	if got.err != nil || got.events != 2 || skipped != 1 {
		t.Errorf("%d events, %d skipped, %v", got.events, skipped, got.err)
	}

	enough := errors.New("enough")
	got = replay(recording, &pgoutput.ReplayOptions{
		Undecodable: func(*pgoutput.DecodeError) error { return enough },
	})
	if !errors.Is(got.err, enough) {
		t.Error(got.err)
	}
}

func TestAnIterationMayEndEarly(t *testing.T) {
	recording := readFile(t, "testdata/streamed.pgrec")
	for event, err := range engine.Replay(t.Context(), bytes.NewReader(recording), nil) {
		if err != nil || event.Topic().Table == "" {
			t.Errorf("%v, %v", event.Position(), err)
		}
		break
	}
}
