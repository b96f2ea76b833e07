package pgoutput

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const value = `{"before":null,"after":{"id":1,"name":"é"},"source":{"db":"shop"}}`

// record packs its fields: numbers as they are, strings as their bytes.
func record(kind uint8, fields ...any) []byte {
	packed := []byte{0, 0, 0, 0, kind}
	for _, field := range fields {
		if text, ok := field.(string); ok {
			packed = append(packed, text...)
			continue
		}
		var err error
		if packed, err = binary.Append(packed, binary.LittleEndian, field); err != nil {
			panic(err)
		}
	}
	binary.LittleEndian.PutUint32(packed, uint32(len(packed)))
	return packed
}

var zero = [3]uint8{}

func topicRecord(id uint32, name string) []byte {
	headers := `{"constant":true}`
	lengths := []uint32{uint32(len(name)), 6, 6, uint32(len(headers)), 2}
	return record(1, zero, id, uint32(16384), lengths, name, "public", "orders", headers,
		uint32(20), int32(-1), uint8(0), uint8(1), uint16(2), "id",
		uint32(99), int32(44), uint8(16+5), uint8(2), uint16(1), "c",
		uint16(1), uint8(2), uint8(0), uint16(1), "a")
}

// eventRecord has before, after and source in the places of value.
func eventRecord(op, flags uint8, topic uint32, key, value, headers string, unchanged ...uint32) []byte {
	lengths := []uint32{
		uint32(len(key)), uint32(len(value)), uint32(len(headers)), uint32(len(unchanged)),
	}
	parts := make([]uint32, 6)
	if value != "" {
		parts = []uint32{10, 4, 23, 20, 53, 13}
	}
	return record(4, op, flags, uint8(0), uint64(0xF6_B374_8000), uint32(4), uint32(1),
		uint64(0x16_B374_7FF0), int64(-5), uint32(742), topic, lengths, parts,
		key, value, headers, unchanged)
}

func TestEveryFieldIsRead(t *testing.T) {
	packed := slices.Concat(
		topicRecord(7, "shop.public.orders"),
		record(2, zero, uint64(1<<63), int64(-5), uint32(742)),
		eventRecord('u', 0, 7, `{"id":1}`, value, "", 3, 9),
		record(200, "of a later kind"),
		eventRecord(0, 3, 7, `{"id":2}`, "", `{"own":1}`),
		record(3, zero, uint64(1<<63), int64(-5), uint32(742), uint32(2), uint64(1<<63+48)),
		record(5, zero, uint32(742), uint32(743), uint64(1<<40), uint64(30)),
		record(6, zero, uint32(742), uint32(743)),
		record(7, zero, uint32(742), uint32(0), uint64(99)),
	)
	var records []Record
	for record, err := range (Topics{}).Read(packed) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	update, tombstone := records[1].(Event), records[2].(Event)
	want := []Record{
		Begin{CommitLSN: 1 << 63, CommitTimeUs: -5, XID: 742},
		update,
		tombstone,
		Commit{CommitLSN: 1 << 63, CommitTimeUs: -5, XID: 742, Events: 2, EndLSN: 1<<63 + 48},
		Stash{XID: 742, SubXID: 743, Offset: 1 << 40, Bytes: 30},
		Discard{XID: 742, SubXID: 743},
		Prepared{XID: 742, PrepareLSN: 99},
	}
	if !reflect.DeepEqual(records, want) {
		t.Errorf("%+v", records)
	}

	wantTopic := &Topic{
		ID: 7, RelationOID: 16384, Name: "shop.public.orders", Schema: "public", Table: "orders",
		Headers: []byte(`{"constant":true}`),
		Columns: []Column{
			{Name: "id", TypeOID: 20, Typmod: -1, InKey: true},
			{
				Name: "c", TypeOID: 99, Typmod: 44, Nullable: true,
				Shape: Shape{21, []Attribute{{"a", Shape{Code: 2}}}},
			},
		},
	}
	if !reflect.DeepEqual(update.Topic(), wantTopic) || tombstone.Topic() != update.Topic() {
		t.Errorf("%+v", update.Topic())
	}

	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"op", update.Op(), byte('u')},
		{"key", string(update.Key()), `{"id":1}`},
		{"value", string(update.Value()), value},
		{"headers", string(update.Headers()), `{"constant":true}`},
		{"before", string(update.Before()), "null"},
		{"after", string(update.After()), `{"id":1,"name":"é"}`},
		{"source", string(update.Source()), `{"db":"shop"}`},
		{"unchanged", update.Unchanged(), []uint32{3, 9}},
		{"position", update.Position().String(), "F6/B3748000:4.1"},
		{"LSN", update.LSN().String(), "16/B3747FF0"},
		{"commit time", update.CommitTimeUs(), int64(-5)},
		{"xid", update.XID(), uint32(742)},
		{"transactional", update.Transactional(), true},
		{"no op", tombstone.Op(), byte(0)},
		{"key of a tombstone", string(tombstone.Key()), `{"id":2}`},
		{"value of a tombstone", tombstone.Value(), []byte(nil)},
		{"after of a tombstone", tombstone.After(), []byte(nil)},
		{"own headers", string(tombstone.Headers()), `{"own":1}`},
		{"none unchanged", tombstone.Unchanged(), []uint32(nil)},
		{"of no transaction", tombstone.Transactional(), false},
	} {
		if !reflect.DeepEqual(field.got, field.want) {
			t.Errorf("%s: %v", field.name, field.got)
		}
	}
}

func TestWhatTheLayoutDoesNotAllow(t *testing.T) {
	good := eventRecord('u', 0, 7, "", value, "")
	read := func(records []byte) string {
		topics := Topics{7: &Topic{}}
		for _, err := range topics.Read(records) {
			if err != nil {
				return err.Error()
			}
		}
		return ""
	}
	changed := func(at int, bytes ...byte) []byte {
		records := slices.Clone(good)
		copy(records[at:], bytes)
		return records
	}
	for _, test := range []struct {
		records []byte
		problem string
	}{
		{good, ""},
		{changed(0, 0), "cut short at byte 0"},
		{changed(0, 4), "cut short at byte 0"},
		{changed(0, 87), "cut short at byte 0"},
		{changed(0, 255, 255, 255, 255), "cut short at byte 0"},
		{slices.Concat(good, good[:3]), "cut short at byte 155"},
		{changed(44, 8), "an event of an unknown topic at byte 0"},
		{changed(48, 255, 255, 255, 255), "cut short at byte 0"},
		{changed(60, 255, 255, 255, 255), "cut short at byte 0"},
		{changed(64, 66, 0, 0, 0, 8), "outside the value at byte 0"},
		{changed(64, 255, 255, 255, 255, 255, 255, 255, 255), "outside the value at byte 0"},
	} {
		if got := read(test.records); (got == "") != (test.problem == "") ||
			!strings.HasSuffix(got, test.problem) {
			t.Errorf("%q, not %q", got, test.problem)
		}
	}
}

func TestAnyDamageEndsInRecordsOrAnError(t *testing.T) {
	whole := slices.Concat(
		topicRecord(7, "t"),
		record(2, zero, uint64(1), int64(2), uint32(3)),
		eventRecord('u', 1, 7, `{"id":1}`, value, `{"own":1}`, 1),
		record(6, zero, uint32(742), uint32(743)),
	)
	use := func(records []byte) {
		for record, err := range (Topics{}).Read(records) {
			event, ok := record.(Event)
			if err != nil || !ok {
				continue
			}
			texts := len(event.Key()) + len(event.Value()) + len(event.Headers())
			parts := max(len(event.Before()), len(event.After()), len(event.Source()))
			if texts > 2*len(whole) || parts > len(event.Value()) {
				t.Error("parts that are not there")
			}
			event.Unchanged()
		}
	}
	for at := range whole {
		use(whole[:at])
		for _, damage := range []byte{0x00, 0x01, 0x7F, 0x80, 0xFF} {
			damaged := slices.Clone(whole)
			damaged[at] = damage
			use(damaged)
		}
	}
}

func TestObjectsWithinObjectsHaveALimit(t *testing.T) {
	level := []byte{5, 0, 1, 0, 'o', 1, 0}
	leaf := []byte{0, 0, 1, 0, 'l'}
	for levels, fits := range map[int]bool{depthMax: true, depthMax + 1: false} {
		f := fields{rest: slices.Concat(bytes.Repeat(level, levels), leaf)}
		f.shape(0)
		if (f.problem == "") != fits {
			t.Errorf("%d levels: %q", levels, f.problem)
		}
	}
}

func TestLinesAreQuotedAndHaveNoLineBreaks(t *testing.T) {
	topic := &Topic{Name: "a\"\\\b\t\n\v\f\r\x1f\x7f<é\u2028", Headers: []byte("{}")}
	event := Event{eventRecord('c', 0, 7, "", "{\r\n1}", ""), topic}
	want := `{"topic":"a\"\\\b\t\n\u000b\f\r\u001f` + "\x7f<é\u2028" +
		`","key":null,"value":{  1},"headers":{}}` + "\n"
	if got := string(event.AppendLine(nil)); got != want {
		t.Errorf("%s", got)
	}
}
