package settings_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]settings.Bytes{
		"0": 0, "1500": 1500, "10MB": 10_000_000, "64 KiB": 64 << 10, "1.5GiB": 3 << 29, "0.5 kb": 500, "2 tib": 2 << 40,
		" 7 B ": 7, "9223372036854775807": 1<<63 - 1,
	} {
		var got settings.Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "+1", "1e3", "0x10", "NaN", "1 XB", "1..5 MB", "9223372036854775808", "9999999 TB", "9e99 TB", "1,5 MB"} {
		var got settings.Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour,
		"00:05:00": 5 * time.Minute, "1.00:00:30": 24*time.Hour + 30*time.Second, "23:59:59": 24*time.Hour - time.Second, "250ms": 250 * time.Millisecond,
	} {
		var got settings.Duration
		if err := got.UnmarshalText([]byte(text)); err != nil || got.Std() != want {
			t.Errorf("%q: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "soon", "-5s", "1d-2h", "24:00:00", "00:60:00", "05:00", "1:2:3:4", "-1.00:00:00", "d", "1d2d", "99999d", "9999999h"} {
		var got settings.Duration
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", " ; ,": "", "a": "a", "a;b": "a|b", "a, b ,c": "a|b|c", "*.{csv,txt};x[,;].y": "*.{csv,txt}|x[,;].y", "a}b,c": "a}b|c", "{a,b": "{a,b",
	} {
		var got settings.List
		if err := got.UnmarshalText([]byte(text)); err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzBytes(f *testing.F) {
	for _, text := range []string{"0", "10MB", "64 KiB", "1.5GiB", "9223372036854775807", "-1", "1e9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b, again settings.Bytes
		if b.UnmarshalText([]byte(text)) != nil {
			return
		}
		if b < 0 {
			t.Errorf("%q was read as %d", text, b)
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q is %d, printed %q, read again as %d, %v", text, b, b, again, err)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"90s", "1d12h", "00:05:00", "1.00:00:30", "65535d", "2562047h47m16.854775807s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again settings.Duration
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		if d < 0 {
			t.Errorf("%q was read as %s", text, d)
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q is %s, read again as %s, %v", text, d, again, err)
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("FTPServer", "x")
	f.Add("FTPPasword", "geheim1")
	f.Add("azurewebjobsstorage", "UseDevelopmentStorage=true")
	f.Add("FTP\xff", "\x00")
	f.Fuzz(func(t *testing.T, name, value string) {
		var a app
		err := settings.Load(&a, []string{name + "=" + value, "FTPPassword=" + canary})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q=%q: %v", name, value, err)
		}
	})
}

func FuzzRedactText(f *testing.F) {
	f.Add("https://x/?sig=", "&y")
	f.Add("ftp://joe:", "@host")
	f.Fuzz(func(t *testing.T, before, after string) {
		got := settings.RedactText(before+canary+after, []settings.Secret{settings.NewSecret(canary)})
		if strings.Contains(got, canary) {
			t.Errorf("%q", got)
		}
	})
}
