package pgoutput

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// guest is an instance of the core module, called as the component model's canonical ABI has it:
// what is passed lies in memory of the guest's own allocation, and what is returned is given back
// to it once it has been copied.
//
// The first failure is the last: a guest that trapped may have broken invariants of its own. It is
// kept and returned by [guest.err], so that the steps of a call need not be checked one by one.
type guest struct {
	module  api.Module
	exports map[string]api.Function
	failed  error
}

const interfaceName = "pgoutput:decoder/decoding@0.1.0"

const (
	reallocName = "cabi_realloc"

	openName           = interfaceName + "#[static]decoder.open"
	ignoredOptionsName = interfaceName + "#[method]decoder.ignored-options"
	learnName          = interfaceName + "#[method]decoder.learn"
	decodeName         = interfaceName + "#[method]decoder.decode"
	skipName           = interfaceName + "#[method]decoder.skip"
	saveName           = interfaceName + "#[method]decoder.save"
	restoreName        = interfaceName + "#[method]decoder.restore"

	postPrefix = "cabi_post_"
)

// guestExports are the functions a guest is called by.
var guestExports = []string{
	reallocName, openName, ignoredOptionsName, learnName, decodeName, skipName, saveName,
	restoreName, postPrefix + openName, postPrefix + ignoredOptionsName, postPrefix + decodeName,
	postPrefix + saveName,
}

func newGuest(ctx context.Context, engine *Engine) (*guest, error) {
	// Without a name, for there may be many of them; and nothing runs until it is called.
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	module, err := engine.runtime.InstantiateModule(ctx, engine.module, config)
	if err != nil {
		return nil, err
	}
	g := &guest{module: module, exports: make(map[string]api.Function, len(guestExports))}
	for _, name := range guestExports {
		g.exports[name] = module.ExportedFunction(name)
	}
	return g, nil
}

// err is the failure that ended the guest's use, if one did.
func (g *guest) err() error { return g.failed }

func (g *guest) fail(call string, err error) {
	if g.failed == nil {
		g.failed = &TrapError{Call: call, Err: err}
	}
}

// call returns a function's result, or 0 where it has none or the guest has failed.
func (g *guest) call(ctx context.Context, name string, arguments ...uint64) uint64 {
	if g.failed != nil {
		return 0
	}
	var stack [5]uint64
	copy(stack[:], arguments)
	if err := g.exports[name].CallWithStack(ctx, stack[:]); err != nil {
		g.fail(name, err)
		return 0
	}
	return stack[0]
}

// returned ends a call whose results have been copied.
func (g *guest) returned(ctx context.Context, name string, results uint32) {
	g.call(ctx, postPrefix+name, uint64(results))
}

// put copies bytes into memory that the guest is to own. Memory may move whenever the guest runs,
// so that nothing of it is held on to here: api.Memory looks anew each time.
func (g *guest) put(ctx context.Context, bytes []byte, align uint32) uint32 {
	if len(bytes) == 0 {
		return align // Nothing is owned, and no pointer may be null.
	}
	if uint64(len(bytes)) > math.MaxUint32 {
		g.fail(reallocName, errors.New("more than fits into a memory"))
		return 0
	}
	at := uint32(g.call(ctx, reallocName, 0, 0, uint64(align), uint64(len(bytes))))
	if g.failed == nil && !g.module.Memory().Write(at, bytes) {
		g.fail(reallocName, errOutside)
	}
	return at
}

// elements writes the elements of a list: fields in their order, each at a multiple of its size.
type elements struct {
	ctx   context.Context
	guest *guest
	bytes []byte
}

// putList copies items into memory that the guest is to own: where they are, and how many.
func putList[T any](
	ctx context.Context, g *guest, items []T, write func(*elements, T),
) (at, count uint32) {
	list := elements{ctx: ctx, guest: g}
	for _, item := range items {
		write(&list, item)
		list.align()
	}
	return g.put(ctx, list.bytes, listAlign), uint32(len(items))
}

// align fills up to where a u32, or an element, may begin.
func (e *elements) align() {
	for len(e.bytes)%listAlign != 0 {
		e.bytes = append(e.bytes, 0)
	}
}

func (e *elements) u8(value uint8) { e.bytes = append(e.bytes, value) }

func (e *elements) bool(value bool) {
	if value {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

func (e *elements) u32(value uint32) {
	e.align()
	e.bytes = binary.LittleEndian.AppendUint32(e.bytes, value)
}

func (e *elements) list(at, count uint32) {
	e.u32(at)
	e.u32(count)
}

func (e *elements) text(text string) {
	// The guest trusts that a string is UTF-8; Go does not see to it.
	bytes := []byte(strings.ToValidUTF8(text, "\uFFFD"))
	e.list(e.guest.put(e.ctx, bytes, 1), uint32(len(bytes)))
}

func (e *elements) texts(texts []string) {
	e.list(putList(e.ctx, e.guest, texts, (*elements).text))
}

func (e *elements) optionalText(text *string) {
	e.align() // As its strings are, so is the option.
	e.bool(text != nil)
	if text == nil {
		e.list(0, 0)
	} else {
		e.text(*text)
	}
}

// u8At reads a result, as u32At, u64At, bytesAt and textsAt do.
func (g *guest) u8At(at uint32) uint8 {
	value, ok := g.module.Memory().ReadByte(at)
	g.inside(ok)
	return value
}

func (g *guest) u32At(at uint32) uint32 {
	value, ok := g.module.Memory().ReadUint32Le(at)
	g.inside(ok)
	return value
}

func (g *guest) u64At(at uint32) uint64 {
	value, ok := g.module.Memory().ReadUint64Le(at)
	g.inside(ok)
	return value
}

// bytesAt copies the list of bytes, or the string, whose pointer and length stand here.
func (g *guest) bytesAt(at uint32) []byte {
	view, ok := g.module.Memory().Read(g.u32At(at), g.u32At(at+4))
	g.inside(ok)
	// Unlike make and copy, append does not clear first what it then fills.
	return append([]byte(nil), view...)
}

func (g *guest) textAt(at uint32) string { return string(g.bytesAt(at)) }

// each calls read with where every element of the list is whose pointer and length stand here.
func (g *guest) each(at, elementBytes uint32, read func(at uint32)) {
	first, count := g.u32At(at), g.u32At(at+4)
	for index := uint32(0); index < count && g.failed == nil; index++ {
		read(first + index*elementBytes)
	}
}

func (g *guest) inside(ok bool) {
	if !ok {
		g.fail("a result", errOutside)
	}
}

var errOutside = errors.New("a pointer that is outside of memory")

// Of every record in a list of wit/catalog.wit, and of lists and strings themselves.
const listAlign = 4
