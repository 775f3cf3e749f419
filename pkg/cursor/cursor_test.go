package cursor_test

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

func containerAt(tb testing.TB, connection string) *storage.Container {
	tb.Helper()
	a, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(connection)}, storage.WithRetries(2, time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(a.Close)
	return a.Container("t" + strings.ToLower(rand.Text()))
}

type count struct{ N int }

func TestNoIncrementIsLost(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 10
	s := cursor.Open[count](containerAt(t, emulator.Server(t).ConnectionString()), "job", 1)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for done := 0; done < each; {
				r, err := s.Load(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				switch _, err := s.Swap(t.Context(), r, count{r.Value.N + 1}); {
				case err == nil:
					done++
				case !errors.Is(err, storage.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if r, err := s.Load(t.Context()); err != nil || r.Value.N != writers*each {
		t.Errorf("%+v %v, want %d", r, err, writers*each)
	}
}
