package mim_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

// wholeBackup is a small backup with every part.
func wholeBackup() files {
	return files{
		"MAExports/HR.xml":                 agentXML(hrID, "HR", ""),
		"ServerExport/MV.XML":              metaverseXML(""),
		"ServerExport/MA-" + hrID + ".XML": agentXML(hrID, "HR", ""),
		"MAExtensions/MVExtension.dll":     "MZ",
		"PortalExport/policy.xml":          portalXML(portalObject("Set", strings.Trim(hrID, "{}"))),
		"PortalExport/schema.xml":          portalXML(portalObject("BindingDescription", strings.Trim(adID, "{}"))),
	}
}

func manifestOf(f files) mim.Manifest {
	m := mim.Manifest{Version: mim.ManifestVersion, RunID: "r1", Server: "SYNC1", Engine: "builtin", Folder: `C:\Backup\20-11-2026-11-30`,
		Started: time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC), Finished: time.Date(2026, 11, 20, 23, 41, 0, 0, time.UTC)}
	for _, part := range []string{mim.PartAgents, mim.PartServerExport, mim.PartExtensions, mim.PartPortal} {
		p := mim.Part{Name: part, Outcome: mim.OutcomeOK}
		for name, content := range f {
			if strings.HasPrefix(name, part+"/") {
				sum := sha256.Sum256([]byte(content))
				p.Files = append(p.Files, mim.ManifestFile{Path: name, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
			}
		}
		slices.SortFunc(p.Files, func(a, b mim.ManifestFile) int { return strings.Compare(a.Path, b.Path) })
		m.Parts = append(m.Parts, p)
	}
	return m
}

type entry struct{ name, content string }

func zipOf(t testing.TB, f files, more ...entry) []byte {
	t.Helper()
	var names []string
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []entry
	for _, name := range names {
		all = append(all, entry{name, f[name]})
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range append(all, more...) {
		w, err := z.Create(e.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func verify(t testing.TB, archive []byte, m mim.Manifest, limits mim.Limits) []string {
	t.Helper()
	problems, err := mim.Verify(context.Background(), bytes.NewReader(archive), int64(len(archive)), m, limits)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return all
}

func TestAWholeBackupHasNoProblem(t *testing.T) {
	t.Parallel()
	f := wholeBackup()
	ours := []entry{{mim.ManifestName, "{}"}, {mim.RestoreName, "# Restore"}, {"MAExports/", ""}}
	if got := verify(t, zipOf(t, f, ours...), manifestOf(f), mim.DefaultLimits); len(got) != 0 {
		t.Errorf("problems: %q", got)
	}
	backslashes := files{}
	for name, content := range f {
		backslashes[strings.ReplaceAll(name, "/", `\`)] = content
	}
	if got := verify(t, zipOf(t, backslashes), manifestOf(f), mim.DefaultLimits); len(got) != 0 {
		t.Errorf("problems with names as .NET 4.6 writes them: %q", got)
	}
}

// Each row breaks a whole backup in one way: in the archive only, or so that the manifest knows it too.
func TestProblemsOfABackup(t *testing.T) {
	t.Parallel()
	const hr = "MAExports/HR.xml"
	for name, c := range map[string]struct {
		archive func(files)         // changes what is shipped, behind the manifest's back
		both    func(files)         // changes what the server had
		fix     func(*mim.Manifest) // changes the manifest
		more    []entry
		limits  mim.Limits
		want    []string // the beginnings of the problems
	}{
		"a byte changed":                         {archive: func(f files) { f[hr] = strings.Replace(f[hr], "AD", "XD", 1) }, want: []string{hr + ": its SHA-256 is"}},
		"a file is too short":                    {archive: func(f files) { f[hr] = f[hr][:10] }, want: []string{hr + ": it has 10 bytes, the manifest says"}},
		"a file is missing":                      {archive: func(f files) { delete(f, hr) }, want: []string{"MAExports/HR.xml: it is in the manifest, but not in the archive"}},
		"a file is extra":                        {more: []entry{{"MAExports/x.xml", "<a/>"}}, want: []string{"MAExports/x.xml: it is not in the manifest"}},
		"a file is there twice":                  {more: []entry{{"maexports/hr.XML", "<a/>"}}, want: []string{"maexports/hr.XML: it is in the archive twice"}},
		"a name leads out":                       {more: []entry{{"../../windows/x.dll", ""}}, want: []string{"../../windows/x.dll: the path leads out"}},
		"a name with backslashes leads out":      {more: []entry{{`MAExports\..\..\x`, ""}}, want: []string{"MAExports/../../x: the path leads out"}},
		"a name is absolute":                     {more: []entry{{"/etc/passwd", ""}}, want: []string{"/etc/passwd: the path is absolute"}},
		"a name has a drive":                     {more: []entry{{`C:\x`, ""}}, want: []string{"C:/x: the path is absolute"}},
		"a name is a device":                     {more: []entry{{"MAExports/nul.xml", ""}}, want: []string{"MAExports/nul.xml: a name is that of a Windows device"}},
		"an export was cut":                      {both: func(f files) { f[hr] = f[hr][:len(f[hr])-30] }, want: []string{hr + ": it is not well-formed XML: line"}},
		"an export is empty":                     {both: func(f files) { f[hr] = "" }, want: []string{hr + ": it is not well-formed XML: the file is empty"}},
		"an export is of another kind":           {both: func(f files) { f[hr] = metaverseXML("") }, want: []string{hr + ": its root element is <saved-mv-configuration>: expected the export of a management agent"}},
		"the portal gave nothing":                {both: func(f files) { f["PortalExport/policy.xml"] = "<Results/>" }, want: []string{"PortalExport/policy.xml: it holds no objects"}},
		"the portal's export is an error page":   {both: func(f files) { f["PortalExport/policy.xml"] = "<html>no</html>" }, want: []string{"PortalExport/policy.xml: its root element is <html>"}},
		"the server's export holds another file": {both: func(f files) { f["ServerExport/readme.txt"] = "x" }, want: []string{"ServerExport/readme.txt: it is no XML"}},
		"the metaverse is missing":               {both: func(f files) { delete(f, "ServerExport/MV.XML") }, want: []string{"ServerExport/MV.XML: the metaverse is missing"}},
		"an agent is only in one form":           {both: func(f files) { f["MAExports/AD.xml"] = agentXML(adID, "AD", "") }, want: []string{`MAExports/AD.xml: management agent "AD" is not in ServerExport`}},
		"a file has the name of another agent": {both: func(f files) { f["ServerExport/MA-"+hrID+".XML"] = agentXML(adID, "AD", "") },
			want: []string{"ServerExport/MA-" + hrID + ".XML: it is the export of management agent " + adID}},
		"more than may be unpacked":          {limits: mim.Limits{Files: 100, Bytes: 100}, want: []string{"manifest.json: the files are larger than the limit of 100 bytes"}},
		"more entries than expected":         {limits: mim.Limits{Files: 2, Bytes: 1 << 20}, want: []string{"the archive has 6 entries, more than the limit of 2"}},
		"the manifest is of another version": {fix: func(m *mim.Manifest) { m.Version = 9 }, want: []string{"manifest.json: version is 9, expected 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := wholeBackup()
			if c.both != nil {
				c.both(f)
			}
			m := manifestOf(f)
			if c.fix != nil {
				c.fix(&m)
			}
			if c.archive != nil {
				c.archive(f)
			}
			if c.limits == (mim.Limits{}) {
				c.limits = mim.DefaultLimits
			}
			got := verify(t, zipOf(t, f, c.more...), m, c.limits)
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestABrokenArchiveIsAProblem(t *testing.T) {
	t.Parallel()
	f := wholeBackup()
	whole := zipOf(t, f)
	for name, archive := range map[string][]byte{"cut": whole[:len(whole)/2], "no archive": []byte("<html>"), "empty": nil} {
		if got := verify(t, archive, manifestOf(f), mim.DefaultLimits); len(got) != 1 || !strings.HasPrefix(got[0], "the archive cannot be opened") {
			t.Errorf("%s: %q", name, got)
		}
	}
	damaged := bytes.Clone(whole)
	damaged[bytes.Index(damaged, []byte("HR.xml"))+40] ^= 0xff
	if got := verify(t, damaged, manifestOf(f), mim.DefaultLimits); len(got) == 0 {
		t.Error("a damaged file has no problem")
	}
}

type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestAnArchiveThatCannotBeReadIsNoProblemOfTheBackup(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	problems, err := mim.Verify(context.Background(), failingReader{lost}, 1000, manifestOf(wholeBackup()), mim.DefaultLimits)
	if !errors.Is(err, lost) || problems != nil {
		t.Errorf("got %v, %v", problems, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	archive := zipOf(t, wholeBackup())
	if _, err := mim.Verify(ctx, bytes.NewReader(archive), int64(len(archive)), manifestOf(wholeBackup()), mim.DefaultLimits); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
}

func TestManifestIsReadAsWindowsWritesIt(t *testing.T) {
	t.Parallel()
	m := manifestOf(wholeBackup())
	for i := range m.Parts {
		for j := range m.Parts[i].Files {
			f := &m.Parts[i].Files[j]
			f.Path, f.SHA256 = strings.ReplaceAll(f.Path, "/", `\`), strings.ToUpper(f.SHA256)
		}
	}
	text, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	utf16 := []byte{0xff, 0xfe}
	for _, c := range text {
		utf16 = append(utf16, c, 0)
	}
	for name, b := range map[string][]byte{"UTF-8": text, "with byte order mark": append([]byte("\xef\xbb\xbf"), text...), "UTF-16": utf16} {
		got, err := mim.ParseManifest(bytes.NewReader(b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f := got.Parts[0].Files[0]; path.Dir(f.Path) != "MAExports" || f.SHA256 != strings.ToLower(f.SHA256) {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

func TestAManifestErrorListsEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	const text = `{"version":1,"started":"2026-11-20T23:30:00Z","finished":"2026-11-20T23:00:00Z","parts":[
		{"name":"MAExports","outcome":"fine","files":[{"path":"..\\x","size":-1,"sha256":"abc"}]},
		{"name":"PortalExport","outcome":"skipped"},{"name":"PortalExport","outcome":"ok"},{"name":"Databases","outcome":"ok"}]}`
	_, err := mim.ParseManifest(strings.NewReader(text))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"runId is missing", "server is missing", "finished (2026-11-20T23:00:00Z) is before started",
		`part "MAExports": outcome is "fine"`, `file "../x": the path leads out`, `file "../x": it is not in the folder MAExports`, "size is -1",
		`sha256 is "abc"`, `part "PortalExport": the outcome is skipped, but there is no reason`, `part "PortalExport" is there twice`, `part "Databases" is unknown`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %s:\n%v", want, err)
		}
	}
}
