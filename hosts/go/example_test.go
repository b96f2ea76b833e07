package pgoutput_test

import (
	"context"
	"fmt"
	"log"
	"os"

	pgoutput "github.com/grove/pgoutput-decoder/hosts/go"
)

func ExampleEngine_Replay() {
	ctx := context.Background()
	engine, err := pgoutput.Load(ctx, coreWasm(), nil) // what os.ReadFile("decoder.core.wasm") gives
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	recording, err := os.Open("testdata/enum.pgrec")
	if err != nil {
		log.Fatal(err)
	}
	defer recording.Close()
	for event, err := range engine.Replay(ctx, recording, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%c %s %s\n", event.Op(), event.Topic().Name, event.Key())
		break
	}
	// Output: c app.public.e {"id":1}
}

func ExampleStream_Decode() {
	ctx := context.Background()
	decoder, err := engine.Open(ctx, map[string]string{"topic.prefix": "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer decoder.Close()
	stream := pgoutput.NewStream(decoder, nil)
	frames := []byte(logical(100, "hello"))
	for record, err := range stream.Decode(ctx, frames, 1_700_000_000_000_000) {
		if err != nil {
			log.Fatal(err)
		}
		switch record := record.(type) {
		case pgoutput.Event:
			fmt.Printf("%c %s\n", record.Op(), record.Key())
		case pgoutput.Commit:
			fmt.Println("may be confirmed:", record.EndLSN)
		}
	}
	// Output: m {"prefix":"prefix"}
}
