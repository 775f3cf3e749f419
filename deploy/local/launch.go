package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// launch runs this program once more, in a process group of its own, and returns its exit code. Ctrl-C goes to every process
// of the terminal's group: without this, it would end the emulator and the handlers first, under a host that still needs them.
func launch(arguments []string) int {
	program, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		return 1
	}
	worker := exec.Command(program, append([]string{"-worker"}, arguments...)...)
	worker.Stdout, worker.Stderr = os.Stdout, os.Stderr
	worker.SysProcAttr = ownGroup()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := worker.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		return 1
	}
	go func() {
		<-signals
		stop(worker.Process)
		<-signals // who asks twice does not want to wait
		worker.Process.Kill()
	}()
	if worker.Wait() == nil {
		return 0
	}
	return max(1, worker.ProcessState.ExitCode()) // it is -1 for a process that was killed
}
