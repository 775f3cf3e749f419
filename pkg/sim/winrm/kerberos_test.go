package simwinrm_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	krb5client "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

const realm, service = "CONTOSO.LOCAL", "HTTP/mim01.contoso.local"

func serviceKeytab(t *testing.T, password string) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	if err := kt.AddEntry(service, realm, password, time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	return kt
}

// token is what a client sends with a ticket that a KDC with this keytab would have issued.
func token(t *testing.T, kt *keytab.Keytab, start, end time.Time, negotiate bool) []byte {
	t.Helper()
	user := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "svc-mim")
	host := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, service)
	ticket, key, err := messages.NewTicket(user, realm, host, realm, types.NewKrbFlags(), kt, etypeID.AES256_CTS_HMAC_SHA1_96, 1, start, start, end, end)
	if err != nil {
		t.Fatal(err)
	}
	c := &krb5client.Client{Credentials: credentials.New("svc-mim", realm), Config: config.New()}
	init, err := spnego.NewNegTokenInitKRB5(c, ticket, key)
	if err != nil {
		t.Fatal(err)
	}
	if !negotiate {
		return init.MechTokenBytes
	}
	data, err := (&spnego.SPNEGOToken{Init: true, NegTokenInit: init}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestKerberos(t *testing.T) {
	t.Parallel()
	kt := serviceKeytab(t, "service password")
	now := time.Now().UTC()
	valid := token(t, kt, now.Add(-time.Minute), now.Add(time.Hour), true)
	for name, tc := range map[string]struct {
		scheme string
		token  []byte
		ok     bool
	}{
		"SPNEGO":                {"Negotiate", valid, true},
		"a bare AP-REQ":         {"Kerberos", token(t, kt, now.Add(-time.Minute), now.Add(time.Hour), false), true},
		"a ticket that is over": {"Negotiate", token(t, kt, now.Add(-2*time.Hour), now.Add(-time.Hour), true), false},
		"a clock that is ahead": {"Negotiate", token(t, kt, now.Add(time.Hour), now.Add(2*time.Hour), true), false},
		"a ticket for another":  {"Negotiate", token(t, serviceKeytab(t, "other"), now.Add(-time.Minute), now.Add(time.Hour), true), false},
		"half a token":          {"Negotiate", valid[:len(valid)/2], false},
		"nothing":               {"Kerberos", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simwinrm.Options{Keytab: kt, NoNTLM: true, NoBasic: true})
			c := connect(t, s)
			post := func(authorization string) *http.Response {
				req, err := http.NewRequest("POST", s.URL(), strings.NewReader(c.envelope(transfer+"Create", "", createBody)))
				if err != nil {
					t.Fatal(err)
				}
				if authorization != "" {
					req.Header.Set("Authorization", authorization)
				}
				resp, err := c.http.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp
			}
			if got := post("").Header["Www-Authenticate"]; strings.Join(got, "|") != "Negotiate|Kerberos" {
				t.Errorf("offers %v", got)
			}
			resp := post(tc.scheme + " " + base64.StdEncoding.EncodeToString(tc.token))
			if ok := resp.StatusCode == http.StatusOK; ok != tc.ok {
				t.Fatalf("HTTP %d, want log-on %v", resp.StatusCode, tc.ok)
			}
			if !tc.ok {
				return
			}
			if got := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Negotiate o") {
				t.Errorf("answer %q", got)
			}
			if got := s.Requests()[0].User; got != "svc-mim@"+realm {
				t.Errorf("user %q", got)
			}
			if s.Shells() != 1 {
				t.Errorf("%d shells", s.Shells())
			}
		})
	}
}
