//go:build unix

package customhandler

import (
	"os"
	"time"
)

// watchParent closes the channel when the process that started this one is gone. A killed host leaves its handler behind, and
// the kernel then gives it another parent. Asking costs nothing, so it asks every second; nothing signals the change.
func watchParent() <-chan struct{} {
	gone := make(chan struct{})
	parent := os.Getppid()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for os.Getppid() == parent {
			<-tick.C
		}
		close(gone)
	}()
	return gone
}
