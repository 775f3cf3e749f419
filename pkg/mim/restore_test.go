package mim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

func TestRestoreGuides(t *testing.T) {
	t.Parallel()
	whole := manifestOf(wholeBackup())
	whole.Build = "4.6.540.0"
	guide, err := whole.RestoreGuide(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "RESTORE.md", guide)

	partial := manifestOf(wholeBackup())
	for i := range partial.Parts {
		if partial.Parts[i].Name != mim.PartAgents {
			partial.Parts[i] = mim.Part{Name: partial.Parts[i].Name, Outcome: mim.OutcomeFailed, Reason: "access | denied\n<b>"}
		}
	}
	guide, err = partial.RestoreGuide(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "RESTORE-partial.md", guide)
	for _, want := range []string{"Nobody has recorded", "**failed**: access \\| denied &lt;b>", "server configuration is not in this backup",
		"Extensions are not in this backup", "The portal is not in this backup"} {
		if !strings.Contains(string(guide), want) {
			t.Errorf("the guide does not say %q", want)
		}
	}
}
