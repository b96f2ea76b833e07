package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recording = "../../testdata/enum.pgrec"

type digest struct {
	File    string
	Events  int
	SHA256  string
	Seconds float64
	Error   string
}

func runIn(t *testing.T, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	if os.Getenv("PGOUTPUT_DECODER_CORE_WASM") == "" {
		t.Setenv("PGOUTPUT_DECODER_CORE_WASM", "../../../../target/wasm/decoder.core.wasm")
	}
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"--cache", ""}, arguments...), &out, &err)
	return code, out.String(), err.String()
}

func digests(t *testing.T, stdout string) []digest {
	t.Helper()
	var all []digest
	for line := range strings.Lines(stdout) {
		var one digest
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func TestLines(t *testing.T) {
	code, stdout, stderr := runIn(t, recording, recording)
	lines := strings.Count(stdout, "\n")
	if code != 0 || stderr != "" || lines == 0 || strings.Count(stdout, `{"topic":"`) != lines {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestADigestOfEachFileGoodOrBad(t *testing.T) {
	whole, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.pgrec")
	if err := os.WriteFile(cut, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runIn(t, "--digest", "nowhere.pgrec", cut, recording)
	all := digests(t, stdout)
	if code != 1 || len(all) != 3 || strings.Count(stderr, "\n") != 2 {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	missing, damaged, good := all[0], all[1], all[2]
	if missing.Error == "" || missing.Events != 0 || missing.File != "nowhere.pgrec" {
		t.Errorf("%+v", missing)
	}
	if !strings.Contains(damaged.Error, "the file ends inside of it") {
		t.Errorf("%+v", damaged)
	}
	if good.Error != "" || good.Events == 0 || good.SHA256 != damaged.SHA256 {
		t.Errorf("%+v", good)
	}
}

func TestBench(t *testing.T) {
	code, stdout, stderr := runIn(t, "--bench", recording)
	all := digests(t, stdout)
	if code != 0 || len(all) != 1 || all[0].Events == 0 || all[0].Seconds <= 0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, arguments := range [][]string{{}, {"--bench", "a", "b"}, {"--bench", "--digest", "a"}, {"--x"}} {
		if code, _, stderr := runIn(t, arguments...); code != 2 || !strings.Contains(stderr, "usage:") {
			t.Errorf("%q: exit code %d: %s", arguments, code, stderr)
		}
	}
}
