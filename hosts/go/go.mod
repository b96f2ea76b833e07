module github.com/grove/pgoutput-decoder/hosts/go

go 1.25.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/tetratelabs/wazero v1.12.0
)

require golang.org/x/sys v0.44.0 // indirect
