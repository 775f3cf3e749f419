package winrm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Event is what a script tells while it runs.
type Event struct {
	Type    string // "progress" or "log"
	Step    string // progress: what is being done
	Message string
	Done    int64  // progress: how much of Total is done, in the step's own unit
	Total   int64  // progress: 0 if not known
	Level   string // log: debug, info, warning or error, as the script says; "output" for what native programs print
}

const (
	// longestLine bounds one line of output; a result is one line.
	longestLine = 64 << 20
	// What native programs print is passed on as long as it is not too much.
	noiseLines   = 1000
	noiseColumns = 2000
)

// frame is one message of the bootstrap.
type frame struct {
	Type    string          `json:"type"`
	Step    string          `json:"step"`
	Message string          `json:"message"`
	Done    float64         `json:"done"`
	Total   float64         `json:"total"`
	Level   string          `json:"level"`
	Result  json.RawMessage `json:"result"`
	Extra   int             `json:"extra"`

	ErrorType string `json:"errorType"`
	Line      int    `json:"line"`
	File      string `json:"file"`
	Stack     string `json:"stack"`
	ID        string `json:"id"`
}

// frames reads a script's standard output: messages that carry the run's nonce, and between them the noise of native
// programs. It is an io.Writer, for output arrives in pieces that end anywhere.
type frames struct {
	marker  []byte // "##<nonce>:"
	clean   func(string) string
	on      func(Event)
	pending []byte
	noise   int
	tail    tail // the last lines that were no messages

	result  json.RawMessage
	failure *frame
}

func newFrames(nonce string, clean func(string) string, on func(Event)) *frames {
	return &frames{marker: []byte("##" + nonce + ":"), clean: clean, on: on}
}

func (f *frames) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte{'\n'})
		if len(f.pending)+len(line) > longestLine {
			return 0, fmt.Errorf("a line of output is longer than %d bytes", longestLine)
		}
		f.pending = append(f.pending, line...)
		if !found {
			return n, nil
		}
		if err := f.line(f.pending); err != nil {
			return 0, err
		}
		f.pending, p = f.pending[:0], rest
	}
}

// end handles a last line that was not ended.
func (f *frames) end() error { return f.line(f.pending) }

// noNonce marks what the bootstrap has to say before it knows the nonce: only that it failed.
var noNonce = []byte("##:")

// line reads one line. What a native program printed without ending its line may stand before a message.
func (f *frames) line(line []byte) error {
	line = bytes.TrimRight(line, "\r")
	before, text, found := bytes.Cut(line, f.marker)
	early := false
	if !found {
		if text, early = bytes.CutPrefix(line, noNonce); !early {
			f.printed(line)
			return nil
		}
		before = nil
	}
	f.printed(before)
	var message frame
	data, err := base64.StdEncoding.AppendDecode(nil, text)
	if err == nil {
		err = json.Unmarshal(data, &message)
	}
	switch {
	case early && (err != nil || message.Type != "error"):
		f.printed(line)
	case err != nil:
		return fmt.Errorf("a message of the script is damaged (%d bytes): %w", len(text), err)
	default:
		f.message(message)
	}
	return nil
}

func (f *frames) message(m frame) {
	switch m.Type {
	case "result":
		f.result = m.Result
		if m.Extra > 0 {
			f.tell(Event{Type: "log", Level: "warning",
				Message: fmt.Sprintf("the script returned %d objects; the last one counts", m.Extra+1)})
		}
	case "error":
		f.failure = &m
	case "progress", "log":
		f.tell(Event{Type: m.Type, Step: m.Step, Message: m.Message, Done: whole(m.Done), Total: whole(m.Total), Level: m.Level})
	}
}

func whole(x float64) int64 {
	if math.IsNaN(x) || math.Abs(x) > math.MaxInt64/2 {
		return 0
	}
	return int64(x)
}

func (f *frames) printed(line []byte) {
	text := strings.TrimSpace(strings.ToValidUTF8(string(line), "\uFFFD"))
	if text == "" {
		return
	}
	f.tail.add(text)
	if f.noise++; f.noise <= noiseLines {
		f.tell(Event{Type: "log", Level: "output", Message: fmt.Sprintf("%.*s", noiseColumns, text)})
	}
}

func (f *frames) tell(e Event) {
	if f.on == nil {
		return
	}
	e.Step, e.Message = f.clean(e.Step), f.clean(e.Message)
	f.on(e)
}

// tail keeps the last lines of a text, as much as an error may show.
type tail struct{ lines []string }

const (
	tailLines   = 20
	tailColumns = 400
)

func (t *tail) add(line string) {
	if len(t.lines) == tailLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, fmt.Sprintf("%.*s", tailColumns, line))
}

func (t *tail) String() string { return strings.Join(t.lines, "\n") }
