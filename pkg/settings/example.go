package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Example renders local.settings.example.json: strict JSON as Azure Functions Core Tools reads it, with a value for every
// setting under Values, and under Documentation, which Core Tools ignores, what each one means. Settings come in the given
// order. It never holds a secret.
func Example(settings []Setting) []byte {
	settings = withRuntime(settings)
	var b bytes.Buffer
	b.WriteString("{\n  \"IsEncrypted\": false,\n  \"Values\": {\n")
	members(&b, settings, func(s Setting) string { return s.Local })
	b.WriteString("  },\n  \"Documentation\": {\n")
	members(&b, settings, Setting.documentation)
	b.WriteString("  }\n}\n")
	return b.Bytes()
}

// withRuntime adds what Core Tools needs to know and no app reads.
func withRuntime(settings []Setting) []Setting {
	runtime := Setting{Name: "FUNCTIONS_WORKER_RUNTIME", Doc: "What Core Tools starts.", Want: "custom, always", Local: "custom"}
	return append([]Setting{runtime}, settings...)
}

func members(b *bytes.Buffer, settings []Setting, value func(Setting) string) {
	for i, s := range settings {
		comma := ","
		if i == len(settings)-1 {
			comma = ""
		}
		fmt.Fprintf(b, "    %s: %s%s\n", quote(s.Name), quote(value(s)), comma)
	}
}

// quote writes a JSON string without the escapes that make < and & unreadable.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// documentation is the setting in one line.
func (s Setting) documentation() string {
	parts := []string{s.Doc, "Wants " + s.Want + "."}
	if s.Required {
		parts = append(parts, "Required.")
	}
	if s.Default != "" {
		parts = append(parts, fmt.Sprintf("Default %q.", s.Default))
	}
	if s.Example != "" {
		parts = append(parts, fmt.Sprintf("Example %q.", s.Example))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

// CheckExample tells whether the bytes of local.settings.example.json are what Example renders today, and if not, which
// setting differs.
func CheckExample(file []byte, settings []Setting) error {
	if bytes.Equal(file, Example(settings)) {
		return nil
	}
	var got struct {
		IsEncrypted   bool
		Values        map[string]string
		Documentation map[string]string
	}
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		return fmt.Errorf("read local.settings.example.json: %w", err)
	}
	for _, s := range withRuntime(settings) {
		value, ok := got.Values[s.Name]
		switch {
		case !ok:
			return fmt.Errorf("local.settings.example.json: setting %s is missing", s.Name)
		case value != s.Local:
			return fmt.Errorf("local.settings.example.json: setting %s is %q, should be %q", s.Name, value, s.Local)
		case got.Documentation[s.Name] != s.documentation():
			return fmt.Errorf("local.settings.example.json: the documentation of %s is not the one in its struct", s.Name)
		}
		delete(got.Values, s.Name)
	}
	for name := range got.Values {
		return fmt.Errorf("local.settings.example.json: no app has the setting %s", name)
	}
	return fmt.Errorf("local.settings.example.json: order or spacing differs from what is generated")
}
