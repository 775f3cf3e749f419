// Command idle is a handler whose only function does nothing, so that the benchmark measures the protocol alone.
package main

import (
	"context"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
)

func main() {
	customhandler.Main("idle", func([]string) (customhandler.App, error) {
		nothing := func(context.Context, customhandler.Timer) error { return nil }
		return customhandler.App{Functions: []customhandler.Function{customhandler.TimerFunc("idle", nothing)}}, nil
	})
}
