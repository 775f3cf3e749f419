package simmim_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/mim"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func backup(t testing.TB, in *simmim.Installation) *mim.Backup {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, content := range in.Files() {
		fsys[name] = &fstest.MapFile{Data: content}
	}
	b, err := mim.ReadBackup(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheSameSeedMakesTheSameInstallation(t *testing.T) {
	t.Parallel()
	one, same, other := simmim.New(simmim.Options{Seed: 1}), simmim.New(simmim.Options{Seed: 1}), simmim.New(simmim.Options{Seed: 2})
	if !maps.EqualFunc(one.Files(), same.Files(), bytes.Equal) {
		t.Error("two installations of the same seed differ")
	}
	if maps.EqualFunc(one.Files(), other.Files(), bytes.Equal) {
		t.Error("two installations of different seeds are the same")
	}
}

func TestSizesAreThoseOfRealServers(t *testing.T) {
	t.Parallel()
	in := simmim.New(simmim.Options{})
	least, most := 1<<30, 0
	for _, name := range in.AgentNames() {
		b, ok := in.ExportAgent(name)
		if !ok {
			t.Fatalf("no export of %q", name)
		}
		least, most = min(least, len(b)), max(most, len(b))
	}
	if n := len(in.AgentNames()); n != 12 || least < 9<<10 || least > 20<<10 || most < 1<<20 || most > 3<<20 {
		t.Errorf("%d agents from %d to %d bytes, want 12 from 10 kB to 2 MB", n, least, most)
	}
	portal, _ := in.PortalExport()
	for name, b := range portal {
		if len(b) < 3_000_000 || len(b) > 4_500_000 {
			t.Errorf("%s has %d bytes, want 3 to 4 MB", name, len(b))
		}
	}
}

func TestEveryFileIsWellFormed(t *testing.T) {
	t.Parallel()
	for name, content := range simmim.New(simmim.Options{Seed: 3}).Files() {
		if !strings.EqualFold(name[len(name)-4:], ".xml") {
			continue
		}
		decoder := xml.NewDecoder(bytes.NewReader(content))
		for {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
}

func TestAQuietNightIsNoDrift(t *testing.T) {
	t.Parallel()
	in := simmim.New(simmim.Options{Seed: 4})
	before := backup(t, in)
	if _, err := in.Night(); err != nil {
		t.Fatal(err)
	}
	after := backup(t, in)
	report, err := mim.Compare(context.Background(), before, after)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Changes {
		t.Error(c)
	}
}

func TestEachMutationIsReportedAndNothingElse(t *testing.T) {
	t.Parallel()
	for i, m := range simmim.New(simmim.Options{Seed: 5, PortalSize: 100, AgentBytes: 12 << 10}).Mutations() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			in := simmim.New(simmim.Options{Seed: 5, PortalSize: 100, AgentBytes: 12 << 10})
			check(t, in, in.Mutations()[i])
		})
	}
	t.Run("all of them", func(t *testing.T) {
		t.Parallel()
		in := simmim.New(simmim.Options{Seed: 6, PortalSize: 100, AgentBytes: 12 << 10})
		check(t, in, in.Mutations()...)
	})
}

func check(t *testing.T, in *simmim.Installation, mutations ...simmim.Mutation) {
	t.Helper()
	before := backup(t, in)
	want, err := in.Night(mutations...)
	if err != nil {
		t.Fatal(err)
	}
	report, err := mim.Compare(context.Background(), before, backup(t, in))
	if err != nil {
		t.Fatal(err)
	}
	var got []simmim.Expect
	for _, c := range report.Changes {
		got = append(got, simmim.Expect{Severity: c.Severity.String(), Action: string(c.Action), Where: c.Where()})
	}
	byPlace := func(a, b simmim.Expect) int {
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.Action, b.Action))
	}
	slices.SortFunc(got, byPlace)
	slices.SortFunc(want, byPlace)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestAMutationThatFindsNothingSaysSo(t *testing.T) {
	t.Parallel()
	in := simmim.New(simmim.Options{PortalSize: 10})
	for _, m := range []simmim.Mutation{simmim.RemoveAgent("nobody"), simmim.ChangeProvisioning("scripted"), simmim.ChangeProgram("x.dll"),
		simmim.DisableRule("x"), simmim.RenameExportFlow(in.AgentNames()[0], "x", "y")} {
		if _, err := in.Night(m); err == nil || !strings.Contains(err.Error(), m.Name) {
			t.Errorf("%s: got %v", m.Name, err)
		}
	}
}
