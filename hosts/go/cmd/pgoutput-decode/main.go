// Command pgoutput-decode writes the events of recordings as lines of JSON.
//
//	pgoutput-decode FILE...            the events' lines
//	pgoutput-decode --digest FILE...   of each file the number of events and the lines' SHA-256
//	pgoutput-decode --bench FILE       the events of one file and the seconds that a pass takes
//
// The decoder is taken from the path in PGOUTPUT_DECODER_CORE_WASM, or from
// ../../target/wasm/decoder.core.wasm.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	pgoutput "github.com/grove/pgoutput-decoder/hosts/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 1 where a file has an error, 2 where nothing could be done.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("pgoutput-decode", flag.ContinueOnError)
	flags.SetOutput(stderr)
	isDigest := flags.Bool("digest", false, "print the number of events and their lines' SHA-256")
	isBench := flags.Bool("bench", false, "measure how long one file takes")
	cacheDir := flags.String("cache", defaultCacheDir(), "folder of the compiled decoder; empty: none")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: pgoutput-decode [--digest | --bench] [--cache DIR] FILE...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return 2
	}
	files := flags.Args()
	if len(files) == 0 || *isBench && (*isDigest || len(files) != 1) {
		flags.Usage()
		return 2
	}
	engine, err := load(ctx, *cacheDir)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	defer engine.Close()

	out := bufio.NewWriter(stdout)
	code := 0
	for _, file := range files {
		report := func() error { return writeLines(ctx, engine, out, file) }
		switch {
		case *isDigest:
			report = func() error { return writeDigest(ctx, engine, out, file) }
		case *isBench:
			report = func() error { return writeBench(ctx, engine, out, file) }
		}
		err := report()
		if flushErr := out.Flush(); err == nil {
			err = flushErr
		}
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", file, err)
			code = 1
		}
	}
	return code
}

func load(ctx context.Context, cacheDir string) (*pgoutput.Engine, error) {
	path := os.Getenv("PGOUTPUT_DECODER_CORE_WASM")
	if path == "" {
		path = filepath.FromSlash("../../target/wasm/decoder.core.wasm")
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("PGOUTPUT_DECODER_CORE_WASM names no decoder: %w", err)
	}
	return pgoutput.Load(ctx, wasm, &pgoutput.Config{CacheDir: cacheDir})
}

func defaultCacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "pgoutput-decoder")
}

// replay calls each with every event of a file.
func replay(
	ctx context.Context, engine *pgoutput.Engine, path string, each func(pgoutput.Event) error,
) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for event, err := range engine.Replay(ctx, bufio.NewReader(file), nil) {
		if err != nil {
			return err
		}
		if err := each(event); err != nil {
			return err
		}
	}
	return nil
}

func writeLines(ctx context.Context, engine *pgoutput.Engine, out io.Writer, path string) error {
	var line []byte
	return replay(ctx, engine, path, func(event pgoutput.Event) error {
		line = event.AppendLine(line[:0])
		_, err := out.Write(line)
		return err
	})
}

func writeDigest(ctx context.Context, engine *pgoutput.Engine, out io.Writer, path string) error {
	var line []byte
	events, sum := 0, sha256.New()
	failed := replay(ctx, engine, path, func(event pgoutput.Event) error {
		line = event.AppendLine(line[:0])
		events++
		_, err := sum.Write(line)
		return err
	})
	digest := struct {
		File   string `json:"file"`
		Events int    `json:"events"`
		SHA256 string `json:"sha256"`
		Error  string `json:"error,omitempty"`
	}{File: filepath.Base(path), Events: events, SHA256: hex.EncodeToString(sum.Sum(nil))}
	if failed != nil {
		digest.Error = failed.Error()
	}
	if err := json.NewEncoder(out).Encode(digest); err != nil {
		return err
	}
	return failed
}

func writeBench(ctx context.Context, engine *pgoutput.Engine, out io.Writer, path string) error {
	const passes = 7
	events, texts := 0, 0
	var seconds []float64
	for pass := range 1 + passes {
		events = 0
		start := time.Now()
		if err := replay(ctx, engine, path, func(event pgoutput.Event) error {
			texts += len(event.Topic().Name) + len(event.Key()) + len(event.Value()) + len(event.Headers())
			events++
			return nil
		}); err != nil {
			return err
		}
		// The first one warms up.
		if pass > 0 {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	runtime.KeepAlive(texts) // What a pass reads is not to be optimized away.
	slices.Sort(seconds)
	return json.NewEncoder(out).Encode(struct {
		File    string  `json:"file"`
		Events  int     `json:"events"`
		Seconds float64 `json:"seconds"`
	}{filepath.Base(path), events, seconds[passes/2]})
}
