package customhandler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// The host reads a handler's streams line by line: standard output as information, standard error as errors, or as warnings
// where the line contains "warn" in any case (recorded in contracts, logs.json). So each record is one line of JSON, and its
// level picks the stream: a warning says "warn", an error must not.

const (
	maxValue = 8 << 10  // bytes of one string in a record
	maxLine  = 64 << 10 // bytes of a whole record; of a longer one only the message is kept
)

// console writes records to the two streams that the host reads.
type console struct {
	out, err io.Writer
	level    slog.LevelVar

	mu      sync.Mutex // held while one record is encoded and written
	scrub   scrubber
	current slog.Level
	tee     *transcript
	long    int // length of a record that was too long, else 0
}

func newConsole(stdout, stderr io.Writer) *console { return &console{out: stdout, err: stderr} }

// logger returns the logger whose records go to the console, each stamped with the app's name.
func (c *console) logger(app string) *slog.Logger {
	encoder := slog.NewJSONHandler(c, &slog.HandlerOptions{Level: &c.level, ReplaceAttr: tidy})
	return slog.New(&logHandler{console: c, encoder: encoder}).With("app", app)
}

// keepOut makes the console hide secrets from now on.
func (c *console) keepOut(s scrubber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scrub = s
}

func (c *console) record(ctx context.Context, encoder slog.Handler, r slog.Record, tee *transcript) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.tee, c.long = r.Level, tee, 0
	err := encoder.Handle(ctx, r)
	if err == nil && c.long > 0 {
		short := slog.NewRecord(r.Time, r.Level, clip(r.Message, maxValue), r.PC)
		short.AddAttrs(slog.Int("bytesCut", c.long))
		err = encoder.Handle(ctx, short)
	}
	return err
}

// Write takes one encoded record from slog's JSON handler; record holds the lock.
func (c *console) Write(encoded []byte) (int, error) {
	line := c.scrub.json(bytes.TrimRight(encoded, "\n"))
	if len(line) > maxLine && c.long == 0 {
		c.long = len(line)
		return len(encoded), nil
	}
	to := c.out
	switch {
	case c.current >= slog.LevelError:
		to, line = c.err, hideWarn(line)
	case c.current >= slog.LevelWarn:
		to = c.err
	}
	c.tee.add(line)
	_, _ = to.Write(append(line, '\n')) // a host that no longer reads is noticed elsewhere
	return len(encoded), nil
}

// logHandler stamps records with their invocation: the one it was made for, else the one that the context carries.
type logHandler struct {
	console *console
	encoder slog.Handler
	inv     *invocation
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.console.level.Level()
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	inv := h.inv
	if inv == nil {
		if inv = invocationOf(ctx); inv != nil {
			r = r.Clone()
			r.AddAttrs(inv.attrs()...)
		}
	}
	var tee *transcript
	if inv != nil {
		tee = inv.transcript
	}
	return h.console.record(ctx, h.encoder, r, tee)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.console, h.encoder.WithAttrs(attrs), h.inv}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.console, h.encoder.WithGroup(name), h.inv}
}

// tidy writes levels in lower case, durations as text, and cuts long strings.
func tidy(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cutLong(a.Value.String()))
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case slog.Level:
			a.Value = slog.StringValue(strings.ToLower(v.String()))
		case error:
			a.Value = slog.StringValue(cutLong(v.Error()))
		}
	}
	return a
}

func cutLong(text string) string {
	if len(text) <= maxValue {
		return text
	}
	return fmt.Sprintf("%s (%d bytes cut)", clip(text, maxValue), len(text)-maxValue)
}

// hideWarn escapes the first letter of every "warn" in a line of JSON, in any case, so that the host does not take an error
// for a warning. The letters can only stand inside JSON strings, where the escape means the same.
func hideWarn(line []byte) []byte {
	i := indexFold(line, "warn")
	if i < 0 {
		return line
	}
	var out []byte
	for ; i >= 0; i = indexFold(line, "warn") {
		out = append(out, line[:i]...)
		out = fmt.Appendf(out, `\u%04x`, line[i])
		line = line[i+1:]
	}
	return append(out, line...)
}

// indexFold finds lower, a lower-case ASCII word, in text in any case.
func indexFold(text []byte, lower string) int {
	for i := 0; i+len(lower) <= len(text); i++ {
		if text[i]|0x20 == lower[0] && strings.EqualFold(string(text[i:i+len(lower)]), lower) {
			return i
		}
	}
	return -1
}

// scrubber takes secrets out of text. The zero value knows no secrets, but still finds signatures and keys by their look.
type scrubber struct{ secrets []settings.Secret }

func (s scrubber) text(text string) string {
	if !s.suspect([]byte(text)) {
		return text
	}
	return settings.RedactText(text, s.secrets)
}

// json cleans valid JSON string by string, so that it stays valid and no escape hides a secret.
func (s scrubber) json(raw []byte) []byte {
	var out []byte
	kept := 0 // raw[:kept] is in out
	for i := 0; i < len(raw); {
		if raw[i] != '"' {
			i++
			continue
		}
		end := skipString(raw, i)
		if text := unquote(raw[i:end]); s.suspect(text) {
			clean, _ := marshal(settings.RedactText(string(text), s.secrets)) // a string always encodes
			out = append(append(out, raw[kept:i]...), clean...)
			kept = end
		}
		i = end
	}
	if kept == 0 {
		return raw
	}
	return append(out, raw[kept:]...)
}

// suspect tells quickly that text cannot hold anything to hide, which is the case of nearly every line.
func (s scrubber) suspect(text []byte) bool {
	for _, secret := range s.secrets {
		if bytes.Contains(text, []byte(secret.Reveal())) {
			return true
		}
	}
	return bytes.IndexByte(text, '=') >= 0 || bytes.Contains(text, []byte("://")) || bytes.Contains(text, []byte("%3")) ||
		indexFold(text, "authorization") >= 0
}

// transcript keeps the log of one run for the operator who asked for it. A nil transcript keeps nothing.
type transcript struct {
	mu    sync.Mutex
	lines []json.RawMessage
	size  int
	cut   int
}

const maxTranscript = 256 << 10 // bytes of log kept for one run

func (t *transcript) add(line []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size+len(line) > maxTranscript {
		t.cut++
		return
	}
	t.size += len(line)
	t.lines = append(t.lines, json.RawMessage(bytes.Clone(line)))
}

// snapshot returns the lines so far and how many did not fit.
func (t *transcript) snapshot() ([]json.RawMessage, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]json.RawMessage(nil), t.lines...), t.cut
}
