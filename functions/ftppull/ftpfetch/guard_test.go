package ftpfetch

import (
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

func rules(t *testing.T, text string) Rules {
	t.Helper()
	var r Rules
	if err := r.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func utf16(text string) []byte {
	out := []byte{0xff, 0xfe}
	for _, b := range []byte(text) {
		out = append(out, b, 0)
	}
	return out
}

func TestGuard(t *testing.T) {
	t.Parallel()
	guard := Guard{
		HoldEmpty: true, MaxShrinkPercent: 50,
		Headers:  rules(t, `hr/*.csv=^EmployeeID,`),
		Trailers: rules(t, `**/pay*.txt=^TRAILER\|\d+$`),
	}
	before := &drop.Delivered{Size: 100, Lines: 10, Text: true}
	lines := func(n int) []byte { return []byte(strings.Repeat("123456789\n", n)) }
	for _, row := range []struct {
		name     string
		path     string
		content  []byte
		previous *drop.Delivered
		want     string
	}{
		{"no history, no rule", "a.dat", lines(3), nil, ""},
		{"empty", "a.dat", nil, nil, "the file is empty"},
		{"half is allowed", "a.dat", lines(5), before, ""},
		{"less than half of the bytes", "a.dat", lines(4), before, "40 bytes, 100 were delivered last: 60 % less, 50 % are allowed"},
		{"less than half of the lines", "a.dat", []byte(strings.Repeat("x", 120) + "\n"), before, "1 lines, 10 were delivered last: 90 % less, 50 % are allowed"},
		{"binary has no lines", "a.dat", append(make([]byte, 120), '\n'), before, ""},
		{"grown", "a.dat", lines(900), before, ""},
		{"header there", "hr/e.csv", []byte("EmployeeID,Name\r\n1,x\r\n"), nil, ""},
		{"header there, byte order mark before it", "hr/e.csv", []byte("\xef\xbb\xbfEmployeeID,Name\n"), nil, ""},
		{"header there, UTF-16", "HR/E.CSV", utf16("EmployeeID,Name\r\n1,x\r\n"), nil, ""},
		{"header missing", "hr/e.csv", []byte("1,x\n"), nil, `the first line does not match "^EmployeeID,"`},
		{"header rule is for other files", "fin/e.csv", []byte("1,x\n"), nil, ""},
		{"trailer there, blank lines after it", "x/y/pay.txt", []byte("a\nTRAILER|7\n\n\r\n"), nil, ""},
		{"trailer there, UTF-16", "pay.txt", utf16("a\r\nTRAILER|7\r\n"), nil, ""},
		{"cut off", "pay.txt", []byte("a\nb\nTRAIL"), nil, `the last line does not match "^TRAILER\\|\\d+$": the file may be cut off`},
		{"trailer beyond the kept end", "pay.txt", append(lines(5000), "TRAILER|5000"...), nil, ""},
	} {
		file := drop.File{Path: row.path, Size: int64(len(row.content)), Previous: row.previous}
		tally := newTally()
		for chunk := range chunks(row.content, 7) {
			tally.add(chunk)
		}
		got := guard.early(file)
		if got == "" {
			got = guard.late(file, tally)
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func chunks(p []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 {
			k := min(n, len(p))
			if !yield(p[:k]) {
				return
			}
			p = p[k:]
		}
	}
}

func TestGuardOffAllowsEverything(t *testing.T) {
	t.Parallel()
	file := drop.File{Path: "a", Previous: &drop.Delivered{Size: 100, Lines: 10, Text: true}}
	if got := (Guard{}).early(file) + (Guard{}).late(file, newTally()); got != "" {
		t.Error(got)
	}
}

func TestRulesRefuse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ text, want string }{
		{"hr/*.csv", "wanted GLOB=REGEXP"},
		{"=x", "wanted GLOB=REGEXP"},
		{"a=(", "no regular expression"},
		{"[=x", "no glob"},
	} {
		var r Rules
		if err := r.UnmarshalText([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v, want %q", row.text, err, row.want)
		}
	}
}

func FuzzTallyIsTheSameInAnyPieces(f *testing.F) {
	f.Add([]byte("EmployeeID\n1\n"), 3, 1)
	f.Add(utf16("a\r\nb"), 1, 2)
	f.Add([]byte{}, 1, 1)
	f.Fuzz(func(t *testing.T, data []byte, n, cut int) {
		if n <= 0 || cut < 0 || cut > len(data) {
			return
		}
		whole := newTally()
		whole.add(data)
		first := newTally()
		for chunk := range chunks(data[:cut], n) {
			first.add(chunk)
		}
		state, err := first.save()
		if err != nil {
			t.Fatal(err)
		}
		second, err := state.restore()
		if err != nil {
			t.Fatal(err)
		}
		for chunk := range chunks(data[cut:], n) {
			second.add(chunk)
		}
		if whole.sumSHA256() != second.sumSHA256() || string(whole.sumMD5()) != string(second.sumMD5()) ||
			whole.lines != second.lines || whole.text != second.text || whole.firstLine() != second.firstLine() ||
			whole.lastLine() != second.lastLine() || whole.total != second.total {
			t.Errorf("in pieces of %d, saved after %d: %+v, want %+v", n, cut, second, whole)
		}
	})
}
