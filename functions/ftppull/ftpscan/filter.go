package ftpscan

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

// Filter says which files of a listing are wanted. Globs match the path below the source directory, without regard to
// case, and know `**`. A zero limit does not apply.
type Filter struct {
	Include, Exclude, Temporary Globs
	MinSize, MaxSize            int64
	MinAge, MaxAge              time.Duration
	DoneSuffix                  string // with it, a file counts as complete once its companion is there
}

// Globs are patterns of doublestar: * ? [a-z] {a,b} within a folder's name, ** across folders.
type Globs []string

// UnmarshalText reads globs separated by ";".
func (g *Globs) UnmarshalText(text []byte) error {
	globs, err := list(text, func(item string) (string, error) { return item, checkGlob(item) })
	*g = globs
	return err
}

// list reads the items of a setting separated by ";". Blank items do not count.
func list[T any](text []byte, read func(item string) (T, error)) ([]T, error) {
	var all []T
	for item := range strings.SplitSeq(string(text), ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		value, err := read(item)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, nil
}

func checkGlob(glob string) error {
	if !doublestar.ValidatePattern(glob) {
		return fmt.Errorf("%q is no glob: an unfinished [ or {", glob)
	}
	return nil
}

func matches(glob, name string) bool {
	return doublestar.MatchUnvalidated(strings.ToLower(glob), strings.ToLower(name))
}

func matchesAny(globs Globs, name string) bool {
	for _, glob := range globs {
		if matches(glob, name) {
			return true
		}
	}
	return false
}

// wants reports whether the file is to be taken at all, at the time given.
func (f Filter) wants(file drop.File, now time.Time) bool {
	age := now.Sub(file.ModTime)
	switch {
	case f.DoneSuffix != "" && strings.HasSuffix(file.Path, f.DoneSuffix),
		matchesAny(f.Temporary, path.Base(file.Path)),
		len(f.Include) > 0 && !matchesAny(f.Include, file.Path),
		matchesAny(f.Exclude, file.Path),
		f.MinSize > 0 && file.Size < f.MinSize,
		f.MaxSize > 0 && file.Size > f.MaxSize,
		f.MinAge > 0 && age < f.MinAge,
		f.MaxAge > 0 && age > f.MaxAge:
		return false
	}
	return true
}
