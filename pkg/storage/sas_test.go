package storage_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// link asks for a link that must be given.
func link(t *testing.T, c *storage.Container, blob string, can storage.SASPermissions, validFor time.Duration) string {
	t.Helper()
	secret, err := c.SAS(t.Context(), blob, can, validFor)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", secret, secret, secret); strings.Contains(text, "sig") {
		t.Errorf("the link prints as %s", text)
	}
	return secret.Reveal()
}

// use sends one request with nothing but the link to show; query is added to the link's.
func use(t *testing.T, method, link, query, body string) (status int, code, content string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, link+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-ms-version", "2021-12-02")
	if query == "" && method == http.MethodPut {
		req.Header.Set("x-ms-blob-type", "BlockBlob")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("x-ms-error-code"), string(data)
}

func TestLinkToReadCanDoNothingElse(t *testing.T) {
	t.Parallel()
	c := openAt(t, emulator.Server(t).ConnectionString()).Container(freshName())
	for _, name := range []string{"plain.txt", "a folder/with blanks & ümläuts + 100%.txt"} {
		if _, err := c.Write(t.Context(), name, []byte("content"), storage.Cond{}, storage.Meta{}); err != nil {
			t.Fatal(err)
		}
		read := link(t, c, name, storage.SASRead, time.Minute)
		if status, code, content := use(t, "GET", read, "", ""); status != 200 || content != "content" {
			t.Errorf("%s: read: %d %s %q", name, status, code, content)
		}
		if status, _, _ := use(t, "PUT", read, "", "other"); status != 403 {
			t.Errorf("%s: write: %d", name, status)
		}
		if status, _, _ := use(t, "DELETE", read, "", ""); status != 403 {
			t.Errorf("%s: delete: %d", name, status)
		}
		other := strings.Replace(read, "txt?", "csv?", 1)
		if status, _, _ := use(t, "GET", other, "", ""); status != 403 {
			t.Errorf("%s: another blob: %d", name, status)
		}
	}
}

func TestLinkToCreateCannotOverwrite(t *testing.T) {
	t.Parallel()
	c := openAt(t, emulator.Server(t).ConnectionString()).Container(freshName())
	if err := c.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	create := link(t, c, "x", storage.SASCreate, time.Minute)
	if status, code, _ := use(t, "PUT", create, "", "first"); status != 201 {
		t.Fatalf("%d %s", status, code)
	}
	if status, _, _ := use(t, "PUT", create, "", "second"); status != 403 {
		t.Errorf("written twice: %d", status)
	}
	if status, _, _ := use(t, "GET", create, "", ""); status != 403 {
		t.Errorf("read: %d", status)
	}
	if data, _, err := c.Read(t.Context(), "x", 100); err != nil || string(data) != "first" {
		t.Errorf("it holds %q, %v", data, err)
	}
}

func TestLinkToCreateInBlocks(t *testing.T) {
	t.Parallel()
	c := openAt(t, emulator.Server(t).ConnectionString()).Container(freshName())
	if err := c.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	create := link(t, c, "x", storage.SASCreateBlocks, time.Minute)
	if status, code, _ := use(t, "PUT", create, "&comp=block&blockid=MDAw", "content"); status != 201 {
		t.Fatalf("stage: %d %s", status, code)
	}
	const list = `<?xml version="1.0" encoding="utf-8"?><BlockList><Latest>MDAw</Latest></BlockList>`
	if status, code, _ := use(t, "PUT", create, "&comp=blocklist", list); status != 201 {
		t.Fatalf("commit: %d %s", status, code)
	}
	if data, _, err := c.Read(t.Context(), "x", 100); err != nil || string(data) != "content" {
		t.Errorf("it holds %q, %v", data, err)
	}
	for permissions, want := range map[storage.SASPermissions]string{storage.SASCreate: "c", storage.SASCreateBlocks: "c", storage.SASRead: "r"} {
		azure := openAt(t, "AccountName=nightshiftfiles;AccountKey=Y2FuYXJ5").Container("files")
		if u, err := url.Parse(link(t, azure, "x", permissions, time.Minute)); err != nil || u.Query().Get("sp") != want {
			t.Errorf("%s is signed as %s, %v", permissions, u.Query().Get("sp"), err)
		}
	}
}

func TestLinkExpires(t *testing.T) {
	t.Parallel()
	c := openAt(t, emulator.Server(t).ConnectionString()).Container(freshName())
	if _, err := c.Write(t.Context(), "x", []byte("content"), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	read := link(t, c, "x", storage.SASRead, time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if status, code, _ := use(t, "GET", read, "", ""); status == 403 && code == "AuthorizationFailure" {
			return
		}
	}
	t.Error("it was still good after half a minute")
}

func TestLinkStartsEarlierAndWantsHTTPS(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		connection, protocol, address string
	}{
		"Azure":    {"AccountName=nightshiftfiles;AccountKey=Y2FuYXJ5", "https", "https://nightshiftfiles.blob.core.windows.net/files/a/b.txt"},
		"emulator": {"UseDevelopmentStorage=true", "https,http", "http://127.0.0.1:10000/devstoreaccount1/files/a/b.txt"},
	} {
		before := time.Now()
		u, err := url.Parse(link(t, openAt(t, row.connection).Container("files"), "a/b.txt", storage.SASRead, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		start, startErr := time.Parse(time.RFC3339, q.Get("st"))
		end, endErr := time.Parse(time.RFC3339, q.Get("se"))
		if startErr != nil || endErr != nil || start.After(before.Add(-14*time.Minute)) || end.Sub(start) != 75*time.Minute {
			t.Errorf("%s: valid from %s to %s", name, q.Get("st"), q.Get("se"))
		}
		if u.RawQuery = ""; u.String() != row.address || q.Get("spr") != row.protocol || q.Get("sp") != "r" || q.Get("sr") != "b" {
			t.Errorf("%s: %s with %s", name, u, q)
		}
	}
}

func TestLinkThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, row := range map[string]struct {
		connection string
		blob       string
		validFor   time.Duration
	}{
		"which cannot sign another":   {"BlobEndpoint=https://x.blob.core.windows.net;QueueEndpoint=https://x.queue.core.windows.net;SharedAccessSignature=sv=1&sig=canary", "x", time.Hour},
		"without https":               {"AccountName=a;AccountKey=Y2FuYXJ5;BlobEndpoint=http://azurite:10000/a;QueueEndpoint=http://azurite:10001/a", "x", time.Hour},
		"at most 24h0m0s is possible": {"UseDevelopmentStorage=true", "x", 25 * time.Hour},
		"it cannot be valid for 0s":   {"UseDevelopmentStorage=true", "x", 0},
		"no part between slashes":     {"UseDevelopmentStorage=true", "a//b", time.Hour},
	} {
		secret, err := openAt(t, row.connection).Container("files").SAS(t.Context(), row.blob, storage.SASRead, row.validFor)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") || !secret.IsZero() {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// keyService answers Get User Delegation Key (Microsoft Learn) and counts how often. The emulator gives such keys and does
// not accept what is signed with them.
type keyService struct {
	asked  atomic.Int32
	status int
}

const delegationKey = "bmlnaHRzaGlmdC1uaWdodHNoaWZ0LW5pZ2h0c2hpZnQ="

func (s *keyService) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	resp := &http.Response{StatusCode: s.status, Header: http.Header{"Content-Type": {"application/xml"}}, Request: r, Body: http.NoBody}
	if s.status != 200 {
		resp.Header.Set("x-ms-error-code", "AuthorizationPermissionMismatch")
		return resp, nil
	}
	if q := r.URL.Query(); r.Method != "POST" || q.Get("restype") != "service" || q.Get("comp") != "userdelegationkey" {
		return nil, fmt.Errorf("unexpected %s %s", r.Method, r.URL)
	}
	var info struct{ Start, Expiry string }
	if err := xml.NewDecoder(r.Body).Decode(&info); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(fmt.Sprintf("<UserDelegationKey><SignedOid>oid</SignedOid><SignedTid>tid</SignedTid>"+
		"<SignedStart>%s</SignedStart><SignedExpiry>%s</SignedExpiry><SignedService>b</SignedService><SignedVersion>%s</SignedVersion>"+
		"<Value>%s</Value></UserDelegationKey>", info.Start, info.Expiry, r.Header.Get("x-ms-version"), delegationKey)))
	return resp, nil
}

func openWithKeyService(t *testing.T, s *keyService) *storage.Account {
	t.Helper()
	a, err := storage.Open(storage.Config{AccountName: "nightshiftfiles"}, storage.WithTransport(s),
		storage.WithCredential(token{"https://storage.azure.com"}), storage.WithRetries(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestIdentitySignsLinks checks the signature against the formula of "Create a user delegation SAS" (Microsoft Learn).
func TestIdentitySignsLinks(t *testing.T) {
	t.Parallel()
	service := &keyService{status: 200}
	c := openWithKeyService(t, service).Container("files")
	var u *url.URL
	for _, name := range []string{"first", "a/b.txt"} {
		var err error
		if u, err = url.Parse(link(t, c, name, storage.SASCreate, storage.SASLimit)); err != nil {
			t.Fatal(err)
		}
	}
	if n := service.asked.Load(); n != 1 {
		t.Errorf("asked for %d keys, want one for both links", n)
	}
	q := u.Query()
	toSign := strings.Join([]string{"c", q.Get("st"), q.Get("se"), "/blob/nightshiftfiles/files/a/b.txt", "oid", "tid", q.Get("skt"), q.Get("ske"),
		"b", q.Get("skv"), "", "", "", "", "", "", "https", q.Get("sv"), "b", "", "", "", "", "", "", "", "", ""}, "\n")
	secret, err := base64.StdEncoding.DecodeString(delegationKey)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(toSign))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Get("sig") != want {
		t.Errorf("signature %s, want %s of\n%q", q.Get("sig"), want, toSign)
	}
	if u.Scheme != "https" || q.Get("st") < q.Get("skt") || q.Get("se") > q.Get("ske") {
		t.Errorf("%s://%s valid %s to %s, its key %s to %s", u.Scheme, u.Host, q.Get("st"), q.Get("se"), q.Get("skt"), q.Get("ske"))
	}
}

func TestIdentityMayNotSignLinks(t *testing.T) {
	t.Parallel()
	service := &keyService{status: 403}
	c := openWithKeyService(t, service).Container("files")
	if _, err := c.SAS(t.Context(), "x", storage.SASRead, time.Hour); !errors.Is(err, storage.ErrDenied) || !strings.Contains(err.Error(), "Storage Blob Data Contributor") {
		t.Errorf("got %v", err)
	}
	service.status = 200
	if _, err := c.SAS(t.Context(), "x", storage.SASRead, time.Hour); err != nil {
		t.Errorf("after the role was given: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openWithKeyService(t, service).Container("files").SAS(ctx, "x", storage.SASRead, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
