package pgoutput_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	pgoutput "github.com/grove/pgoutput-decoder/hosts/go"
)

var engine *pgoutput.Engine

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		engine, err = pgoutput.Load(context.Background(), coreWasm(), nil)
		if err != nil {
			panic(err)
		}
		defer engine.Close()
		return m.Run()
	}())
}

func coreWasm() []byte {
	path := os.Getenv("PGOUTPUT_DECODER_CORE_WASM")
	if path == "" {
		path = filepath.FromSlash("../../target/wasm/decoder.core.wasm")
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return wasm
}

// replayed is what a replay came to.
type replayed struct {
	lines  []byte
	events int
	err    error
}

func replay(recording []byte, options *pgoutput.ReplayOptions) (all replayed) {
	reader := bytes.NewReader(recording)
	for event, err := range engine.Replay(context.Background(), reader, options) {
		if err != nil {
			all.err = err
			break
		}
		all.events++
		all.lines = event.AppendLine(all.lines)
	}
	return all
}

func (r replayed) sha256() string {
	sum := sha256.Sum256(r.lines)
	return hex.EncodeToString(sum[:])
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestLoadRefusesWhatIsNoDecoder(t *testing.T) {
	for name, wasm := range map[string]string{
		"nothing":            "",
		"a component":        "\x00asm\x0d\x00\x01\x00",
		"an empty module":    "\x00asm\x01\x00\x00\x00",
		"a module cut short": string(coreWasm()[:1000]),
	} {
		if other, err := pgoutput.Load(t.Context(), []byte(wasm), nil); err == nil {
			t.Errorf("%s was loaded", name)
			_ = other.Close()
		}
	}
}

func TestTheCompiledModuleIsKept(t *testing.T) {
	config := &pgoutput.Config{CacheDir: t.TempDir()}
	for range 2 {
		cached, err := pgoutput.Load(t.Context(), coreWasm(), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := cached.Close(); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadDir(config.CacheDir)
	if err != nil || len(kept) == 0 {
		t.Fatalf("the folder is empty: %v", err)
	}
}

func TestOptions(t *testing.T) {
	_, err := engine.Open(t.Context(), map[string]string{"decimal.handling.mode": "roman"})
	var refused *pgoutput.OptionError
	if !errors.As(err, &refused) || refused.Name != "decimal.handling.mode" || refused.Reason == "" {
		t.Errorf("opened with an impossible option: %v", err)
	}

	decoder, err := engine.Open(t.Context(), map[string]string{
		"topic.prefix": "shop", "database.hostname": "localhost", "slot.name": "s",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	ignored, err := decoder.IgnoredOptions(t.Context())
	if err != nil || len(ignored) != 2 {
		t.Errorf("ignored: %q, %v", ignored, err)
	}
}

func TestADecoderGoesOnWhereAnotherStood(t *testing.T) {
	open := func() *pgoutput.Decoder {
		decoder, err := engine.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = decoder.Close() })
		return decoder
	}
	saved, err := open().Save(t.Context())
	if err != nil || len(saved) == 0 {
		t.Fatalf("%d bytes: %v", len(saved), err)
	}
	if err := open().Restore(t.Context(), saved); err != nil {
		t.Error(err)
	}
	err = open().Restore(t.Context(), saved[:len(saved)-1])
	if err != pgoutput.ErrSavedCorrupt {
		t.Errorf("restored from a part of it: %v", err)
	}
	err = open().Restore(t.Context(), []byte("another version's"))
	if err != pgoutput.ErrSavedVersion {
		t.Errorf("restored from something else: %v", err)
	}
}

func TestMemoryHasALimit(t *testing.T) {
	small, err := pgoutput.Load(t.Context(), coreWasm(), &pgoutput.Config{MemoryMaxBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	decoder, err := small.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for range 2 {
		_, err = decoder.Decode(t.Context(), make([]byte, 8<<20), 0)
		var trap *pgoutput.TrapError
		if !errors.As(err, &trap) {
			t.Fatalf("a decoder that failed stays failed: %v", err)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	config := &pgoutput.Config{Interruptible: true}
	interruptible, err := pgoutput.Load(t.Context(), coreWasm(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer interruptible.Close()
	decoder, err := interruptible.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := decoder.Decode(ctx, []byte("d"), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a call of a context that has ended: %v", err)
	}
}
