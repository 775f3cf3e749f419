package mim

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed drift.html.tmpl
var driftTemplate string

// HTML is the report as a page: one file without scripts, for phones, screens and paper, in light and dark.
func (r Report) HTML() ([]byte, error) {
	page, err := template.New("drift").Funcs(template.FuncMap{"bytes": humanBytes, "anchor": anchor, "plural": plural, "told": told}).Parse(driftTemplate)
	if err != nil {
		return nil, fmt.Errorf("write drift page: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, r.page()); err != nil {
		return nil, fmt.Errorf("write drift page: %w", err)
	}
	return b.Bytes(), nil
}

// page is a report in the order in which it is read: what is dangerous, then everything by place.
type page struct {
	Report
	Title  string
	Danger []Change
	Areas  []areaOfPage
	Counts []count
}

type areaOfPage struct {
	Name    string
	Objects []objectOfPage
	Changes int
}

type objectOfPage struct {
	Name    string
	Changes []Change
}

type count struct {
	Severity Severity
	N        int
	Word     string
}

func (r Report) page() page {
	p := page{Report: r, Title: "No change"}
	if n := len(r.Changes); n > 0 {
		p.Title = plural(n, "change", "changes")
	}
	for _, c := range []count{{Danger, 0, "dangerous"}, {Warning, 0, "to look at"}, {Notice, 0, "to know"}} {
		if c.N = r.Count(c.Severity); c.N > 0 {
			p.Counts = append(p.Counts, c)
		}
	}
	for _, c := range r.Changes {
		if c.Severity == Danger {
			p.Danger = append(p.Danger, c)
		}
	}
	for _, name := range areas {
		area := areaOfPage{Name: name}
		for _, c := range r.Changes {
			if c.Area == name && c.Severity != Danger {
				area.add(c)
			}
		}
		if area.Changes > 0 {
			p.Areas = append(p.Areas, area)
		}
	}
	return p
}

// add puts a change to those of the same object.
func (a *areaOfPage) add(c Change) {
	a.Changes++
	for i := range a.Objects {
		if a.Objects[i].Name == c.Object {
			a.Objects[i].Changes = append(a.Objects[i].Changes, c)
			return
		}
	}
	a.Objects = append(a.Objects, objectOfPage{c.Object, []Change{c}})
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// anchor makes an id of a heading.
func anchor(s string) string { return strings.ReplaceAll(strings.ToLower(s), " ", "-") }

// humanBytes is a size in the unit that fits.
func humanBytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// told reports whether a change's values say more than the place does: what was added under its own name needs no second mention.
func told(c Change) bool {
	value := c.Before + c.After
	return value != "" && (len(c.Path) == 0 || !strings.HasSuffix(c.Path[len(c.Path)-1], value))
}
