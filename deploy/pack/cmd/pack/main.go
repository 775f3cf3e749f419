// Command pack assembles the Function Apps for Azure: build/apps/<app>/ and build/<app>-<os>-<arch>.zip.
//
//	pack [-root .] [-out build] [-os linux] [-arch amd64] [-version v] [app ...]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/nightshift-hq/nightshift/deploy/pack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o pack.Options
	flag.StringVar(&o.Root, "root", ".", "the repository")
	flag.StringVar(&o.Out, "out", "", "where to build (default <root>/build)")
	flag.StringVar(&o.OS, "os", "linux", "operating system of the plan: linux or windows")
	flag.StringVar(&o.Arch, "arch", "amd64", "processor of the plan")
	flag.StringVar(&o.Version, "version", "", "what the handlers call themselves (default git describe)")
	flag.Parse()
	o.Apps = flag.Args()
	packages, err := pack.Build(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, p := range packages {
		fmt.Printf("%s %s\n  %s\n  %s  %.1f MB  sha256 %s\n", p.App, p.Version, p.Dir, p.Zip, float64(p.Size)/1e6, p.SHA256)
	}
}
