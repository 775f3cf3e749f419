package settings_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

const canary = "correct-horse-battery"

type holder struct {
	Open   settings.Secret
	hidden settings.Secret
	Ref    *settings.Secret
	Many   []settings.Secret
	ByName map[string]settings.Secret
}

func holderOf(text string) holder {
	s := settings.NewSecret(text)
	return holder{s, s, &s, []settings.Secret{s}, map[string]settings.Secret{"a": s}}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	h := holderOf(canary)
	values := map[string]any{"secret": h.Open, "pointer": &h.Open, "struct": h, "struct pointer": &h, "list": h.Many, "map": h.ByName,
		"any": []any{h.Open, h}, "unexported alone": struct{ s settings.Secret }{h.hidden}}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%e", "%o", "%b", "%U", "%20v", "%T"} {
			notIn(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		notIn(t, name+" Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
		notIn(t, name+" error", fmt.Errorf("wrap: %v: %w", v, errors.Join(fmt.Errorf("inner %+v", v))).Error())
		data, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: json: %v", name, err)
		}
		notIn(t, name+" json", string(data))
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).With("with", v).Info("hello", "v", v, slog.Group("g", "v", v))
			notIn(t, name+" slog", b.String())
		}
	}
	data, err := xml.Marshal(h.Open)
	if err != nil {
		t.Error(err)
	}
	notIn(t, "xml", string(data))
	if got := fmt.Sprintf("%v %s %+v", h.Open, h.Open, struct{ S settings.Secret }{h.Open}); got != "[redacted] [redacted] {S:[redacted]}" {
		t.Errorf("printed as %s", got)
	}
}

func notIn(t *testing.T, where, text string) {
	t.Helper()
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("%d", []byte(canary))} {
		if strings.Contains(text, form) {
			t.Errorf("%s prints the secret: %s", where, text)
		}
	}
}

func TestSecretKeepsItsText(t *testing.T) {
	t.Parallel()
	var zero, read settings.Secret
	if !zero.IsZero() || zero.Reveal() != "" || !settings.NewSecret("").IsZero() {
		t.Error("the zero secret is not empty")
	}
	if err := read.UnmarshalText([]byte(" " + canary)); err != nil || read.Reveal() != " "+canary || read.IsZero() {
		t.Errorf("read %q, %v", read.Reveal(), err)
	}
	if !read.Equal(settings.NewSecret(" "+canary)) || read.Equal(zero) {
		t.Error("Equal compares something else than the text")
	}
}

func TestSecretsListsThoseThatAreSet(t *testing.T) {
	t.Parallel()
	a, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []any{a, &a} {
		var texts []string
		for _, s := range settings.Secrets(of) {
			texts = append(texts, s.Reveal())
		}
		if got := strings.Join(texts, " "); got != "UseDevelopmentStorage=true hunter22" {
			t.Errorf("got %s", got)
		}
	}
}

func TestRedactText(t *testing.T) {
	t.Parallel()
	secrets := []settings.Secret{settings.NewSecret("hunter22"), settings.NewSecret("abc"), {}}
	for text, want := range map[string]string{
		"nothing to hide: a=b, http://x/y?z=1 joe@example.com":           "nothing to hide: a=b, http://x/y?z=1 joe@example.com",
		"PASS hunter22 and hunter22":                                     "PASS [redacted] and [redacted]",
		"abc is too short to look for":                                   "abc is too short to look for",
		"https://a.blob.core.windows.net/c?sv=1&sig=a%2Bb%3D&se=2":       "https://a.blob.core.windows.net/c?sv=1&sig=[redacted]&se=2",
		`Get "https://x/?sig=abcdef": EOF`:                               `Get "https://x/?sig=[redacted]": EOF`,
		"url=https%3A%2F%2Fx%2F%3Fsig%3Dabcdef%26se%3D1":                 "url=https%3A%2F%2Fx%2F%3Fsig%3D[redacted]",
		"AccountName=a;AccountKey=Zm9v+/==;EndpointSuffix=x":             "AccountName=a;AccountKey=[redacted];EndpointSuffix=x",
		"accountkey = Zm9v":                                              "accountkey = [redacted]",
		"SharedAccessSignature=sv=1&sig=xyz;BlobEndpoint=https://x":      "SharedAccessSignature=[redacted];BlobEndpoint=https://x",
		"dial ftp://joe:p@ss:w0rd@ftp.example.com/in":                    "dial ftp://[redacted]@ftp.example.com/in",
		"Authorization: SharedKey acc:c2ln":                              "Authorization: SharedKey [redacted]",
		"authorization: Bearer eyJ.x.y":                                  "authorization: Bearer [redacted]",
		"design=oak is no signature, nor is https://example.com/@handle": "design=oak is no signature, nor is https://example.com/@handle",
	} {
		if got := settings.RedactText(text, secrets); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
