package drop_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func file(path string, size int64) drop.File {
	return drop.File{Path: path, Size: size, ModTime: noon, Precise: true}
}

func TestBatchIDFollowsFromItsFilesAlone(t *testing.T) {
	t.Parallel()
	a, b := file("a.csv", 1), file("b.csv", 2)
	base := drop.Batch{Run: "one", Folder: "in/2026-11-21", Files: []drop.File{a, b}}
	for _, row := range []struct {
		name  string
		batch drop.Batch
		same  bool
	}{
		{"another order", drop.Batch{Run: "one", Folder: base.Folder, Files: []drop.File{b, a}}, true},
		{"another run", drop.Batch{Run: "two", Folder: base.Folder, Files: []drop.File{a, b}}, true},
		{"another folder", drop.Batch{Run: "one", Folder: "in/2026-11-22", Files: []drop.File{a, b}}, false},
		{"another size", drop.Batch{Run: "one", Folder: base.Folder, Files: []drop.File{a, file("b.csv", 3)}}, false},
		{"one file less", base.With(a), false},
	} {
		if got := row.batch.ID() == base.ID(); got != row.same {
			t.Errorf("%s: same ID %v, want %v", row.name, got, row.same)
		}
	}
}

func TestSameTellsVersionsApart(t *testing.T) {
	t.Parallel()
	exact := file("a", 5)
	later := exact
	later.ModTime = noon.Add(time.Second)
	rounded := later
	rounded.Precise = false
	for _, row := range []struct {
		name  string
		other drop.File
		same  bool
	}{
		{"itself", exact, true},
		{"another size", file("a", 6), false},
		{"another path", file("b", 5), false},
		{"a later time", later, false},
		{"a rounded time says nothing", rounded, true},
	} {
		if got := exact.Same(row.other); got != row.same {
			t.Errorf("%s: %v, want %v", row.name, got, row.same)
		}
	}
}

func TestTargetPrefix(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ directory, want string }{
		{`E:\Import\HR`, "E/Import/HR"},
		{`E:\Import\HR\`, "E/Import/HR"},
		{`\\server\share\in`, "server/share/in"},
		{"/srv/in", "srv/in"},
		{"in", "in"},
		{"a/../b", "b"},
		{"/", ""},
		{`C:\`, "C"},
		{"in/x\n", ""},
	} {
		got, err := drop.TargetPrefix(row.directory)
		if (err != nil) != (row.want == "") || (err == nil && got != row.want) {
			t.Errorf("%q: %q, %v; want %q", row.directory, got, err, row.want)
		}
	}
}

func TestCheckPath(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		path string
		ok   bool
	}{
		{"hr/Angestellte_Übersicht 2026.csv", true},
		{"日本語.csv", true},
		{strings.Repeat("x", 255), true},
		{"", false},
		{"../evil.csv", false},
		{"a/../../evil.csv", false},
		{"/rooted.csv", false},
		{"a//b", false},
		{`..\evil.csv`, false},
		{"a\r\nDELE b", false},
		{"tab\there", false},
		{"dot.", false},
		{"_manifests/x.json", false},
		{"bad\xff.csv", false},
		{strings.Repeat("x", 701), false},
	} {
		if err := drop.CheckPath(row.path); (err == nil) != row.ok {
			t.Errorf("%q: %v, want ok %v", row.path, err, row.ok)
		}
	}
}

func FuzzCheckPathKeepsNamesInsideTheirFolder(f *testing.F) {
	for _, seed := range []string{"a.csv", "../a", "a/./b", `a\..\b`, "\x00", "a/_manifests/b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if drop.CheckPath(path) != nil {
			return
		}
		name := drop.Batch{Folder: "in/today"}.BlobName(drop.File{Path: path})
		if !strings.HasPrefix(name, "in/today/") || strings.Contains(name, "..") && hasDotPart(name) || strings.ContainsAny(name, "\r\n\\\x00") {
			t.Errorf("%q became %q", path, name)
		}
	})
}

func hasDotPart(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || part == "." {
			return true
		}
	}
	return false
}

func TestCut(t *testing.T) {
	t.Parallel()
	many := make([]drop.File, 1000)
	for i := range many {
		many[i] = file(fmt.Sprintf("hr/%0200d.csv", i), 10)
	}
	for _, row := range []struct {
		name   string
		files  []drop.File
		limits drop.Limits
		want   []int
	}{
		{"nothing to do", nil, drop.Limits{Files: 2, Bytes: 10}, nil},
		{"by count", []drop.File{file("a", 1), file("b", 1), file("c", 1)}, drop.Limits{Files: 2, Bytes: 10}, []int{2, 1}},
		{"by bytes", []drop.File{file("a", 6), file("b", 4), file("c", 1)}, drop.Limits{Files: 9, Bytes: 10}, []int{2, 1}},
		{"a giant travels alone", []drop.File{file("a", 1), file("b", 99), file("c", 1)}, drop.Limits{Files: 9, Bytes: 10}, []int{1, 1, 1}},
	} {
		var got []int
		for _, b := range drop.Cut(row.files, "run", "in/today", row.limits) {
			got = append(got, len(b.Files))
		}
		if fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
	t.Run("by the size of a queue message", func(t *testing.T) {
		t.Parallel()
		total := 0
		for _, b := range drop.Cut(many, "run", "in/today", drop.Limits{Files: 500, Bytes: 1 << 40}) {
			text, err := json.Marshal(b)
			if err != nil || len(text) > 45<<10 {
				t.Errorf("a batch of %d bytes, %v", len(text), err)
			}
			total += len(b.Files)
		}
		if total != len(many) {
			t.Errorf("%d files in batches, want %d", total, len(many))
		}
	})
}

func TestSeries(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ path, want string }{
		{"hr/employees.csv", "hr/employees.csv"},
		{"hr/employees_20261121.csv", "hr/employees_{date}.csv"},
		{"hr/employees_2026-11-21.csv", "hr/employees_{date}.csv"},
		{"21.11.2026/employees.csv", "{date}/employees.csv"},
		{"hr_20261121_0630.csv", "hr_{date}.csv"},
		{"hr_2026-11-21T06-30-00.csv", "hr_{date}.csv"},
		{"part-1.csv", "part-1.csv"},
	} {
		if got := drop.Series(row.path); got != row.want {
			t.Errorf("%q: %q, want %q", row.path, got, row.want)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	batch := drop.Batch{Run: "r", Folder: "in/today", Files: []drop.File{file("a", 1), file("b", 2)}}
	m := drop.NewManifest(batch, "ftp://server/out", []drop.Entry{
		{File: batch.Files[0], Outcome: drop.Stored, Blob: "in/today/a", SHA256: "00"},
		{File: batch.Files[1], Outcome: drop.Gone},
	}, noon)
	got, err := drop.ParseManifest(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Bytes()) != string(m.Bytes()) || got.Count(drop.Stored) != 1 || got.StoredBytes() != 1 {
		t.Errorf("read back %s", got.Bytes())
	}
	if _, err := drop.ParseManifest([]byte(`{"version":9}`)); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a newer manifest: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"files":[{"path":"a","size":1,"outcome":"stored"}]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := drop.ParseManifest(data); err == nil {
			if _, err := drop.ParseManifest(m.Bytes()); err != nil {
				t.Errorf("not read back: %v", err)
			}
		}
	})
}
