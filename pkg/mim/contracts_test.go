package mim_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

// Real exports are not part of this repository. NIGHTSHIFT_CONTRACTS names a folder that has them, in any layout below mim/.
func contractEstates(t *testing.T) map[string]*mim.Backup {
	t.Helper()
	root := os.Getenv("NIGHTSHIFT_CONTRACTS")
	if root == "" {
		t.Skip("NIGHTSHIFT_CONTRACTS names no folder with real exports")
	}
	estates := map[string]*mim.Backup{}
	err := filepath.WalkDir(filepath.Join(root, "mim"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		exports, err := filepath.Glob(filepath.Join(name, "*.[xX][mM][lL]"))
		if err != nil || len(exports) == 0 {
			return err
		}
		backup, err := mim.ReadBackup(os.DirFS(name))
		if err != nil {
			return err
		}
		estates[name] = backup
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(estates) == 0 {
		t.Fatalf("no exports below %s", root)
	}
	return estates
}

func contractFS(estate string) fs.FS { return os.DirFS(estate) }

func TestARealExportDoesNotDifferFromItself(t *testing.T) {
	t.Parallel()
	for name, backup := range contractEstates(t) {
		report, err := mim.Compare(context.Background(), backup, backup)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, change := range report.Changes {
			t.Errorf("%s: %s", name, change)
		}
		for _, f := range backup.Files {
			if f.Kind == mim.KindOther {
				t.Errorf("%s: %s is not recognised: root %q", name, f.Path, f.Root)
			}
		}
	}
}
