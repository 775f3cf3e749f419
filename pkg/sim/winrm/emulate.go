package simwinrm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf16"
)

// Exit codes that scripts and their runner agree on.
const (
	ExitOK           = 0
	ExitPartial      = 10
	ExitFailed       = 20
	ExitPrecondition = 30
)

// Hash identifies the text of a script, as the payload does: SHA-256 in hexadecimal.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

type emulation struct {
	sha256 string
	run    func(ctx context.Context, c *Call) error
}

// Emulate has run stand for a script where there is no real PowerShell. hash is the Hash of the text that run was written
// for: a script that has changed since fails with a message that says so.
func (s *Server) Emulate(name, hash string, run func(ctx context.Context, c *Call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emulations[name] = emulation{hash, run}
}

// Call is one run of an emulated script.
type Call struct {
	Params json.RawMessage
	User   string
	Drive  *Drive
	HTTP   *http.Client // the server's way out, such as to storage

	server  *Server
	process *Process
	name    string // of the script
	nonce   string
	exit    uint32
	done    bool // has a result
}

// Decode reads the parameters. A name that v does not have is an error, as it is for a script with CmdletBinding.
func (c *Call) Decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(c.Params))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &ScriptError{Message: err.Error(), Type: "System.Management.Automation.ParameterBindingException", Line: 1}
	}
	return nil
}

// Progress reports how far the script is.
func (c *Call) Progress(step, message string, done, total int64) error {
	return c.frame(map[string]any{"type": "progress", "step": step, "message": message, "done": done, "total": total})
}

// Log writes a line for the log of the caller; level is debug, info, warning or error.
func (c *Call) Log(level, message string) error {
	return c.frame(map[string]any{"type": "log", "level": level, "message": message})
}

// Result writes the one result object.
func (c *Call) Result(v any) error {
	c.done = true
	return c.frame(map[string]any{"type": "result", "result": v, "extra": 0})
}

// Noise writes what a native tool would print between the frames.
func (c *Call) Noise(text string) { io.WriteString(c.process.Stdout, text) }

// Exit chooses the exit code of a script that returns nil.
func (c *Call) Exit(code uint32) { c.exit = code }

// Detach runs work that outlives the command, the shell and the connection, as a scheduled task does. Its ctx ends with
// the server.
func (c *Call) Detach(work func(ctx context.Context)) error {
	s := c.server
	if err := s.begin(&s.working); err != nil {
		return err
	}
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	go func() {
		defer s.processEnded()
		work(s.life)
	}()
	return nil
}

// ScriptError is what a script throws.
type ScriptError struct {
	Message string
	Type    string // .NET type, default System.Management.Automation.RuntimeException
	Stack   string
	Line    int
	ID      string // chosen by the script
}

func (e *ScriptError) Error() string { return e.Message }

func (c *Call) fail(err error) error {
	var thrown *ScriptError
	if !errors.As(err, &thrown) {
		thrown = &ScriptError{Message: err.Error()}
		var windows *WinError
		if errors.As(err, &windows) {
			thrown.Type = windows.dotNet()
		}
	}
	if thrown.Type == "" {
		thrown.Type = "System.Management.Automation.RuntimeException"
	}
	return c.frame(map[string]any{"type": "error", "message": thrown.Message, "errorType": thrown.Type, "line": thrown.Line,
		"file": c.name, "stack": thrown.Stack, "id": thrown.ID})
}

// frame writes one line: the nonce, and base64 of JSON in ASCII.
func (c *Call) frame(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	_, err = fmt.Fprintf(c.process.Stdout, "##%s:%s\r\n", c.nonce, base64.StdEncoding.EncodeToString([]byte(ascii(data))))
	return err
}

// ascii escapes everything else in JSON, as the runner on the server does.
func ascii(data []byte) string {
	var b strings.Builder
	for _, r := range string(data) {
		if r < 0x7f {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// payload is what the runner gets on stdin.
type payload struct {
	Version int             `json:"version"`
	Nonce   string          `json:"nonce"`
	Name    string          `json:"name"`
	SHA256  string          `json:"sha256"`
	Script  string          `json:"script"`
	Params  json.RawMessage `json:"params"`
}

const (
	maxPayloadLine = 256 << 20
	maxPayload     = 512 << 20
)

var noncePattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// decodePayload reads the line of base64(gzip(JSON)) and checks the script's hash. What it can read of a bad payload it
// returns too.
func decodePayload(r io.Reader) (*payload, error) {
	p := &payload{}
	line, err := bufio.NewReader(io.LimitReader(r, maxPayloadLine)).ReadString('\n')
	if err != nil && err != io.EOF {
		return p, fmt.Errorf("read the payload: %w", err)
	}
	packed, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(line)))
	if err != nil {
		return p, fmt.Errorf("unpack the payload: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(packed, maxPayload))
	if err != nil {
		return p, fmt.Errorf("unpack the payload: %w", err)
	}
	in := &payload{}
	if err := json.Unmarshal(data, in); err != nil {
		return p, fmt.Errorf("read the payload: %w", err)
	}
	if !noncePattern.MatchString(in.Nonce) {
		return p, errors.New("the nonce of the payload is not 32 hexadecimal digits")
	}
	if in.Version != 1 {
		return in, fmt.Errorf("the payload has version %d; this runner knows 1", in.Version)
	}
	if in.SHA256 != Hash(in.Script) {
		return in, fmt.Errorf("the script %s did not arrive whole: its hash differs", in.Name)
	}
	return in, nil
}

// emulatedPowerShell does what the runner's bootstrap does, with the emulation of the script.
func (s *Server) emulatedPowerShell(ctx context.Context, p *Process) uint32 {
	if !strings.Contains(strings.ToLower(p.CommandLine), "-encodedcommand") {
		fmt.Fprintf(p.Stderr, "the simulator has no PowerShell for: %.200s\r\n", p.CommandLine)
		return 1
	}
	in, err := decodePayload(p.Stdin)
	c := &Call{Params: in.Params, User: p.User, Drive: s.drive, server: s, process: p, name: in.Name, nonce: in.Nonce}
	if err != nil {
		c.fail(err)
		return ExitPrecondition
	}
	s.mu.Lock()
	p.run.Name, p.run.Script, p.run.Params = in.Name, in.Script, in.Params
	e, known := s.emulations[in.Name]
	c.HTTP = &http.Client{Transport: s.egress}
	s.mu.Unlock()
	switch {
	case !known:
		err = fmt.Errorf("the simulator has no emulation of %s", in.Name)
	case e.sha256 != in.SHA256:
		err = fmt.Errorf("the emulation of %s is out of date: the script has changed (SHA-256 %s); adapt the emulation, then its hash", in.Name, in.SHA256)
	default:
		err = e.run(ctx, c)
	}
	if err == nil && !c.done {
		err = &ScriptError{Message: "The script returned nothing.", ID: "no-result"}
	}
	if err != nil {
		c.fail(err)
		return ExitFailed
	}
	return c.exit
}

// Egress opens or shuts the server's way out, such as to storage.
func (s *Server) Egress(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.egress.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	s.egress = noEgress{}
	if open {
		s.egress = &http.Transport{}
	}
}

type noEgress struct{}

func (noEgress) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unable to connect to the remote server")
}
