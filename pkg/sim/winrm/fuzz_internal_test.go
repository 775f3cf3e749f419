package simwinrm

import (
	"path/filepath"
	"strings"
	"testing"
)

func FuzzNTLM(f *testing.F) {
	negotiate := negotiateMessage(clientFlags)
	f.Add(negotiate)
	s := &Server{options: Options{HTTP: true, Accounts: map[string]string{"user": "password"}}}
	f.Add(logOnAnswer{user: "user", password: "password"}.message(negotiate, s.challenge(negotiate, clientFlags).challenge))
	f.Fuzz(func(t *testing.T, message []byte) {
		conn := &connection{}
		if _, ok := s.ntlm(conn, message); ok {
			t.Fatal("logged on without a challenge")
		}
		conn.ntlm = s.challenge(negotiate, clientFlags)
		if _, ok := s.ntlm(conn, message); ok {
			t.Fatal("logged on with the answer to another challenge")
		}
	})
}

func FuzzEncrypted(f *testing.F) {
	s := newSession(sessionKey, flag128|flagKeyExchange, true)
	f.Add(s.wrap([]byte("text")))
	f.Fuzz(func(t *testing.T, body []byte) {
		length, signature, data, err := parseEncrypted(body)
		if err == nil && (len(signature) != signatureLength || len(data)+signatureLength > len(body)) {
			t.Fatalf("length %d, %d bytes", length, len(data))
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(identifyRequest))
	f.Add([]byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"><s:Header>` +
		`<a:Action>` + shellNS + `/Receive</a:Action><a:MessageID>m</a:MessageID><OperationTimeout>PT1H2M3.5S</OperationTimeout></s:Header><s:Body>` +
		`<Receive><DesiredStream CommandId="c">stdout</DesiredStream></Receive></s:Body></s:Envelope>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseEnvelope(data)
		if err != nil {
			return
		}
		if d, err := parseDuration(e.Header.OperationTimeout); err == nil && d < 0 {
			t.Fatalf("negative duration %v of %q", d, e.Header.OperationTimeout)
		}
		if e.action() == "Receive" {
			receiveReply(e, nil, nil)
		}
		if e.action() == "Command" && e.Body.CommandLine.String() == "" {
			t.Fatal("empty command line")
		}
	})
}

func FuzzPayload(f *testing.F) {
	f.Fuzz(func(t *testing.T, line string) {
		p, err := decodePayload(strings.NewReader(line))
		if p == nil || err == nil && (p.SHA256 != Hash(p.Script) || len(p.Nonce) != 32) {
			t.Fatalf("%+v %v", p, err)
		}
	})
}

// A path never leads out of the folder of its drive.
func FuzzPath(f *testing.F) {
	dir := f.TempDir()
	d, err := newDrive(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		local, err := d.Local(path)
		if err != nil {
			return
		}
		if inside, err := filepath.Rel(filepath.Join(dir, "C"), local); err != nil || inside == ".." || strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
			t.Fatalf("%q leads to %q (%v)", path, local, err)
		}
	})
}
