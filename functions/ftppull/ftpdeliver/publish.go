package ftpdeliver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
)

// Rule says which file a management agent reads under which name.
type Rule struct {
	Files  string // glob below the source directory, without regard to case
	Target string // file on the server
}

// Rules is the setting's form: several, separated by ";".
type Rules []Rule

// UnmarshalText reads "GLOB=C:\…\file.csv; …".
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
		for _, other := range rules {
			if strings.EqualFold(other.Target, rule.Target) {
				return fmt.Errorf("%q is named twice: one file cannot come from two", rule.Target)
			}
		}
		rules = append(rules, rule)
	}
	*r = rules
	return nil
}

func parseRule(item string) (Rule, error) {
	glob, target, found := strings.Cut(item, "=")
	glob, target = strings.TrimSpace(glob), strings.ReplaceAll(strings.TrimSpace(target), "/", `\`)
	if !found || glob == "" || target == "" {
		return Rule{}, fmt.Errorf(`%q is no rule; wanted GLOB=FILE, such as hr/*.csv=C:\MaData\HR\hr.csv`, item)
	}
	if !doublestar.ValidatePattern(glob) {
		return Rule{}, fmt.Errorf("%q is no glob", glob)
	}
	if err := drop.CheckWindowsFolder(target); err != nil {
		return Rule{}, err
	}
	if len(target) == 3 || strings.HasSuffix(target, `\`) {
		return Rule{}, fmt.Errorf("%q is a folder; wanted a file", target)
	}
	return Rule{Files: glob, Target: target}, nil
}

func (r Rule) wants(path string) bool {
	return doublestar.MatchUnvalidated(strings.ToLower(r.Files), strings.ToLower(path))
}

// Published is which version lies under a target.
type Published struct {
	Path     string    `json:"path"`
	ModTime  time.Time `json:"modTime"` // of the source
	SHA256   string    `json:"sha256"`
	Manifest string    `json:"manifest"`
}

// publishedVersion is the version of Published in its record.
const publishedVersion = 1

// publish puts the newest file of each rule in its target's place.
func (j *job) publish(ctx context.Context) error {
	for _, rule := range j.Config.Publish {
		var wanted []file
		for _, f := range j.there {
			if rule.wants(f.entry.Path) {
				wanted = append(wanted, f)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		newest := slices.MaxFunc(wanted, func(a, b file) int {
			return cmp.Or(a.entry.ModTime.Compare(b.entry.ModTime), strings.Compare(a.entry.Path, b.entry.Path))
		})
		if err := j.publishFile(ctx, rule.Target, newest); err != nil {
			return fmt.Errorf("publish %q as %s: %w", newest.entry.Path, rule.Target, err)
		}
	}
	return nil
}

// publishFile puts one file in its target's place, unless a newer version was: messages may overtake one another. An operator who
// orders the delivery of an older manifest by hand means it.
func (j *job) publishFile(ctx context.Context, target string, f file) error {
	sum := sha256.Sum256([]byte(strings.ToLower(target)))
	record := cursor.Open[Published](j.State, "publish-"+hex.EncodeToString(sum[:8]), publishedVersion)
	locked, lock, err := record.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock(context.WithoutCancel(ctx))
	old, err := record.Load(locked)
	if err != nil {
		return err
	}
	if last := old.Value; last.ModTime.After(f.entry.ModTime) && !j.byHand {
		customhandler.Log(ctx).Warn("not published: a newer version was", "file", f.entry.Path, "modified", f.entry.ModTime,
			"target", target, "newer", last.Path, "newerModified", last.ModTime, "do", "deliver its manifest by hand if it is to replace the newer one")
		return nil
	}
	a, err := j.ask(locked, PublishScript(), PublishParams{Source: f.Path, Target: target, Sha256: f.SHA256})
	if err != nil {
		return errors.Join(err, context.Cause(locked))
	}
	if a.Outcome == published {
		j.report.Published++
	}
	_, err = record.Swap(locked, old, Published{Path: f.entry.Path, ModTime: f.entry.ModTime, SHA256: f.SHA256, Manifest: j.manifest.Name()})
	return err
}
