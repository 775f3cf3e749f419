// Package azuritetest shares one storage emulator among the tests of a package.
//
//	var emulator azuritetest.Shared
//
//	func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }
package azuritetest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
)

// Shared starts the emulator when the first test asks for it: not every run of a package's tests, and no fuzz worker, needs
// one. The zero value is ready for use; tests may ask concurrently.
type Shared struct {
	once   sync.Once
	server *azurite.Server
	err    error
}

// Server is the emulator, shared with the package's other tests: keep to containers and queues of your own.
func (s *Shared) Server(tb testing.TB) *azurite.Server {
	tb.Helper()
	s.once.Do(func() { s.server, s.err = azurite.Start(context.Background(), azurite.Options{}) })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

// Run runs the package's tests, stops the emulator, and looks for goroutines left behind. Its result is for os.Exit.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.server != nil {
		s.server.Stop()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
