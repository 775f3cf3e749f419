// Command bench measures what Nightshift promises about speed and size, on this machine and in one run, and prints a table
// of measured values against their limits.
//
// Most values are ratios against something else that did the same in the same minute, because absolute numbers say more
// about the machine than about the program. A missed limit is printed and is no failure: a busy machine must not fail a
// build. Only something that does not work makes the command fail.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	only := flag.String("only", "", "measure one section: startup, invocations, size, small or big")
	flag.Parse()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "make bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	b, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	var rows []row
	for _, section := range []struct {
		name    string
		measure func(context.Context) ([]row, error)
	}{
		{"startup", b.startup}, {"invocations", b.invocations}, {"size", b.size}, {"small", b.small}, {"big", b.big},
	} {
		if only != "" && only != section.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring: %s\n", section.name)
		measured, err := section.measure(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, measured...)
	}
	if len(rows) == 0 {
		return fmt.Errorf("-only %s: there is no such section", only)
	}
	return printTable(os.Stdout, rows)
}
