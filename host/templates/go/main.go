// NAME drops the events of rows of which a boolean column is true, and keeps all others.
//
// The configuration is the name of the column. Tables without it pass by.
package main

import (
	"errors"
	"strings"

	"NAME/plugin"
)

func init() {
	plugin.Register(&filter{})
}

// Plugins have no start of their own: they are called.
func main() {}

// What is remembered lasts as long as the instance: until the connection is made again.
type filter struct {
	column string
}

func (f *filter) Describe() plugin.Description {
	// With Commits set, Flush is called at each commit.
	return plugin.Description{Name: "NAME", Version: "0.1.0", Commits: false}
}

func (f *filter) Init(config string) error {
	f.column = strings.TrimSpace(config)
	if f.column == "" {
		return errors.New("the configuration must be the name of a boolean column")
	}
	return nil
}

func (f *filter) Select(relation plugin.Relation) *plugin.Wanted {
	index, found := relation.Column(f.column)
	if !found {
		return nil
	}
	// Only what is asked for comes to Process, and costs something: more columns, the row before
	// an UPDATE (Old), key and payload as JSON (Payload).
	return &plugin.Wanted{
		Operations: plugin.Of(plugin.Create, plugin.Read, plugin.Update),
		Columns:    []uint32{index},
	}
}

func (f *filter) Process(rows plugin.Rows) []plugin.Verdict {
	// One verdict for each event; nil keeps it.
	verdicts := make([]plugin.Verdict, len(rows.Events))
	for i := range rows.Events {
		// The first of the columns that Select asked for.
		if rows.Value(i, 0) == true {
			// Or plugin.Change with other values, Route with another topic, Emit with events to put
			// in its place, Replace with another payload, Fail.
			verdicts[i] = plugin.Drop{}
		}
	}
	return verdicts
}

func (f *filter) Flush(plugin.Commit) []plugin.Emission {
	// With Description.Commits: events behind the last one of a transaction.
	return nil
}
