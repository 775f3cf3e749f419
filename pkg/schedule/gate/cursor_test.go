package gate_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// TestPassedLivesInABlob runs the gate on the store that the apps use.
func TestPassedLivesInABlob(t *testing.T) {
	t.Parallel()
	emulator, err := azurite.Start(t.Context(), azurite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(emulator.Stop)
	account, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(emulator.ConnectionString())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(account.Close)
	state := account.Container("gate-state")
	if err := state.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := func() gate.Store { return cursor.Open[gate.Passed](state, "job-passed", gate.Version) }

	// Every tick is another process.
	var ran []string
	for _, tick := range []string{"2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"} {
		ran = append(ran, ticks(t, newGate(t, "0 30 2 * * *", "Europe/Warsaw", open()), tick)...)
	}
	if want := []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}; !slices.Equal(ran, want) {
		t.Errorf("ran at %v, want %v: once in the repeated hour", ran, want)
	}

	// Two processes at the same tick: the job's lock is not held here, so both run, and both are content.
	g := newGate(t, "0 30 2 * * *", "Europe/Warsaw", open())
	now := time.Date(2026, 10, 27, 2, 0, 0, 0, time.UTC)
	_, err = g.Pass(t.Context(), now, func(ctx context.Context) error {
		_, err := newGate(t, "0 30 2 * * *", "Europe/Warsaw", open()).Pass(ctx, now, func(context.Context) error { return nil })
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
