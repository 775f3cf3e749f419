// Command testreport reads what `go test -json` writes and says what was tested: a line for each package, the output of
// every test that failed, and at the end the number of tests passed, failed and skipped.
//
// It fails when a test or a package failed, when nothing was tested, and, with CI=true, when a test was skipped: what must
// run there, must run. The tests named as arguments are excused, because they need what cannot be installed; the report
// names them all the same.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := report(os.Stdin, os.Stdout, os.Getenv("CI") == "true", os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, "make test:", err)
		os.Exit(1)
	}
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of a package that does not build
	Test       string
	Elapsed    float64
	Output     string
}

// key names what an event belongs to: a test, a package, or a build.
func (e event) key() string { return e.Package + e.ImportPath + " " + e.Test }

// tests counts what ran, subtests too.
type tests struct {
	passed, failed, skipped int
}

type reporter struct {
	out      io.Writer
	output   map[string]*strings.Builder // of what has not ended yet
	each     map[string]*tests           // by package
	all      tests
	packages int
	broken   []string // packages and tests that failed
	skips    []string
	excused  []string // tests that may be skipped
}

func report(in io.Reader, out io.Writer, strict bool, excused ...string) error {
	r := reporter{out: out, excused: excused, output: map[string]*strings.Builder{}, each: map[string]*tests{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Action == "" {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		r.take(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the test output: %w", err)
	}
	return r.conclude(strict)
}

func (r *reporter) take(e event) {
	switch e.Action {
	case "output", "build-output":
		if r.output[e.key()] == nil {
			r.output[e.key()] = &strings.Builder{}
		}
		r.output[e.key()].WriteString(e.Output)
	case "build-fail":
		r.fail(e, e.ImportPath+" does not build")
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.packageEnds(e)
		} else {
			r.testEnds(e)
		}
	}
}

func (r *reporter) testEnds(e event) {
	if r.each[e.Package] == nil {
		r.each[e.Package] = &tests{}
	}
	for _, count := range []*tests{r.each[e.Package], &r.all} {
		switch e.Action {
		case "pass":
			count.passed++
		case "fail":
			count.failed++
		case "skip":
			count.skipped++
		}
	}
	switch e.Action {
	case "fail":
		r.fail(e, e.Package+" "+e.Test)
	case "skip":
		if slices.Contains(r.excused, e.Test) {
			fmt.Fprintf(r.out, "not run here: %s %s: %s\n", e.Package, e.Test, r.reason(e))
			break
		}
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, r.reason(e)))
	}
	delete(r.output, e.key())
}

func (r *reporter) packageEnds(e event) {
	count := r.each[e.Package]
	switch {
	case e.Action == "fail":
		name := e.Package
		if count != nil && count.failed > 0 {
			name = "" // its tests say it already
		}
		r.fail(e, name)
		fmt.Fprintf(r.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	case count != nil:
		r.packages++
		fmt.Fprintf(r.out, "ok    %s  %.1fs  %d tests\n", e.Package, e.Elapsed, count.passed)
	}
	delete(r.output, e.key())
}

func (r *reporter) fail(e event, name string) {
	if name != "" {
		r.broken = append(r.broken, name)
	}
	if text := r.output[e.key()]; text != nil {
		io.WriteString(r.out, text.String())
	}
}

// reason is the line that a skipped test gave.
func (r *reporter) reason(e event) string {
	text := r.output[e.key()]
	if text == nil {
		return "no reason given"
	}
	for line := range strings.Lines(text.String()) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}

func (r *reporter) conclude(strict bool) error {
	for _, skip := range r.skips {
		fmt.Fprintln(r.out, "skipped:", skip)
	}
	for _, name := range r.broken {
		fmt.Fprintln(r.out, "failed:", name)
	}
	fmt.Fprintf(r.out, "%d packages: %d tests passed, %d failed, %d skipped\n", r.packages, r.all.passed, r.all.failed, r.all.skipped)
	switch {
	case len(r.broken) > 0:
		return errors.New("not everything passed")
	case r.all.passed == 0:
		return errors.New("nothing was tested")
	case strict && len(r.skips) > 0:
		return errors.New("tests were skipped, and with CI=true nothing may be: install what they ask for")
	}
	return nil
}
