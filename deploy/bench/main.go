// Command bench measures what Nightshift promises about speed and size, on this machine and in one run, and prints a table
// of measured values against their limits.
//
// Most values are ratios against something else that did the same in the same minute, because absolute numbers say more
// about the machine than about the program. A missed limit is printed and is no failure: a busy machine must not fail a
// build. Only something that does not work makes the command fail.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "make bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	var rows []row
	for _, section := range []func(context.Context) ([]row, error){b.startup, b.invocations, b.size, b.small, b.big} {
		measured, err := section(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, measured...)
	}
	return printTable(os.Stdout, rows)
}
