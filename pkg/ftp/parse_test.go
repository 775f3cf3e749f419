package ftp

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var (
	testNow  = time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	testZone = time.FixedZone("UTC+2", 2*3600)
)

func at(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC)
}

func TestMLSDLines(t *testing.T) {
	t.Parallel()
	rows := []struct {
		line string
		want Entry
	}{
		{"type=file;size=12;modify=20261120071500; a.csv",
			Entry{Name: "a.csv", Kind: File, Size: 12, ModTime: at(2026, 11, 20, 7, 15, 0), Precise: true}},
		{"Type=File;Size=12;Modify=20261120071500.123; two  words ",
			Entry{Name: "two  words ", Kind: File, Size: 12, ModTime: at(2026, 11, 20, 7, 15, 0).Add(123 * time.Millisecond), Precise: true}},
		{"type=file;size=010;  leading", Entry{Name: " leading", Kind: File, Size: 10}},
		{"type=DIR;modify=20261120071500;perm=flcdmpe; in",
			Entry{Name: "in", Kind: Dir, Size: -1, ModTime: at(2026, 11, 20, 7, 15, 0), Precise: true}},
		{"type=file; no size", Entry{Name: "no size", Kind: File, Size: -1}},
		{"size=1;type=file without semicolon", Entry{Name: "without semicolon", Kind: File, Size: 1}},
		{"type=OS.unix=symlink;size=4; link", Entry{Name: "link", Kind: Link, Size: 4}},
		{"type=OS.unix=slink:/in/a.csv; link", Entry{Name: "link", Kind: Link, Size: -1, Target: "/in/a.csv"}},
		{"type=OS.unix=chr-13/29; device", Entry{Name: "device", Kind: Other, Size: -1}},
		{"type=file;size=1;x.hash=a=b; f", Entry{Name: "f", Kind: File, Size: 1}},
	}
	for _, row := range rows {
		row.want.Path = row.want.Name
		if got, keep := parseMLSDLine(row.line); !keep || got != row.want {
			t.Errorf("%q:\n got %+v\nwant %+v", row.line, got, row.want)
		}
	}
}

func TestListLines(t *testing.T) {
	t.Parallel()
	recent := at(2026, 11, 20, 5, 15, 0) // 07:15 in testZone
	rows := []struct {
		line string
		want Entry
	}{
		{"-rw-r--r--   1 user  group      1234 Nov 20 07:15 a.csv", Entry{Name: "a.csv", Kind: File, Size: 1234, ModTime: recent}},
		{"-rw-r--r--.  1 user  group      1234 Nov 20 07:15 selinux", Entry{Name: "selinux", Kind: File, Size: 1234, ModTime: recent}},
		{"-rw-r--r--+  1 user  group      1234 Nov 20 07:15 acl", Entry{Name: "acl", Kind: File, Size: 1234, ModTime: recent}},
		{"-rw-r--r--   1 user  group      010 Nov 20 07:15 not octal", Entry{Name: "not octal", Kind: File, Size: 10, ModTime: recent}},
		{"-rw-r--r--   1 user  group      1 Nov 20 07:15   two leading", Entry{Name: "  two leading", Kind: File, Size: 1, ModTime: recent}},
		{"-rw-r--r-- 1 CORP\\svc mim Domain Users 77 Nov 20 07:15 f", Entry{Name: "f", Kind: File, Size: 77, ModTime: recent}},
		{"-rw-r--r-- 1 1001 1001 77 Nov 20 07:15 numeric", Entry{Name: "numeric", Kind: File, Size: 77, ModTime: recent}},
		{"-r-------- 0 user group 65222236 Nov 20 07:15 hostedftp", Entry{Name: "hostedftp", Kind: File, Size: 65222236, ModTime: recent}},
		{"-------r--         326  1391972  1392298 Nov 22  1995 netpresenz", Entry{Name: "netpresenz", Kind: File, Size: 1392298,
			ModTime: at(1995, 11, 21, 22, 0, 0)}},
		{"drwxrwxr-x               folder        2 May 10  1996 folder", Entry{Name: "folder", Kind: Dir, Size: -1, ModTime: at(1996, 5, 9, 22, 0, 0)}},
		{"drwxr-sr-t  2 user group 4096 Nov 20 07:15 in", Entry{Name: "in", Kind: Dir, Size: -1, ModTime: recent}},
		{"lrwxrwxrwx  1 user group 4 Nov 20 07:15 link -> in/a.csv", Entry{Name: "link", Kind: Link, Size: -1, Target: "in/a.csv", ModTime: recent}},
		{"Lrwxrwxrwx 1 ftp ftp            8 Nov 20 07:15 go link", Entry{Name: "go link", Kind: Link, Size: -1, ModTime: recent}},
		{"-rw-r--r--  1 user group 4 Nov 20 07:15 not -> link", Entry{Name: "not -> link", Kind: File, Size: 4, ModTime: recent}},
		{"brw-rw----  1 root disk 8, 0 Nov 20 07:15 sda", Entry{Name: "sda", Kind: Other, Size: -1, ModTime: recent}},
		{"-rw-r--r--  1 user group 4 20. Nov 07:15 day first", Entry{Name: "day first", Kind: File, Size: 4, ModTime: recent}},
		{"-rw-r--r--  1 user group 4 20 Nov 2019 day first", Entry{Name: "day first", Kind: File, Size: 4, ModTime: at(2019, 11, 19, 22, 0, 0)}},
		{"-rw-r--r--  1 user group 4 2026-11-20 07:15 iso", Entry{Name: "iso", Kind: File, Size: 4, ModTime: recent}},
		{"-rw-r--r--  1 user group 4 2026-11-20 07:15:30.500000000 +0100 full", Entry{Name: "full", Kind: File, Size: 4,
			ModTime: at(2026, 11, 20, 6, 15, 30).Add(500 * time.Millisecond), Precise: true}},
		{"-rw-r--r--  1 user group 4 Nov 22 02:59 clock ahead", Entry{Name: "clock ahead", Kind: File, Size: 4, ModTime: at(2026, 11, 22, 0, 59, 0)}},
		{"-rw-r--r--  1 user group 4 Dec 24 12:00 last year", Entry{Name: "last year", Kind: File, Size: 4, ModTime: at(2025, 12, 24, 10, 0, 0)}},
		{"-rw-r--r--  1 user group 4 Feb 29 12:00 leap day", Entry{Name: "leap day", Kind: File, Size: 4, ModTime: at(2024, 2, 29, 10, 0, 0)}},
		{"11-20-26  07:15AM                 1234 iis.csv", Entry{Name: "iis.csv", Kind: File, Size: 1234, ModTime: recent}},
		{"11-20-26  07:15AM       <DIR>          iis folder", Entry{Name: "iis folder", Kind: Dir, Size: -1, ModTime: recent}},
		{"11-20-26  07:15AM       <JUNCTION>     link [C:\\in]", Entry{Name: "link", Kind: Link, Size: -1, Target: "C:\\in", ModTime: recent}},
		{"11-20-2026  07:15         12 four digits", Entry{Name: "four digits", Kind: File, Size: 12, ModTime: recent}},
		{"20-11-26  07:15           12 day first", Entry{Name: "day first", Kind: File, Size: 12, ModTime: recent}},
		{"2026-11-20  07:15         12 year first", Entry{Name: "year first", Kind: File, Size: 12, ModTime: recent}},
		{"05.11.2026  07:15         12 dots", Entry{Name: "dots", Kind: File, Size: 12, ModTime: at(2026, 11, 5, 5, 15, 0)}},
		{"11/20/2026  07:15         12 slashes", Entry{Name: "slashes", Kind: File, Size: 12, ModTime: recent}},
	}
	for _, row := range rows {
		row.want.Path = row.want.Name
		got := parseListLine(row.line, testNow, testZone)
		got.ModTime = got.ModTime.UTC()
		if got != row.want {
			t.Errorf("%q:\n got %+v\nwant %+v", row.line, got, row.want)
		}
	}
}

func TestLinesThatAreReported(t *testing.T) {
	t.Parallel()
	for line, class := range map[string]error{
		"":                                              nil, // no line
		"type=file;size=1;nospace":                      ErrLostLines,
		"type=file;size=-1; a":                          ErrLostLines,
		"type=file;size=0x10; a":                        ErrLostLines,
		"type=file;size=99999999999999999999; a":        ErrLostLines,
		"type=file;modify=yesterday; a":                 ErrLostLines,
		"size=1; no type":                               ErrLostLines,
		"a.csv":                                         ErrLostLines,
		"type=file;size=1; ":                            ErrBadName,
		"type=file;size=1; ../../evil.csv":              ErrBadName,
		"type=file;size=1; a/b":                         ErrBadName,
		"type=file;size=1; a\\b":                        ErrBadName,
		"type=file;size=1; bell\a":                      ErrBadName,
		"type=file;size=1; c1\u0085":                    ErrBadName,
		"type=file;size=1; latin\xe4":                   ErrBadName,
		"type=file;size=1; " + strings.Repeat("ä", 128): ErrBadName,
	} {
		checkProblem(t, parseMLSD(line+"\n"), line, class)
	}
	for line, class := range map[string]error{
		"a.csv": ErrLostLines,
		"-rw-r--r-- 1 user group 4 Okt 20 07:15 german":      ErrLostLines,
		"-rw-r--r-- 1 user group Nov 20 07:15 no size":       ErrLostLines,
		"-rw-r--r-- 1 user group 4 Nov 20 07:15":             ErrLostLines,
		"-rw-r--r-- 1 user group 4 Nov 31 07:15 no such day": ErrLostLines,
		"d [R----F--] supervisor 512 Jan 16 18:53 netware":   ErrLostLines,
		"11-20-26  07:15AM  1,234 iis":                       ErrLostLines,
		"13-32-26  07:15AM  1234 iis":                        ErrLostLines,
		"-rw-r--r-- 1 user group 4 Nov 20 07:15 ../evil":     ErrBadName,
		"11-20-26  07:15AM  1234 ..\\evil":                   ErrBadName,
	} {
		checkProblem(t, parseLIST(line+"\n", testNow, testZone), line, class)
	}
}

func checkProblem(t *testing.T, entries []Entry, line string, class error) {
	t.Helper()
	if class == nil {
		if len(entries) != 0 {
			t.Errorf("%q: got %+v, want nothing", line, entries)
		}
		return
	}
	if len(entries) != 1 || !errors.Is(entries[0].Problem, class) || entries[0].Path != "" || entries[0].Kind != Other {
		t.Errorf("%q: got %+v, want %v", line, entries, class)
	}
}

func TestLinesThatAreNotEntries(t *testing.T) {
	t.Parallel()
	mlsd := "type=cdir;modify=20261120071500; .\r\ntype=pdir; ..\r\ntype=dir; .\r\ntype=cdir; /in\r\n\r\n"
	if entries := parseMLSD(mlsd); len(entries) != 0 {
		t.Errorf("got %+v", entries)
	}
	list := "total 12\r\ndrwxr-xr-x 2 u g 4096 Nov 20 07:15 .\r\ndrwxr-xr-x 2 u g 4096 Nov 20 07:15 ..\r\n" +
		"11-20-26  07:15AM  <DIR>  .\r\n"
	if entries := parseLIST(list, testNow, testZone); len(entries) != 0 {
		t.Errorf("got %+v", entries)
	}
	if entries := parseLIST("insgesamt 12\n-rw-r--r-- 1 u g 1 Nov 20 07:15 total 12\n", testNow, testZone); len(entries) != 1 || entries[0].Name != "total 12" {
		t.Errorf("got %+v", entries)
	}
}

func TestListingThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, entries := range [][]Entry{
		parseMLSD("type=file;size=1; a.csv\r\ntype=file;size=1; employe"),
		parseLIST("-rw-r--r-- 1 u g 1 Nov 20 07:15 a.csv\r\n-rw-r--r-- 1 u g 1 Nov 20 07:15 employe", testNow, testZone),
	} {
		if len(entries) != 2 || entries[0].Problem != nil || !errors.Is(entries[1].Problem, ErrLostLines) {
			t.Errorf("got %+v", entries)
		}
	}
}

func TestNamesThatOnlyNLSTKnows(t *testing.T) {
	t.Parallel()
	entries := []Entry{{Name: "a"}, {Name: "b c"}}
	got := unlisted("a\r\n/in/b c\r\n./lost\r\n.hidden\r\n", entries)
	if fmt.Sprint(got) != "[lost]" {
		t.Errorf("got %q", got)
	}
}

// sound checks what must hold for whatever a server sends.
func sound(t *testing.T, e Entry) {
	t.Helper()
	if (e.Problem == nil) != (e.Path != "") {
		t.Fatalf("entry with a path and a problem, or neither: %+v", e)
	}
	if e.Problem != nil {
		if !errors.Is(e.Problem, ErrBadName) && !errors.Is(e.Problem, ErrLostLines) {
			t.Fatalf("problem without class: %+v", e)
		}
		return
	}
	if e.Path != e.Name || path.Clean(e.Path) != e.Path || strings.ContainsAny(e.Path, "/\\\r\n\x00") || isDots(e.Path) ||
		!utf8.ValidString(e.Path) || len(e.Path) > maxName || e.Size < -1 {
		t.Fatalf("unsafe entry: %+v", e)
	}
}

func FuzzMLSDLine(f *testing.F) {
	for _, line := range []string{"type=file;size=12;modify=20261120071500; a.csv", "type=OS.unix=slink:/x; l", "type=cdir; .", ";; =", " a"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for line := range lines(text) {
			if e, keep := parseMLSDLine(line); keep {
				sound(t, e)
			}
		}
	})
}

func FuzzListLine(f *testing.F) {
	for _, line := range []string{
		"-rw-r--r--   1 user  group      1234 Nov 20 07:15 a.csv", "lrwxrwxrwx 1 u g 4 Nov 20 2019 l -> t",
		"11-20-26  07:15AM       <DIR>          in", "-rw-r--r-- 1 u g 4 2026-11-20 07:15:30.5 +0100 full", "total 0", "- 1",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		count := 0
		for line := range lines(text) {
			count++
			if e := parseListLine(line, testNow, testZone); !isDots(e.Name) {
				sound(t, e)
			}
		}
		if got := len(parseLIST(text, testNow, testZone)); got > count+1 {
			t.Fatalf("%d entries from %d lines", got, count)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, name := range []string{"a.csv", "..", "a/b", "ü", "\xff", "a\r\nb", strings.Repeat("n", 256)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		sound(t, checked(Entry{Name: name, Size: -1, Kind: File}))
	})
}
