package ftpd_test

import (
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/sim/ftpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range ftpd.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := ftpd.Require(t, kind)
			s.Stop()
			s.Stop()
			if conn, err := net.Dial("tcp", s.Addr); err == nil {
				conn.Close()
				t.Errorf("%s still listens after Stop", kind)
			}
			if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
				t.Errorf("%s: files still there after Stop: %v", kind, err)
			}
		})
	}
}
