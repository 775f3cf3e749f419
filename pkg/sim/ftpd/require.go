package ftpd

import (
	"errors"
	"os"
	"testing"
)

// Require starts a daemon that ends with the test. Where the daemon cannot run, the test is skipped and says so, except
// when CI=true: then it fails.
func Require(t testing.TB, kind Kind) *Server {
	t.Helper()
	s, err := Start(t.Context(), kind)
	switch {
	case errors.Is(err, ErrMissing) && os.Getenv("CI") != "true":
		t.Skipf("not tested against %s: %v", kind, err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}
