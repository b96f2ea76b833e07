package pgoutput

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
)

// Block is one block of a recording, whole and as it was written.
type Block struct {
	// Number is counted from 1.
	Number int
	// Offset is where it begins in the file.
	Offset int64
	// ReceivedUs is when it was received, µs since 1970-01-01.
	ReceivedUs int64
	// Content is a Head, an Answer, Frames or an End; nil for one of a later kind.
	Content any
}

// Head is the beginning of a stream.
type Head struct {
	// Recorder is who wrote it: a name and a version.
	Recorder string `json:"recorder"`
	// Decoder is the SHA-256 of the decoder.wasm that asked the questions, in hexadecimal.
	Decoder string `json:"decoder"`
	// Options are the decoder's.
	Options map[string]string `json:"options"`
	// Redacted is whether values are not the rows' own.
	Redacted bool `json:"redacted"`
	// Server, Database, Slot and Publications are where it comes from, as far as that is known.
	Server       string   `json:"server"`
	Database     string   `json:"database"`
	Slot         string   `json:"slot"`
	Publications []string `json:"publications"`
}

// Answer is what the catalogs said when the decoder asked about a relation.
type Answer struct {
	Relation uint32 `json:"relation"`
	Facts
}

// Frames are whole frames, in the form that [Stream.Decode] takes. They hold until the next block.
type Frames []byte

// End says that the recorder ended as it should.
type End struct{}

// ReadBlocks iterates over the blocks of a recording (docs/recordings.md). It ends with an error:
// [ErrForeign], a [VersionError], a [DamageError] behind what is sound, or the reader's own.
func ReadBlocks(recording io.Reader) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		if err := readStart(recording); err != nil {
			yield(Block{}, err)
			return
		}
		// Without goroutines of its own, and so without a need to be closed.
		decompressor, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(contentBytesMax))
		if err != nil {
			yield(Block{}, err)
			return
		}
		blocks := blockReader{input: recording, decompressor: decompressor, offset: startBytes}
		for {
			block, err := blocks.next()
			if err == io.EOF {
				return
			}
			if problem := problem(""); errors.As(err, &problem) {
				err = &DamageError{blocks.number, blocks.offset, string(problem)}
			}
			if err != nil {
				yield(Block{}, err)
				return
			}
			if !yield(block, nil) {
				return
			}
		}
	}
}

func readStart(recording io.Reader) error {
	var start [startBytes]byte
	_, err := io.ReadFull(recording, start[:])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrForeign
	}
	if err != nil {
		return fmt.Errorf("reading a recording: %w", err)
	}
	if !bytes.HasPrefix(start[:], []byte(magic)) {
		return ErrForeign
	}
	if version := binary.LittleEndian.Uint16(start[8:]); version != formatVersion {
		return &VersionError{version}
	}
	return nil
}

// blockReader has no more than one block in memory, as stored and as it is.
type blockReader struct {
	input        io.Reader
	decompressor *zstd.Decoder
	stored       bytes.Buffer
	content      []byte
	// number and offset are those of the block that is read.
	number int
	offset int64
	// bytes is the length of the block that was read before.
	bytes int64
	ended bool
}

// problem is what is wrong with a block.
type problem string

func (p problem) Error() string { return string(p) }

const endsInside problem = "the file ends inside of it"

// next returns io.EOF behind the end.
func (r *blockReader) next() (Block, error) {
	r.number++
	r.offset += r.bytes
	var header [headerBytes]byte
	switch _, err := io.ReadFull(r.input, header[:]); {
	case err == io.EOF && r.ended:
		return Block{}, io.EOF
	case err == io.EOF:
		return Block{}, problem("the file ends before it, without its end: " +
			"it was cut there, or its recorder was killed")
	case err == io.ErrUnexpectedEOF:
		return Block{}, endsInside
	case err != nil:
		return Block{}, fmt.Errorf("reading a recording: %w", err)
	}
	if err := r.readContent(header[:]); err != nil {
		return Block{}, err
	}
	r.bytes = int64(headerBytes + r.stored.Len())
	content, err := r.parse(header[0])
	if err != nil {
		return Block{}, err
	}
	_, r.ended = content.(End)
	return Block{
		Number:     r.number,
		Offset:     r.offset,
		ReceivedUs: int64(binary.LittleEndian.Uint64(header[12:])),
		Content:    content,
	}, nil
}

func (r *blockReader) readContent(header []byte) error {
	isCompressed, zero := header[1], binary.LittleEndian.Uint16(header[2:])
	storedBytes := binary.LittleEndian.Uint32(header[4:])
	contentBytes := binary.LittleEndian.Uint32(header[8:])
	if isCompressed > 1 || zero != 0 || max(storedBytes, contentBytes) > contentBytesMax ||
		isCompressed == 0 && storedBytes != contentBytes {
		return problem("not the head of a block")
	}
	// It takes what the file has, and not what the header says it has.
	r.stored.Reset()
	switch _, err := io.CopyN(&r.stored, r.input, int64(storedBytes)); {
	case err == io.EOF:
		return endsInside
	case err != nil:
		return fmt.Errorf("reading a recording: %w", err)
	}
	crc := crc32.Update(crc32.ChecksumIEEE(header[:20]), crc32.IEEETable, r.stored.Bytes())
	if crc != binary.LittleEndian.Uint32(header[20:]) {
		return problem("its checksum is another: the file is damaged")
	}
	if isCompressed == 0 {
		r.content = append(r.content[:0], r.stored.Bytes()...)
		return nil
	}
	content, err := r.decompressor.DecodeAll(r.stored.Bytes(), r.content[:0])
	if err != nil || uint64(len(content)) != uint64(contentBytes) {
		return problem("cannot be decompressed to what its head says")
	}
	r.content = content
	return nil
}

func (r *blockReader) parse(kind byte) (any, error) {
	if r.number == 1 && kind != kindHead {
		return nil, problem("a recording begins with a head")
	}
	switch kind {
	case kindHead:
		var head Head
		if json.Unmarshal(r.content, &head) != nil {
			return nil, problem("its JSON is not a head's")
		}
		return head, nil
	case kindFacts:
		var answer Answer
		if json.Unmarshal(r.content, &answer) != nil {
			return nil, problem("its JSON is not of facts")
		}
		return answer, nil
	case kindFrames:
		if !areWhole(r.content) {
			return nil, problem("its frames are not whole")
		}
		return Frames(r.content), nil
	case kindEnd:
		return End{}, nil
	default:
		return nil, nil
	}
}

// areWhole is whether the frames' lengths come to the content's.
func areWhole(frames []byte) bool {
	for len(frames) >= frameBytesMin {
		bytes := uint64(binary.BigEndian.Uint32(frames[1:])) + 1
		if frames[0] != 'd' || bytes < frameBytesMin || bytes > uint64(len(frames)) {
			return false
		}
		frames = frames[bytes:]
	}
	return len(frames) == 0
}

const (
	// What a text-mode copy would spoil is part of it.
	magic         = "PGREC\x1A\r\n"
	formatVersion = 1
	startBytes    = 12

	headerBytes     = 24
	contentBytesMax = 1 << 30
	frameBytesMin   = 30

	kindHead   = 1
	kindFacts  = 2
	kindFrames = 3
	kindEnd    = 4
)
