package localhost

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// console writes log records as lines for people: time, level, app/function, message, other attributes.
type console struct {
	mu    *sync.Mutex
	out   io.Writer
	attrs []slog.Attr
}

func newConsole(out io.Writer) *console { return &console{mu: new(sync.Mutex), out: out} }

func (c *console) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (c *console) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &console{c.mu, c.out, append(c.attrs[:len(c.attrs):len(c.attrs)], attrs...)}
}

// WithGroup is not needed by this package's records.
func (c *console) WithGroup(string) slog.Handler { return c }

func (c *console) Handle(_ context.Context, r slog.Record) error {
	var app, function string
	var rest strings.Builder
	add := func(a slog.Attr) bool {
		switch a.Key {
		case "app":
			app = a.Value.String()
		case "function":
			function = "/" + a.Value.String()
		case "category":
		default:
			fmt.Fprintf(&rest, "  %s=%s", a.Key, a.Value)
		}
		return true
	}
	for _, a := range c.attrs {
		add(a)
	}
	r.Attrs(add)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := fmt.Fprintf(c.out, "%s %-5s %s%s  %s%s\n", r.Time.Format("15:04:05.000"), r.Level, app, function, r.Message, rest.String())
	return err
}
