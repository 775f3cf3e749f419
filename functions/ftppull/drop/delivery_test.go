package drop_test

import (
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

func TestWindowsPath(t *testing.T) {
	t.Parallel()
	const folder = `E:\Import\HR\2026-11-21`
	for _, row := range []struct{ path, want, problem string }{
		{"a.csv", folder + `\a.csv`, ""},
		{"hr/Angestellte_Übersicht 2026.csv", folder + `\hr\Angestellte_Übersicht 2026.csv`, ""},
		{"console.csv", folder + `\console.csv`, ""},
		{"COM10.csv", folder + `\COM10.csv`, ""},
		{".hidden", folder + `\.hidden`, ""},
		{"a.part.csv", folder + `\a.part.csv`, ""},
		{"a:b.csv", "", `':'`},
		{"a?b", "", `'?'`},
		{"a*b", "", `'*'`},
		{`a"b`, "", `'"'`},
		{"a<b", "", `'<'`},
		{"a|b", "", `'|'`},
		{`a\b`, "", `'\\'`},
		{"x ", "", "space"},
		{"x./y", "", "dot"},
		{"NUL", "", "device"},
		{"con.txt", "", "device"},
		{"hr/Lpt1.csv", "", "device"},
		{"aux .csv", "", "device"},
		{"COM\u00b9", "", "device"},
		{"..", "", "not a name"},
		{"a.PART", "", ".part"},
		{strings.Repeat("x", 230), folder + `\` + strings.Repeat("x", 230), ""},
		{strings.Repeat("x", 231), "", "259"},
		{strings.Repeat("x/", 113) + "y", "", "247"},
		{strings.Repeat("\U0001F600", 116), "", "259"}, // two units each
	} {
		got, err := drop.WindowsPath(folder, row.path)
		if got != row.want || (err == nil) != (row.problem == "") || err != nil && !strings.Contains(err.Error(), row.problem) {
			t.Errorf("%q: %q, %v; want %q, %q", row.path, got, err, row.want, row.problem)
		}
	}
}

func TestCheckWindowsFolder(t *testing.T) {
	t.Parallel()
	for directory, ok := range map[string]bool{
		`E:\Import\HR`: true, `E:/Import/HR/`: true, `c:\`: true, `C:\Program Files\Microsoft Forefront Identity Manager`: true,
		`\\server\share`: false, `E:Import`: false, `/srv/in`: false, `in`: false, `E:\a|b`: false, `E:\nul`: false, `E:\..\x`: false,
	} {
		if err := drop.CheckWindowsFolder(directory); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", directory, err, ok)
		}
	}
}

func FuzzWindowsPathStaysBelowItsFolder(f *testing.F) {
	for _, seed := range []string{"a.csv", "../a", `..\a`, "C:/x", "a/b/c", "nul", "a. /b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, err := drop.WindowsPath(`E:\in`, path)
		if err != nil {
			return
		}
		if !strings.HasPrefix(got, `E:\in\`) || strings.Contains(got, `\..`+`\`) || strings.ContainsAny(got[3:], `<>:"|?*/`) {
			t.Errorf("%q became %q", path, got)
		}
	})
}
