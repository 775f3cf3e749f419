// Command local is `make run`: the estate on this machine. It starts a storage emulator and an FTP server full of HR files,
// packs the apps as for Azure, runs them under the local host, fires every timer once, follows the work to its end, says what
// came of it and what to try next, and stays up until Ctrl-C.
//
// With FTPServer and its four companions set, in the environment or in local.settings.json, the files come from that server.
// Its files are left as they are, whatever FTPAfter says, because their copies go to an emulator that the next run empties.
//
// With -once it ends by itself, and fails unless everything that was to arrive has arrived byte for byte, and what must not be
// taken was left or held. Nothing that it started outlives it, even when it is killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	o := options{environ: os.Environ(), out: os.Stdout}
	flag.StringVar(&o.address, "address", "127.0.0.1:7071", "where the first app listens; the next ones take the next ports")
	flag.BoolVar(&o.once, "once", false, "end when the work is done; fail when something is not as expected")
	flag.DurationVar(&o.limit, "limit", 15*time.Minute, "how long one night may take")
	flag.Int64Var(&o.biggest, "biggest", 200_000_000, "bytes of the biggest file of the built-in drop")
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.build, "build", "build", "where the packed apps go")
	flag.StringVar(&o.dir, "dir", "", "for everything of this run; emptied first (default build/run/<port>)")
	worker := flag.Bool("worker", false, "do the work; without it, start a worker and wait for it")
	flag.Parse()
	if o.dir == "" {
		o.dir = ownDir(o.address)
	}
	if !*worker {
		os.Exit(launch(os.Args[1:]))
	}
	ctx, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(ctx)
	go watchParent(ctx, cancel)
	context.AfterFunc(ctx, forget) // a second signal does not wait
	err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}

// ownDir is the folder of the run at this address: no run may empty that of another. An address without a port is refused
// later, before the folder is touched.
func ownDir(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return filepath.Join("build", "run", port)
}

// watchParent ends the run when the process that started it is gone: nobody could stop it any more.
func watchParent(ctx context.Context, end context.CancelCauseFunc) {
	parent := os.Getppid()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if os.Getppid() != parent {
				end(errors.New("the process that started this one is gone"))
			}
		case <-ctx.Done():
			return
		}
	}
}
