// Package pgoutput decodes PostgreSQL's logical replication stream into Debezium change events.
//
// The decoding is done by a WebAssembly module, pgoutput-decoder's, which gives the same events in
// every language. This package runs it: [Load] compiles the module once, [Engine.Replay] iterates
// over the events of a recording, and [Engine.Open] with [NewStream] decodes frames of one's own.
package pgoutput

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Engine is the compiled decoder. It may be used by several goroutines at once.
type Engine struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	cache   wazero.CompilationCache
}

// Config says how decoders run. A nil Config is the zero one.
type Config struct {
	// CacheDir is a folder that keeps the compiled module, so that the next Load takes
	// milliseconds. Machine code is loaded from it: nobody else should write there. Empty: none.
	CacheDir string
	// MemoryMaxBytes bounds a decoder's linear memory: the frames of a call, their records, and
	// what is known of relations. 0: 2 GiB.
	MemoryMaxBytes uint64
	// Interruptible ends a call when its context does. Decoding takes longer with it.
	Interruptible bool
}

// Load compiles decoder.core.wasm, the core module of the decoder's component.
func Load(ctx context.Context, coreWasm []byte, config *Config) (*Engine, error) {
	if config == nil {
		config = &Config{}
	}
	engine := &Engine{}
	if err := engine.load(ctx, coreWasm, config); err != nil {
		_ = engine.Close()
		return nil, err
	}
	return engine, nil
}

func (e *Engine) load(ctx context.Context, coreWasm []byte, config *Config) (err error) {
	if bytes.HasPrefix(coreWasm, componentPreamble) {
		return errors.New("a component: its core module is wanted, decoder.core.wasm")
	}
	memoryMaxBytes := config.MemoryMaxBytes
	if memoryMaxBytes == 0 {
		memoryMaxBytes = memoryDefaultMaxBytes
	}
	runtimeConfig := wazero.NewRuntimeConfig().
		WithMemoryLimitPages(uint32(min(memoryMaxBytes/pageBytes, pagesMax))).
		WithCloseOnContextDone(config.Interruptible)
	if config.CacheDir != "" {
		e.cache, err = wazero.NewCompilationCacheWithDir(config.CacheDir)
		if err != nil {
			return fmt.Errorf("opening the compilation cache: %w", err)
		}
		runtimeConfig = runtimeConfig.WithCompilationCache(e.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, runtimeConfig)
	e.module, err = e.runtime.CompileModule(ctx, coreWasm)
	if err != nil {
		return fmt.Errorf("compiling the decoder: %w", err)
	}
	if err := exportIntrinsics(ctx, e.runtime, e.module); err != nil {
		return fmt.Errorf("making the decoder's imports: %w", err)
	}
	exports := e.module.ExportedFunctions()
	for _, name := range guestExports {
		if exports[name] == nil {
			return fmt.Errorf("not the decoder this package is for: it has no %s", name)
		}
	}
	return nil
}

// Close frees the compiled module and all of its decoders.
func (e *Engine) Close() error {
	var err error
	if e.runtime != nil {
		err = e.runtime.Close(context.Background())
	}
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(context.Background()))
	}
	return err
}

// exportIntrinsics gives the module what the component model would, for the resources of each of
// its interfaces. This package is their only user, so that a handle may be the representation
// itself.
func exportIntrinsics(ctx context.Context, runtime wazero.Runtime, module wazero.CompiledModule) error {
	builders := make(map[string]wazero.HostModuleBuilder)
	for _, function := range module.ImportedFunctions() {
		from, name, _ := function.Import()
		if !strings.HasPrefix(name, "[resource-") {
			continue
		}
		if builders[from] == nil {
			builders[from] = runtime.NewHostModuleBuilder(from)
		}
		same := api.GoFunc(func(context.Context, []uint64) {})
		builders[from].NewFunctionBuilder().
			WithGoFunction(same, function.ParamTypes(), function.ResultTypes()).
			Export(name)
	}
	for _, builder := range builders {
		if _, err := builder.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// What a component begins with, where a core module has 1 0 0 0.
var componentPreamble = []byte("\x00asm\x0d\x00\x01\x00")

const (
	pageBytes             = 64 << 10
	pagesMax              = 1 << 16
	memoryDefaultMaxBytes = 2 << 30
)
