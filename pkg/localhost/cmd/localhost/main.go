// Command localhost runs Function Apps on this machine, without Azure and without Core Tools:
//
//	localhost [options] app-root...
//
// An app root is a folder that `make package` made, or any other with host.json, a custom handler and function.json
// folders. See docs/local-host.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nightshift-hq/nightshift/pkg/localhost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the host at once
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := localhost.Options{Environ: os.Environ(), Out: os.Stdout}
	flags := flag.NewFlagSet("localhost", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "usage: localhost [options] app-root...\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&o.Address, "address", "127.0.0.1:7071", "`host:port` of the first app; each further app has the next port")
	flags.StringVar(&o.SettingsFile, "settings", "", "`file` to read settings from instead of local.settings.json in each app root")
	flags.StringVar(&o.Zone, "tz", "", "time `zone` of the schedules, a Windows or IANA name (default WEBSITE_TIME_ZONE, else UTC)")
	flags.BoolVar(&o.EnableAuth, "enable-auth", false, "ask for keys, as Azure does")
	flags.StringVar(&o.KeysFile, "keys", "local.keys.json", "`file` that holds the keys with -enable-auth; made when missing")
	flags.DurationVar(&o.HiddenFor, "hidden-for", 0, "how long a received message is invisible to others (default 10m)")
	flags.DurationVar(&o.MaxPolling, "max-polling", 0, "longest wait between two looks at an empty queue (default from host.json)")
	flags.DurationVar(&o.DrainLimit, "drain", 0, "how long running invocations may go on at the end (default 10s)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.Roots = flags.Args()
	if len(o.Roots) == 0 {
		flags.Usage()
		os.Exit(2)
	}
	return localhost.Run(ctx, o)
}
