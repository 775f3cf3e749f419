package settings

import (
	"fmt"
	"log/slog"
)

// Redacted is what stands where a secret would be printed.
const Redacted = "[redacted]"

// Secret is a password, key or connection string. It prints as [redacted] under every fmt verb, in JSON, text and slog, also
// inside other values; only Reveal gives the text. The zero value is a secret that was not set.
type Secret struct {
	// A pointer, because fmt does not call methods of unexported struct fields: it then prints an address, not the text.
	text *string
}

// NewSecret makes a secret of text; an empty text gives the zero value.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the secret's text, for the one place that must send it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells whether the secret is not set.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal tells whether both secrets have the same text.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// Format prints [redacted] whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, Redacted) }

// String returns [redacted].
func (s Secret) String() string { return Redacted }

// GoString returns [redacted].
func (s Secret) GoString() string { return Redacted }

// LogValue makes slog print [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText makes JSON, XML and everything else that encodes text print [redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText takes the secret's text as it is, spaces included.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
