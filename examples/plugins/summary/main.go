// Summary emits, behind the last event of each transaction, one that says how many rows of which
// tables the transaction created, updated, deleted and truncated. All events are kept. What plugins
// before it dropped is not counted, and a transaction without rows gives nothing.
//
// The configuration is the topic of the summaries. The key is the transaction's id, the payload
//
//	{"xid":7,"lsn":"0/1A2B3C","commit_us":9,"tables":{"public.orders":{"create":2,"update":1}}}
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"summary/plugin"
)

func init() {
	plugin.Register(&summary{tables: make(map[uint32]string), counts: make(map[string]counts)})
}

// Plugins have no start of their own: they are called.
func main() {}

type summary struct {
	topic string
	// By relation. One that has changed has another id and the same name.
	tables map[uint32]string
	// Of the transaction so far, by table.
	counts map[string]counts
}

// counts are encoded in the order of its fields, and those that are 0 are left out.
type counts struct {
	Create   int `json:"create,omitempty"`
	Update   int `json:"update,omitempty"`
	Delete   int `json:"delete,omitempty"`
	Truncate int `json:"truncate,omitempty"`
}

func (s *summary) Describe() plugin.Description {
	return plugin.Description{Name: "summary", Version: "0.1.0", Commits: true}
}

func (s *summary) Init(config string) error {
	s.topic = strings.TrimSpace(config)
	if s.topic == "" {
		return errors.New("the configuration must be the topic of the summaries")
	}
	return nil
}

func (s *summary) Select(relation plugin.Relation) *plugin.Wanted {
	// Logical messages and what other plugins emit are of no table.
	if relation.Schema == "" {
		return nil
	}
	s.tables[relation.ID] = relation.Schema + "." + relation.Table
	// No columns: to count rows, none has to be looked at. Rows that a snapshot reads are of no
	// transaction.
	return &plugin.Wanted{
		Operations: plugin.Of(plugin.Create, plugin.Update, plugin.Delete, plugin.Truncate),
	}
}

func (s *summary) Process(rows plugin.Rows) []plugin.Verdict {
	table := s.tables[rows.Relation]
	counts := s.counts[table]
	for _, event := range rows.Events {
		switch event.Operation {
		case plugin.Create:
			counts.Create++
		case plugin.Update:
			counts.Update++
		case plugin.Delete:
			counts.Delete++
		case plugin.Truncate:
			counts.Truncate++
		}
	}
	s.counts[table] = counts
	// A verdict that is nil keeps its event.
	return make([]plugin.Verdict, len(rows.Events))
}

func (s *summary) Flush(commit plugin.Commit) []plugin.Emission {
	if len(s.counts) == 0 {
		return nil
	}
	// Maps are encoded in the order of their keys, so the same transaction gives the same text.
	encoded, err := json.Marshal(struct {
		XID      uint32            `json:"xid"`
		LSN      string            `json:"lsn"`
		CommitUS int64             `json:"commit_us"`
		Tables   map[string]counts `json:"tables"`
	}{
		XID:      commit.XID,
		LSN:      fmt.Sprintf("%X/%X", commit.LSN>>32, uint32(commit.LSN)),
		CommitUS: commit.CommitUS,
		Tables:   s.counts,
	})
	if err != nil {
		panic("a summary that cannot be encoded") // numbers and strings always can
	}
	clear(s.counts)
	key, payload := strconv.FormatUint(uint64(commit.XID), 10), string(encoded)
	return []plugin.Emission{{Topic: s.topic, Key: &key, Payload: &payload}}
}
