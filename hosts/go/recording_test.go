package pgoutput_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pgoutput "github.com/grove/pgoutput-decoder/hosts/go"
)

const (
	start = "PGREC\x1a\r\n\x01\x00\x00\x00"

	kindHead   = 1
	kindFrames = 3
	kindEnd    = 4
)

// block is one that is stored as it is.
func block(kind byte, content string) string {
	header := []byte{kind, 0, 0, 0}
	header = binary.LittleEndian.AppendUint32(header, uint32(len(content)))
	header = binary.LittleEndian.AppendUint32(header, uint32(len(content)))
	header = binary.LittleEndian.AppendUint64(header, 1_700_000_000_000_000)
	crc := crc32.ChecksumIEEE(append(slices.Clone(header), content...))
	return string(binary.LittleEndian.AppendUint32(header, crc)) + content
}

// frame is an XLogData message in CopyData.
func frame(lsn uint64, message string) string {
	frame := binary.BigEndian.AppendUint32([]byte{'d'}, uint32(29+len(message)))
	frame = append(frame, 'w')
	for _, field := range []uint64{lsn, lsn, 0} {
		frame = binary.BigEndian.AppendUint64(frame, field)
	}
	return string(frame) + message
}

// logical is a non-transactional logical message.
func logical(lsn uint64, content string) string {
	message := binary.BigEndian.AppendUint64([]byte{'M', 0}, lsn)
	message = append(message, "prefix\x00"...)
	message = binary.BigEndian.AppendUint32(message, uint32(len(content)))
	return frame(lsn, string(message)+content)
}

var (
	head = block(kindHead, `{"recorder":"test","options":{"topic.prefix":"shop"}}`)
	end  = block(kindEnd, "")
)

// TestRecordings replays those of this package, and those of a folder of one's own.
func TestRecordings(t *testing.T) {
	folders := []string{"testdata"}
	if folder := os.Getenv("PGOUTPUT_DECODER_RECORDINGS"); folder != "" {
		folders = append(folders, folder)
	}
	for _, folder := range folders {
		var expected map[string]struct {
			Events int    `json:"events"`
			SHA256 string `json:"sha256"`
			Code   int    `json:"code"`
		}
		text := readFile(t, filepath.Join(folder, "expected.json"))
		if err := json.Unmarshal(text, &expected); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(folder, "*.pgrec"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recordings in %s: %v", folder, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".pgrec")
			t.Run(name, func(t *testing.T) {
				want, ok := expected[name]
				if !ok {
					t.Fatal("nothing is expected of it")
				}
				got := replay(readFile(t, file), nil)
				if got.events != want.Events || got.sha256() != want.SHA256 {
					t.Errorf("%d events %s, not %d %s", got.events, got.sha256(), want.Events, want.SHA256)
				}
				if (got.err != nil) != (want.Code != 0) {
					t.Errorf("error %v, not exit code %d", got.err, want.Code)
				}
			})
		}
	}
}

func TestARecordingCutAnywhereIsSoundUpToThere(t *testing.T) {
	t.Parallel()
	whole := readFile(t, "testdata/enum.pgrec")
	want := replay(whole, nil)
	for length := range whole {
		got := replay(whole[:length], nil)
		if !bytes.HasPrefix(want.lines, got.lines) {
			t.Fatalf("cut at byte %d: other events", length)
		}
		var damage *pgoutput.DamageError
		switch {
		case length < len(start):
			if got.err != pgoutput.ErrForeign {
				t.Fatalf("cut at byte %d: %v", length, got.err)
			}
		case !errors.As(got.err, &damage):
			t.Fatalf("cut at byte %d: %v", length, got.err)
		case damage.Offset > int64(length) || damage.Block < 1:
			t.Fatalf("cut at byte %d: %v", length, damage)
		}
	}
	withoutEnd := replay(whole[:len(whole)-len(end)], nil)
	if withoutEnd.events != want.events {
		t.Errorf("without its end: %d events of %d", withoutEnd.events, want.events)
	}
}

// Every byte in its turn, and of it one bit.
func TestAFlippedByteNeverGivesOtherEvents(t *testing.T) {
	t.Parallel()
	whole := readFile(t, "testdata/enum.pgrec")
	want := replay(whole, nil)
	for at := range whole {
		damaged := slices.Clone(whole)
		damaged[at] ^= 1 << (at % 8)
		got := replay(damaged, nil)
		if !bytes.HasPrefix(want.lines, got.lines) {
			t.Fatalf("byte %d: other events", at)
		}
		// The two bytes behind the version mean nothing yet.
		if got.err == nil && at != 10 && at != 11 {
			t.Fatalf("byte %d: no error", at)
		}
	}
}

func TestDamage(t *testing.T) {
	message := block(kindFrames, logical(100, "a"))
	later := []byte(start)
	later[8] = 2
	for _, test := range []struct {
		name, recording, problem string
		events                   int
	}{
		{"nothing", "", "not a recording", 0},
		{"foreign", "SQLite format 3\x00", "not a recording", 0},
		{"later version", string(later) + head + end, "format 2 of recordings, and this reads format 1", 0},
		{"no head", start + message + end, "block 1 at byte 12: a recording begins with a head", 0},
		{"no end", start + head + message, "block 3 at byte 165: the file ends before it", 1},
		{"something behind", start + head + message + end + "x", "block 4 at byte 189: the file ends inside", 1},
		{"no frames", start + head + message + block(kindFrames, "x") + end, "block 3 at byte 165: its frames", 1},
		{"no JSON", start + head + message + block(2, "x") + end, "block 3 at byte 165: its JSON", 1},
		{"no such option", start + block(kindHead, `{"options":{"x":"y"}}`), "block 1 at byte 12: option x:", 0},
	} {
		got := replay([]byte(test.recording), nil)
		if got.err == nil || !strings.HasPrefix(got.err.Error(), test.problem) || got.events != test.events {
			t.Errorf("%s: %d events, %v", test.name, got.events, got.err)
		}
	}
	var version *pgoutput.VersionError
	if got := replay(later, nil); !errors.As(got.err, &version) || version.Version != 2 {
		t.Errorf("a later version: %v", got.err)
	}
}

func TestBlocksOfLaterKindsArePassedOver(t *testing.T) {
	got := replay([]byte(start+head+block(200, "x")+block(kindFrames, logical(100, "a"))+end), nil)
	if got.err != nil || got.events != 1 {
		t.Errorf("%d events, %v", got.events, got.err)
	}
}

func TestWhatComesAgainIsPassedOver(t *testing.T) {
	frames := func(lsns ...uint64) string {
		all := ""
		for _, lsn := range lsns {
			all += logical(lsn, "a")
		}
		return block(kindFrames, all)
	}
	once := replay([]byte(start+head+frames(100, 200, 300, 400)+end), nil)
	again := replay([]byte(start+head+frames(100, 200)+end+
		head+frames(100)+head+frames(200, 300)+head+frames(200, 300, 400)+end), nil)
	if once.err != nil || once.events != 4 {
		t.Fatalf("%d events, %v", once.events, once.err)
	}
	if again.err != nil || !bytes.Equal(again.lines, once.lines) {
		t.Errorf("%d events, %v", again.events, again.err)
	}
	// A whole stream recorded twice, with transactions that are stashed.
	streamed := readFile(t, "testdata/streamed.pgrec")
	once = replay(streamed, nil)
	again = replay(append(slices.Clone(streamed), streamed[len(start):]...), nil)
	if again.err != nil || !bytes.Equal(again.lines, once.lines) {
		t.Errorf("%d events of %d, %v", again.events, once.events, again.err)
	}
}

func TestOptionsOfOnesOwnComeFirst(t *testing.T) {
	recording := []byte(start + head + block(kindFrames, logical(100, "a")) + end)
	options := &pgoutput.ReplayOptions{Options: map[string]string{"topic.prefix": "other"}}
	if got := replay(recording, options); !bytes.Contains(got.lines, []byte(`"topic":"other.`)) {
		t.Errorf("%s, %v", got.lines, got.err)
	}
}
