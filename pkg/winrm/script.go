package winrm

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// Script is a PowerShell script, usually embedded by the package that owns it. It must be ASCII, for Windows PowerShell 5.1,
// with a [CmdletBinding()] param block (without it an unknown parameter is ignored in silence), and return one object.
//
// Parameters arrive as JSON makes them: numbers, strings, booleans, arrays and objects with properties. A string that looks
// like a time may arrive as a DateTime, depending on the version: send times as seconds.
type Script struct {
	Name string // such as "deliver.ps1": what errors call it
	Text string
}

var scriptName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*\.ps1$`)

func (s Script) check() error {
	if !scriptName.MatchString(s.Name) {
		return fmt.Errorf("the script's name is %.40q: want letters and digits, and .ps1", s.Name)
	}
	if strings.TrimSpace(s.Text) == "" {
		return fmt.Errorf("the script is empty")
	}
	for i := range len(s.Text) {
		if s.Text[i] >= 0x80 {
			return fmt.Errorf("line %d of the script is not ASCII: PowerShell takes some such characters for quotes or dashes",
				1+strings.Count(s.Text[:i], "\n"))
		}
	}
	return nil
}

//go:embed bootstrap.ps1
var bootstrap string

// longestCommand is what cmd.exe, through which Windows starts the command, can take.
const longestCommand = 8191

// commandLine is the same for every script: nothing that differs, and nothing secret, stands in a command line.
var commandLine = sync.OnceValue(func() string {
	return "powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -EncodedCommand " +
		encodeCommand(minify(bootstrap))
})

// minify drops comment lines, indentation and empty lines.
func minify(script string) string {
	var lines []string
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// encodeCommand is base64 of UTF-16LE, as -EncodedCommand wants it.
func encodeCommand(script string) string {
	var data []byte
	for _, unit := range utf16.Encode([]rune(script)) {
		data = append(data, byte(unit), byte(unit>>8))
	}
	return base64.StdEncoding.EncodeToString(data)
}

// task is one script with its parameters, ready to be sent.
type task struct {
	nonce   string
	input   []byte // one line for the bootstrap
	secrets []settings.Secret
}

func newTask(script Script, params any) (*task, error) {
	if err := script.check(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	if string(data) == "null" {
		data = []byte("{}")
	}
	if data[0] != '{' {
		return nil, fmt.Errorf("encode parameters: they make no JSON object, but %T does not have names", params)
	}
	t := &task{nonce: newNonce(), secrets: secretsIn(data)}
	if t.input, err = pack(script, t.nonce, data); err != nil {
		return nil, fmt.Errorf("encode script: %w", err)
	}
	return t, nil
}

func newNonce() string {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	return hex.EncodeToString(nonce)
}

// pack makes one line for the bootstrap. The parameters, which may be long, are JSON already and go in as they are.
func pack(script Script, nonce string, params []byte) ([]byte, error) {
	hash := sha256.Sum256([]byte(script.Text))
	head, err := json.Marshal(map[string]any{"version": 1, "nonce": nonce, "name": script.Name,
		"sha256": hex.EncodeToString(hash[:]), "script": script.Text})
	if err != nil {
		return nil, err
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(head[:len(head)-1]) // a buffer takes everything
	w.Write([]byte(`,"params":`))
	w.Write(params)
	w.Write([]byte("}"))
	w.Close()
	return append(base64.StdEncoding.AppendEncode(nil, zipped.Bytes()), '\n'), nil
}

// longestSecret is from where on a parameter is a file, not a secret.
const longestSecret = 64 << 10

var secretName = regexp.MustCompile(`(?i)password|passwd|pwd|secret|token|credential|signature|sas|key$`)

// secretsIn finds the parameters that must not be seen in an error or a log, even where the script prints them: by their
// name, or because they are links with a signature.
func secretsIn(params []byte) []settings.Secret {
	var top map[string]json.RawMessage
	if json.Unmarshal(params, &top) != nil {
		return nil
	}
	var found []settings.Secret
	var walk func(name string, value any)
	walk = func(name string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				walk(key, inner)
			}
		case []any:
			for _, inner := range value {
				walk(name, inner)
			}
		case string:
			if secretName.MatchString(name) || strings.Contains(value, "sig=") {
				found = append(found, settings.NewSecret(value))
			}
		}
	}
	for name, text := range top {
		var value any
		if len(text) <= longestSecret && json.Unmarshal(text, &value) == nil {
			walk(name, value)
		}
	}
	return found
}
