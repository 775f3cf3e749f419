package winrm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// TestNoFallingBack: whatever a server, or somebody before it, answers, a client that is to encrypt sends neither script nor
// password readable, and takes nothing that is not protected.
func TestNoFallingBack(t *testing.T) {
	t.Parallel()
	const created = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><Shell><ShellId>A</ShellId></Shell></s:Body></s:Envelope>`
	for name, answer := range map[string]func(w http.ResponseWriter, n int32){
		"asks for Basic":              func(w http.ResponseWriter, _ int32) { challenge(w, `Basic realm="WSMAN"`) },
		"asks for nothing":            func(w http.ResponseWriter, _ int32) { w.WriteHeader(http.StatusUnauthorized) },
		"takes everybody":             func(w http.ResponseWriter, _ int32) { io.WriteString(w, created) },
		"a challenge that is no NTLM": func(w http.ResponseWriter, _ int32) { challenge(w, "Negotiate AAAA") },
		"a challenge that is cut":     func(w http.ResponseWriter, _ int32) { challenge(w, "Negotiate "+ntlmChallenge(40)) },
		"a challenge without sealing": after(ntlmChallengeWith(0x00008201), created),
		"a challenge without signing": after(ntlmChallengeWith(0x00000201), created),
		"signing, but no sealing":     after(ntlmChallengeWith(fullFlags&^0x20), created),
		"sealing with 56 bits":        after(ntlmChallengeWith(fullFlags&^0x20000000), created),
		"clear replies after login":   after(ntlmChallengeWith(fullFlags), created),
		"faults in clear after login": after(ntlmChallengeWith(fullFlags), strings.Replace(created, "Shell", "Fault", 2)),
		"closes after each reply": func(w http.ResponseWriter, _ int32) {
			w.Header().Set("Connection", "close")
			challenge(w, "Negotiate "+ntlmChallengeWith(fullFlags))
		},
		"HTTP 500 without a word":    func(w http.ResponseWriter, _ int32) { w.WriteHeader(http.StatusInternalServerError) },
		"multipart that was made up": madeUp,
		"login forgotten, for ever":  func(w http.ResponseWriter, n int32) { challenge(w, "Negotiate "+ntlmChallengeWith(fullFlags)) },
		"a redirect to somewhere else": func(w http.ResponseWriter, _ int32) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var count atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || strings.Contains(string(body), "Envelope") || strings.HasPrefix(r.Header.Get("Authorization"), "Basic") {
					t.Errorf("%s in clear: %.80q", r.Header.Get("Authorization"), body)
				}
				answer(w, count.Add(1))
			}))
			defer server.Close()
			c, err := New(Config{Server: server.URL, Security: Encrypted, Username: "u", Password: settings.NewSecret("password"),
				OperationTimeout: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			var f *Fault
			if _, err := c.Run(t.Context(), Script{Name: "x.ps1", Text: "1"}, nil, nil); !errors.As(err, &f) {
				t.Errorf("error %v", err)
			}
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

const fullFlags = 0xe2898215 | 0x20 // unicode, sign, seal, NTLM, always sign, extended session, target info, version, 128, key exchange, 56

func challenge(w http.ResponseWriter, offer string) {
	w.Header().Set("WWW-Authenticate", offer)
	w.WriteHeader(http.StatusUnauthorized)
}

func after(token, reply string) func(http.ResponseWriter, int32) {
	return func(w http.ResponseWriter, n int32) {
		if n == 1 {
			challenge(w, "Negotiate "+token)
			return
		}
		w.Header().Set("Content-Type", soapType)
		io.WriteString(w, reply)
	}
}

func madeUp(w http.ResponseWriter, n int32) {
	if n == 1 {
		challenge(w, "Negotiate "+ntlmChallengeWith(fullFlags))
		return
	}
	w.Header().Set("Content-Type", sealedType)
	fmt.Fprintf(w, "--%s\r\n\tContent-Type: %s\r\n\tOriginalContent: type=x;Length=4\r\n--%s\r\n\tContent-Type: application/octet-stream\r\n"+
		"\x10\x00\x00\x00%s--%s--\r\n", boundary, sealedProtocol, boundary, strings.Repeat("x", 20), boundary)
}

// ntlmChallenge is the beginning of a challenge.
func ntlmChallenge(n int) string {
	data, err := base64.StdEncoding.DecodeString(ntlmChallengeWith(fullFlags))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(data[:n])
}

// ntlmChallengeWith is a challenge (MS-NLMP, section 2.2.1.2) with an empty target.
func ntlmChallengeWith(flags uint32) string {
	message := append([]byte("NTLMSSP\x00\x02\x00\x00\x00"), 0, 0, 0, 0, 56, 0, 0, 0)
	message = append(message, byte(flags), byte(flags>>8), byte(flags>>16), byte(flags>>24))
	message = append(message, "12345678\x00\x00\x00\x00\x00\x00\x00\x00"...)
	message = append(message, 4, 0, 4, 0, 56, 0, 0, 0)
	message = append(message, 10, 0, 0x63, 0x45, 0, 0, 0, 15)
	message = append(message, 0, 0, 0, 0)
	return base64.StdEncoding.EncodeToString(message)
}

func FuzzUnseal(f *testing.F) {
	f.Add(sealedType, []byte("--Encrypted Boundary\r\n\tContent-Type: x\r\n\tOriginalContent: type=x;Length=4\r\n--Encrypted Boundary\r\n"+
		"\tContent-Type: application/octet-stream\r\n\x10\x00\x00\x000123456789abcdefdata--Encrypted Boundary--\r\n"))
	f.Add(sealedType, []byte("--Encrypted Boundary\r\n--Encrypted Boundary\r\n--Encrypted Boundary--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		plain, err := unseal(open{}, contentType, body)
		if err == nil && len(plain) > len(body) {
			t.Errorf("%d bytes from %d", len(plain), len(body))
		}
	})
}

// open is a sealer that seals nothing.
type open struct{}

func (open) Wrap(message []byte) (sealed, signature []byte, err error) {
	return message, make([]byte, signatureSize), nil
}
func (open) Unwrap(sealed, _ []byte) ([]byte, error) { return sealed, nil }

func TestSealAndUnseal(t *testing.T) {
	t.Parallel()
	for _, envelope := range []string{"", "<x/>", "ends like a part\r\n--Encrypted Boundary--\r\n", "\r\nContent-Type: text/plain\r\n"} {
		sealed, err := seal(open{}, []byte(envelope))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unseal(open{}, sealedType, sealed); err != nil || string(got) != envelope {
			t.Errorf("%q became %q, error %v", envelope, got, err)
		}
	}
}
