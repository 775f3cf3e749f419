package mim_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/mim"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
)

// Real exports are not part of this repository. NIGHTSHIFT_CONTRACTS names a folder that has them, in any layout below mim/;
// without it the estate is a made-up one.
func contractEstates(t *testing.T) map[string]*mim.Backup {
	t.Helper()
	root := os.Getenv("NIGHTSHIFT_CONTRACTS")
	if root == "" {
		root = madeUpEstate(t)
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

func madeUpEstate(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range simmim.New(simmim.Options{Seed: 11, AgentBytes: 12 << 10, PortalSize: 20}).Files() {
		file := filepath.Join(root, "mim", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
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
