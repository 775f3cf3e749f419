package ftpfetch

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

// Guard says which files are not to be passed on without an operator's word. For a feed that is imported as the truth,
// a truncated file is the worst that can happen: every person missing from it would be deleted.
type Guard struct {
	HoldEmpty        bool
	MaxShrinkPercent int   // against the version delivered last, in bytes and, for text, in lines; 0 allows any
	Headers          Rules // the first line must match
	Trailers         Rules // the last line that is not blank must match
}

// Rule ties a regular expression to the files it is for.
type Rule struct {
	Files string // glob below the source directory, without regard to case
	Line  *regexp.Regexp
}

// Rules is the setting's form: several, separated by ";".
type Rules []Rule

// UnmarshalText reads "GLOB=REGEXP; …".
func (r *Rules) UnmarshalText(text []byte) error {
	var rules Rules
	for item := range strings.SplitSeq(string(text), ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		rule, err := parseRule(item)
		if err != nil {
			return err
		}
		rules = append(rules, rule)
	}
	*r = rules
	return nil
}

func parseRule(item string) (Rule, error) {
	glob, expr, found := strings.Cut(item, "=")
	if !found || glob == "" || expr == "" {
		return Rule{}, fmt.Errorf("%q is no rule; wanted GLOB=REGEXP, such as hr/*.csv=^EmployeeID", item)
	}
	if !doublestar.ValidatePattern(glob) {
		return Rule{}, fmt.Errorf("%q is no glob", glob)
	}
	line, err := regexp.Compile(expr)
	if err != nil {
		return Rule{}, fmt.Errorf("%q is no regular expression: %w", expr, err)
	}
	return Rule{Files: glob, Line: line}, nil
}

func (r Rule) wants(path string) bool {
	return doublestar.MatchUnvalidated(strings.ToLower(r.Files), strings.ToLower(path))
}

// early judges what is known before the content is read. The empty string means no objection.
func (g Guard) early(f drop.File) string {
	if g.HoldEmpty && f.Size == 0 {
		return "the file is empty"
	}
	if f.Previous == nil {
		return ""
	}
	return g.shrunk("bytes", f.Size, f.Previous.Size)
}

// late judges the content.
func (g Guard) late(f drop.File, t *tally) string {
	for _, rule := range g.Headers {
		if rule.wants(f.Path) && !rule.Line.MatchString(t.firstLine()) {
			return fmt.Sprintf("the first line does not match %q", rule.Line)
		}
	}
	for _, rule := range g.Trailers {
		if rule.wants(f.Path) && !rule.Line.MatchString(t.lastLine()) {
			return fmt.Sprintf("the last line does not match %q: the file may be cut off", rule.Line)
		}
	}
	if f.Previous != nil && f.Previous.Text && t.text {
		return g.shrunk("lines", t.lines, f.Previous.Lines)
	}
	return ""
}

func (g Guard) shrunk(unit string, now, before int64) string {
	if g.MaxShrinkPercent == 0 || before == 0 || now >= before {
		return ""
	}
	if percent := 100 * float64(before-now) / float64(before); percent > float64(g.MaxShrinkPercent) {
		return fmt.Sprintf("%d %s, %d were delivered last: %.0f %% less, %d %% are allowed", now, unit, before, percent, g.MaxShrinkPercent)
	}
	return ""
}
