// The library pglogrepl, used as its example has it: go raw|typed|json.
//
// raw counts messages by their kind. typed parses them and makes a map of each row with bool, int
// and float by type OID, all else text, in an event of op, before, after, schema, table and LSN.
// json is encoding/json's text of that event.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const statusInterval = 10 * time.Second

type source struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	LSN    uint64 `json:"lsn"`
}

type event struct {
	Op     string         `json:"op"`
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
	Source source         `json:"source"`
}

// What reading took, in seconds.
type took struct {
	Wall   float64 `json:"wall_s"`
	User   float64 `json:"user_s"`
	System float64 `json:"system_s"`
}

type report struct {
	Events      int     `json:"events"`
	EventsFirst int     `json:"events_first"`
	Total       took    `json:"total"`
	First       took    `json:"first"`
	PeakRSSMiB  float64 `json:"peak_rss_mib"`
}

type client struct {
	mode      string
	relations map[uint32]*pglogrepl.RelationMessage
	// Where what was made of the last message is seen to be used.
	event event
	text  []byte
}

func main() {
	if err := read(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(ctx context.Context, mode string) error {
	events, err := strconv.Atoi(os.Getenv("BENCH_EVENTS"))
	if err != nil {
		return err
	}
	began := time.Now()
	// The rest comes by libpq's variables.
	connection, err := pgconn.Connect(ctx, "replication=database sslmode=disable")
	if err != nil {
		return err
	}
	options := pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names 'bench'"},
	}
	slot := os.Getenv("BENCH_SLOT")
	if err := pglogrepl.StartReplication(ctx, connection, slot, 0, options); err != nil {
		return err
	}
	c := client{mode: mode, relations: map[uint32]*pglogrepl.RelationMessage{}}
	result := report{Events: events, EventsFirst: 1}
	var confirmed pglogrepl.LSN
	nextStatus := time.Now().Add(statusInterval)
	for count := 0; count < events; {
		received, err := connection.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		data, ok := received.(*pgproto3.CopyData)
		if !ok {
			return fmt.Errorf("the server sent %T", received)
		}
		reply := false
		switch data.Data[0] {
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			keepalive, err := pglogrepl.ParsePrimaryKeepaliveMessage(data.Data[1:])
			if err != nil {
				return err
			}
			reply = keepalive.ReplyRequested
		case pglogrepl.XLogDataByteID:
			xlog, err := pglogrepl.ParseXLogData(data.Data[1:])
			if err != nil {
				return err
			}
			isChange, err := c.take(xlog)
			if err != nil {
				return err
			}
			if isChange {
				count++
				if count == 1 {
					if result.First, err = since(began); err != nil {
						return err
					}
				}
			} else if xlog.WALData[0] == 'C' {
				confirmed = xlog.WALStart + pglogrepl.LSN(len(xlog.WALData))
			}
		}
		if reply || time.Now().After(nextStatus) {
			status := pglogrepl.StandbyStatusUpdate{WALWritePosition: confirmed}
			if err := pglogrepl.SendStandbyStatusUpdate(ctx, connection, status); err != nil {
				return err
			}
			nextStatus = time.Now().Add(statusInterval)
		}
	}
	if result.Total, err = since(began); err != nil {
		return err
	}
	if result.PeakRSSMiB, err = peakRSSMiB(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// take looks at a message, and says whether it is a change of a row.
func (c *client) take(xlog pglogrepl.XLogData) (bool, error) {
	if c.mode == "raw" {
		kind := xlog.WALData[0]
		return kind == 'I' || kind == 'U' || kind == 'D', nil
	}
	message, err := pglogrepl.Parse(xlog.WALData)
	if err != nil {
		return false, err
	}
	var oid uint32
	var before, after *pglogrepl.TupleData
	switch message := message.(type) {
	case *pglogrepl.RelationMessage:
		c.relations[message.RelationID] = message
		return false, nil
	case *pglogrepl.InsertMessage:
		c.event.Op, oid, after = "c", message.RelationID, message.Tuple
	case *pglogrepl.UpdateMessage:
		c.event.Op, oid, before, after = "u", message.RelationID, message.OldTuple, message.NewTuple
	case *pglogrepl.DeleteMessage:
		c.event.Op, oid, before = "d", message.RelationID, message.OldTuple
	default:
		return false, nil
	}
	relation, known := c.relations[oid]
	if !known {
		return false, fmt.Errorf("a change of relation %d, which was not described", oid)
	}
	if c.event.Before, err = row(relation, before); err != nil {
		return false, err
	}
	if c.event.After, err = row(relation, after); err != nil {
		return false, err
	}
	c.event.Source = source{relation.Namespace, relation.RelationName, uint64(xlog.WALStart)}
	if c.mode == "json" {
		if c.text, err = json.Marshal(&c.event); err != nil {
			return false, err
		}
	}
	return true, nil
}

func row(relation *pglogrepl.RelationMessage, tuple *pglogrepl.TupleData) (map[string]any, error) {
	if tuple == nil {
		return nil, nil
	}
	values := make(map[string]any, len(tuple.Columns))
	for i, column := range tuple.Columns {
		name := relation.Columns[i].Name
		switch column.DataType {
		case pglogrepl.TupleDataTypeNull:
			values[name] = nil
		case pglogrepl.TupleDataTypeText:
			value, err := typed(relation.Columns[i].DataType, string(column.Data))
			if err != nil {
				return nil, err
			}
			values[name] = value
		}
	}
	return values, nil
}

func typed(oid uint32, text string) (any, error) {
	switch oid {
	case 16:
		return text == "t", nil
	case 20, 21, 23:
		return strconv.ParseInt(text, 10, 64)
	case 700, 701:
		return strconv.ParseFloat(text, 64)
	}
	return text, nil
}

func since(began time.Time) (took, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return took{}, err
	}
	seconds := func(time syscall.Timeval) float64 { return float64(time.Nano()) / 1e9 }
	return took{time.Since(began).Seconds(), seconds(usage.Utime), seconds(usage.Stime)}, nil
}

func peakRSSMiB() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if size, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseFloat(strings.Fields(size)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}
