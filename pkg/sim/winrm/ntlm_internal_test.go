package simwinrm

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The numbers of MS-NLMP 4.2.4, where user is "User", domain "Domain", password "Password" and the session key 16 times 0x55.
func TestSpecificationVectors(t *testing.T) {
	t.Parallel()
	if got := hex.EncodeToString(ntlmHash("Password", "User", "Domain")); got != "0c868a403bfd7a93a3001ef22ef02e3f" {
		t.Errorf("NTOWFv2 %s", got)
	}
	s := newSession(bytes.Repeat([]byte{0x55}, 16), flag128|flagKeyExchange, true)
	if got := hex.EncodeToString(s.out.sign); got != "4788dc861b4782f35d43fd98fe1a2d39" {
		t.Errorf("signing key %s", got)
	}
	plain := encode16("Plaintext")
	sealed := make([]byte, len(plain))
	s.out.seal.XORKeyStream(sealed, plain)
	if got := hex.EncodeToString(sealed); got != "54e50165bf1936dc996020c1811b0f06fb5f" {
		t.Errorf("sealed %s", got)
	}
	if got := hex.EncodeToString(s.out.signature(plain)); got != "010000007fb38ec5c55d497600000000" {
		t.Errorf("signature %s", got)
	}
}

const clientFlags = flagUnicode | flagNTLM | flagSign | flagSeal | flagAlwaysSign | flagExtendedSession | flagTargetInfo | flag128 | flagKeyExchange

func negotiateMessage(flags uint32) []byte {
	m := append([]byte(nil), ntlmSignature...)
	m = binary.LittleEndian.AppendUint32(m, 1)
	m = binary.LittleEndian.AppendUint32(m, flags)
	return append(m, make([]byte, 16)...)
}

// logOnAnswer is what a client makes of a challenge; change alters what is signed, spoil what is sent.
type logOnAnswer struct {
	user, domain, password string
	bindings               []byte
	noMIC                  bool
	change                 func(m *[]byte)
}

var sessionKey = []byte("0123456789abcdef")

// message builds an authenticate message with an integrity code.
func (a logOnAnswer) message(negotiate, challenge []byte) []byte {
	nonce := challenge[24:32]
	blob := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...)
	blob = append(blob, "nonceofc"...)
	blob = append(blob, 0, 0, 0, 0)
	if !a.noMIC {
		blob = append(blob, avFlags, 0, 4, 0, avFlagMIC, 0, 0, 0)
	}
	if a.bindings != nil {
		blob = append(append(blob, avBindings, 0, 16, 0), a.bindings...)
	}
	blob = append(blob, make([]byte, 8)...)
	hash := ntlmHash(a.password, a.user, a.domain)
	proof := hmacMD5(hash, nonce, blob)
	base := hmacMD5(hash, proof)

	fields := [][]byte{nil, append(proof, blob...), encode16(a.domain), encode16(a.user), nil, sealWith(base, sessionKey)}
	m := append([]byte(nil), ntlmSignature...)
	m = binary.LittleEndian.AppendUint32(m, 3)
	offset := micOffset + micLength
	for _, f := range fields {
		m = appendField(m, len(f), offset)
		offset += len(f)
	}
	m = binary.LittleEndian.AppendUint32(m, clientFlags)
	m = append(m, make([]byte, 8+micLength)...)
	for _, f := range fields {
		m = append(m, f...)
	}
	if !a.noMIC {
		copy(m[micOffset:], hmacMD5(sessionKey, negotiate, challenge, m))
	}
	if a.change != nil {
		a.change(&m)
	}
	return m
}

func TestNTLMLogOn(t *testing.T) {
	t.Parallel()
	right := logOnAnswer{user: "user", domain: "CONTOSO", password: "password"}
	with := func(change func(*logOnAnswer)) logOnAnswer {
		a := right
		change(&a)
		return a
	}
	certificate := []byte("certificate")
	for name, tc := range map[string]struct {
		answer logOnAnswer
		strict bool
		ok     bool
	}{
		"right":                     {answer: right, ok: true},
		"without an integrity code": {answer: with(func(a *logOnAnswer) { a.noMIC = true }), ok: true},
		"user in capitals":          {answer: with(func(a *logOnAnswer) { a.user = "USER" }), ok: true},
		"wrong password":            {answer: with(func(a *logOnAnswer) { a.password = "Password" })},
		"unknown user":              {answer: with(func(a *logOnAnswer) { a.user = "nobody" })},
		"anonymous":                 {answer: with(func(a *logOnAnswer) { a.user = "" })},
		"another domain than was hashed": {answer: with(func(a *logOnAnswer) {
			a.change = func(m *[]byte) { (*m)[len(*m)-16-8-14] ^= 1 }
		})},
		"messages changed on the way":   {answer: with(func(a *logOnAnswer) { a.change = func(m *[]byte) { (*m)[micOffset] ^= 1 } })},
		"cut short":                     {answer: with(func(a *logOnAnswer) { a.change = func(m *[]byte) { *m = (*m)[:70] } })},
		"NTLMv1":                        {answer: with(func(a *logOnAnswer) { a.change = func(m *[]byte) { (*m)[20], (*m)[21] = 24, 0 } })},
		"bound to the channel":          {answer: with(func(a *logOnAnswer) { a.bindings = channelBindings(certificate) }), strict: true, ok: true},
		"bound to another channel":      {answer: with(func(a *logOnAnswer) { a.bindings = channelBindings([]byte("other")) })},
		"not bound, where this matters": {answer: right, strict: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{options: Options{Accounts: map[string]string{"user": "password"}, StrictBinding: tc.strict}, bindings: channelBindings(certificate)}
			conn := &connection{}
			negotiate := negotiateMessage(clientFlags)
			challenge, ok := s.ntlm(conn, negotiate)
			if challenge == nil || ok {
				t.Fatal("no challenge")
			}
			again, ok := s.ntlm(conn, tc.answer.message(negotiate, challenge))
			if again != nil || ok != tc.ok || ok != (conn.user == "user") || ok != (conn.seal != nil) {
				t.Errorf("logged on %v as %q, want %v", ok, conn.user, tc.ok)
			}
			if _, ok := s.ntlm(conn, right.message(negotiate, challenge)); ok {
				t.Error("a challenge could be answered twice")
			}
		})
	}
}

// sealedClient talks to a server over one connection with message encryption.
type sealedClient struct {
	t       *testing.T
	s       *Server
	http    *http.Client
	session *session
}

func (c *sealedClient) post(authorization, contentType string, body []byte) (status int, header http.Header, answer []byte) {
	c.t.Helper()
	req, err := http.NewRequest("POST", c.s.URL(), bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, answer
}

func sealed(t *testing.T) *sealedClient {
	t.Helper()
	s, err := Start(Options{HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	c := &sealedClient{t: t, s: s, http: &http.Client{Transport: transport}}
	negotiate := negotiateMessage(clientFlags)
	status, header, _ := c.post("Negotiate "+base64.StdEncoding.EncodeToString(negotiate), soapType, nil)
	token, found := strings.CutPrefix(header.Get("WWW-Authenticate"), "Negotiate ")
	challenge, err := base64.StdEncoding.DecodeString(token)
	if status != 401 || !found || err != nil {
		t.Fatalf("no challenge: %d %v", status, header)
	}
	answer := logOnAnswer{user: "user", password: "password"}.message(negotiate, challenge)
	if status, _, body := c.post("Negotiate "+base64.StdEncoding.EncodeToString(answer), soapType, nil); status != 200 || len(body) != 0 {
		t.Fatalf("log-on: %d %q", status, body)
	}
	c.session = newSession(sessionKey, flag128|flagKeyExchange, true)
	return c
}

const identifyRequest = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>` +
	`<i:Identify xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>`

func TestMessageEncryption(t *testing.T) {
	t.Parallel()
	c := sealed(t)
	for range 3 { // each message has its own number and place in the key stream
		status, header, body := c.post("", encryptedType, c.session.wrap([]byte(identifyRequest)))
		if status != 200 || header.Get("Content-Type") != encryptedType || bytes.Contains(body, []byte("IdentifyResponse")) {
			t.Fatalf("%d %v %s", status, header, body)
		}
		plain, err := c.session.open(body)
		if err != nil || !bytes.Contains(plain, []byte("IdentifyResponse")) {
			t.Fatalf("%v: %s", err, plain)
		}
	}
	if requests := c.s.Requests(); len(requests) != 3 || !requests[2].Encrypted {
		t.Errorf("requests %+v", requests)
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(c *sealedClient) (string, []byte){
		"in clear": func(*sealedClient) (string, []byte) { return soapType, []byte(identifyRequest) },
		"changed on the way": func(c *sealedClient) (string, []byte) {
			m := c.session.wrap([]byte(identifyRequest))
			m[len(m)-len(boundary)-10] ^= 1
			return encryptedType, m
		},
		"sent twice": func(c *sealedClient) (string, []byte) {
			m := c.session.wrap([]byte(identifyRequest))
			c.post("", encryptedType, m)
			return encryptedType, m
		},
		"one left out": func(c *sealedClient) (string, []byte) {
			c.session.wrap([]byte(identifyRequest))
			return encryptedType, c.session.wrap([]byte(identifyRequest))
		},
		"with a wrong length": func(c *sealedClient) (string, []byte) {
			return encryptedType, bytes.Replace(c.session.wrap([]byte(identifyRequest)), []byte("Length="), []byte("Length=1"), 1)
		},
		"no multipart": func(*sealedClient) (string, []byte) { return encryptedType, []byte(identifyRequest) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sealed(t)
			contentType, message := body(c)
			if status, _, answer := c.post("", contentType, message); status != 401 || len(answer) != 0 {
				t.Errorf("%d %s, want 401", status, answer)
			}
		})
	}
}
