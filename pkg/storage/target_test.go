package storage

import (
	"errors"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	connection := func(text string) Config { return Config{ConnectionString: settings.NewSecret(text)} }
	for name, row := range map[string]struct {
		cfg                       Config
		account, blob, queue, key string
	}{
		"portal": {connection("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=abcd;EndpointSuffix=core.windows.net"),
			"acc", "https://acc.blob.core.windows.net", "https://acc.queue.core.windows.net", "abcd"},
		"another cloud": {connection("AccountName=acc;AccountKey=abcd;EndpointSuffix=core.chinacloudapi.cn"),
			"acc", "https://acc.blob.core.chinacloudapi.cn", "https://acc.queue.core.chinacloudapi.cn", "abcd"},
		"any case and blanks": {connection(" accountname = acc ; ACCOUNTKEY=ab== ;\n"),
			"acc", "https://acc.blob.core.windows.net", "https://acc.queue.core.windows.net", "ab=="},
		"emulator": {connection("UseDevelopmentStorage=true"),
			"devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10001/devstoreaccount1", "Eby8"},
		"signature": {connection("BlobEndpoint=https://acc.blob.core.windows.net/;QueueEndpoint=https://acc.queue.core.windows.net/;SharedAccessSignature=?sv=1&sig=x%3D"),
			"acc", "https://acc.blob.core.windows.net", "https://acc.queue.core.windows.net", ""},
		"identity": {Config{AccountName: "acc"},
			"acc", "https://acc.blob.core.windows.net", "https://acc.queue.core.windows.net", ""},
		"identity by addresses": {Config{BlobServiceURI: "https://acc.blob.example/", QueueServiceURI: "https://acc.queue.example"},
			"acc", "https://acc.blob.example", "https://acc.queue.example", ""},
	} {
		got, err := targetOf(row.cfg)
		if err != nil || got.Account != row.account || got.Blob != row.blob || got.Queue != row.queue || !strings.HasPrefix(got.Key.Reveal(), row.key) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func FuzzParseConnectionString(f *testing.F) {
	f.Add("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=abcd;EndpointSuffix=core.windows.net")
	f.Add("UseDevelopmentStorage=true")
	f.Add("BlobEndpoint=https://a/;QueueEndpoint=https://b/;SharedAccessSignature=sv=1&sig=x%3D")
	f.Add("hunter2")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseConnectionString(text)
		var problems settings.Problems
		switch {
		case err != nil && !errors.As(err, &problems):
			t.Errorf("%q: the error is no problem of a setting: %v", text, err)
		case err == nil && (got.Blob == "" || got.Queue == "" || got.Key.IsZero() && got.Signature.IsZero()):
			t.Errorf("%q was read as %+v", text, got)
		}
		if err == nil {
			// Whatever was accepted can be opened, or is refused; it does not panic.
			if a, err := Open(Config{ConnectionString: settings.NewSecret(text)}); err == nil {
				a.Close()
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, text := range []string{"", "plain", " Größe: 100 % ", "%41", "\r\n\x00", "\xff", "\U0001F319"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		encoded, err := encodeMetadata(map[string]string{"a": text})
		if err != nil {
			return // too long
		}
		for i := range len(*encoded["a"]) {
			if c := (*encoded["a"])[i]; c < ' ' || c > '~' {
				t.Errorf("%q is sent as %q", text, *encoded["a"])
			}
		}
		if got := decodeMetadata(encoded)["a"]; got != text {
			t.Errorf("%q came back as %q", text, got)
		}
		if got := decodeMetadata(map[string]*string{"a": &text})["a"]; got != text && !strings.Contains(text, "%") {
			t.Errorf("somebody else's %q was read as %q", text, got)
		}
	})
}
