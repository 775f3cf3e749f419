package settings

import (
	"slices"
	"strings"
	"unicode"
)

// misspelt finds variables that were most likely meant to be settings of this app: a name close to a setting's, or a name of
// the app's own family (FTP and a further word) that is cut off or goes on too long. Other names of the family are somebody
// else's: a script's that the app replaces. Values are not shown: one may be a password.
func misspelt(fields []field, environ []string) Problems {
	known := make(map[string]bool, len(fields))
	families := map[string]bool{}
	for _, f := range fields {
		known[strings.ToLower(f.Name)] = true
		if family := familyOf(f.Name); family != "" {
			families[family] = true
		}
	}
	var problems Problems
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if known[strings.ToLower(name)] || strings.TrimSpace(value) == "" {
			continue
		}
		hint := ""
		if meant, ok := nearest(fields, name); ok {
			hint = "did you mean " + meant + "?"
		} else if inFamily(name, families) {
			hint = begins(fields, name)
		}
		if hint != "" {
			problems = append(problems, Problem{Setting: name, Got: Redacted, Want: "a setting that exists", Hint: hint})
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Setting, b.Setting) })
	return problems
}

// familyOf is the run of capitals that starts a name such as FTPServer or MIMSyncCredUser, without the one that starts the
// next word; names of another form (FTP_PROXY, WEBSITE_TIME_ZONE, PATH) belong to no family.
func familyOf(name string) string {
	i := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsUpper(r) })
	if i < 3 || !unicode.IsLower(rune(name[i])) {
		return ""
	}
	return name[:i-1]
}

// inFamily tells whether a name is a family's and a further word in the same style.
func inFamily(name string, families map[string]bool) bool {
	if strings.IndexFunc(name, unicode.IsLower) < 0 || letters(name) != strings.ToLower(name) {
		return false
	}
	for family := range families {
		if rest, ok := strings.CutPrefix(name, family); ok && rest != "" && unicode.IsUpper(rune(rest[0])) {
			return true
		}
	}
	return false
}

// begins names the setting that starts like name, or that name starts with; empty when there is none.
func begins(fields []field, name string) string {
	for _, f := range fields {
		if a, b := letters(f.Name), letters(name); strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
			return "did you mean " + f.Name + "?"
		}
	}
	return ""
}

// nearest finds the setting whose name, case and punctuation aside, is at most two slips away (one for a short name).
func nearest(fields []field, name string) (string, bool) {
	best, slips := "", 3
	for _, f := range fields {
		wanted := letters(f.Name)
		limit := 2
		if len(wanted) < 8 {
			limit = 1
		}
		if d := distance(wanted, letters(name)); d <= limit && d < slips {
			best, slips = f.Name, d
		}
	}
	return best, best != ""
}

func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// distance counts the slips between two names: a letter too many, too few, wrong, or swapped with its neighbour
// (optimal string alignment).
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
