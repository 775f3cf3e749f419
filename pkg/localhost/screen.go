package localhost

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// describe says what a function waits for.
func (a *app) describe(f *function) Function {
	d := Function{Name: f.name, Disabled: f.disabled, Problem: f.problem}
	switch {
	case f.timer != nil:
		d.Trigger, d.Detail = "timer", f.timer.text
		at := time.Now()
		for range 3 {
			if at = f.timer.schedule.Next(at, a.local); at.IsZero() {
				break
			}
			d.Next = append(d.Next, at)
		}
	case f.queue != nil:
		d.Trigger, d.Detail = "queue", f.queue.queue
	case f.http != nil:
		d.Trigger, d.URL = "http", a.invokeURL(f)
		d.Detail = strings.ToUpper(strings.Join(f.http.methods, ","))
		if d.Detail == "" {
			d.Detail = "any method"
		}
	}
	return d
}

// printScreen says what listens where and what happens next.
func (h *Host) printScreen() {
	w := tabwriter.NewWriter(h.options.Out, 0, 0, 2, ' ', 0)
	for _, app := range h.Apps() {
		fmt.Fprintf(w, "\n%s  %s  %s\n", app.Name, app.URL, app.Root)
		for _, f := range app.Functions {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", f.Name, f.Trigger, f.Detail, remark(f))
		}
	}
	if h.keys.enabled {
		fmt.Fprintf(w, "\nkeys are asked for; they are in %s\n", h.options.KeysFile)
	}
	w.Flush()
	io.WriteString(h.options.Out, "\n")
}

func remark(f Function) string {
	switch {
	case f.Problem != nil:
		return "DOES NOT RUN: " + f.Problem.Error()
	case f.Disabled:
		return "disabled by a setting"
	case f.Trigger == "http":
		return f.URL
	}
	var times []string
	for _, at := range f.Next {
		times = append(times, at.Format("Mon 2006-01-02 15:04:05 MST"))
	}
	if len(times) == 0 {
		return ""
	}
	return "next " + strings.Join(times, ", ")
}
