package config_test

import (
	"fmt"
	"testing"

	"github.com/nightshift-hq/nightshift/functions/ftppull/config"
)

func TestArchiveBelowTheSourceIsNotScanned(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ source, archive, want string }{
		{"/out", "/out/archive", "[archive/**]"},
		{"/", "/archive", "[archive/**]"},
		{"/out", "/archive", "[]"},
		{"/out", "/outer", "[]"},
	} {
		s := config.Settings{ArchiveDirectory: row.archive, After: "archive"}
		if got := fmt.Sprint(s.Filter(row.source).Exclude); got != row.want {
			t.Errorf("%s below %s: excluded %s, want %s", row.archive, row.source, got, row.want)
		}
	}
}
