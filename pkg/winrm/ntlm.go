package winrm

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/bodgit/ntlmssp"
)

// ntlm logs one connection in with NTLMv2 (MS-NLMP).
//
// It is bodgit/ntlmssp's, which masterzen/winrm uses for its encryption, and not Azure/go-ntlmssp's: that one knows neither key
// exchange nor signatures, so servers that insist on 128-bit session security refuse it, and no channel binding.
type ntlm struct {
	client   *ntlmssp.Client
	bindings *ntlmssp.ChannelBindings
	encrypts bool
}

const (
	flagsOffset     = 12 // in the first message, little-endian
	challengeOffset = 20 // of the flags in the server's message
	negotiateNTLM   = 0x200
	// encryption is what the server must agree to where messages are encrypted: signing, sealing, extended session security,
	// 128 bits, key exchange. Without one of them the library would send messages that are weakly protected, or not at all.
	encryption = 0x10 | 0x20 | 0x80000 | 0x20000000 | 0x40000000
)

func newNTLM(cfg Config, peer *x509.Certificate) (*ntlm, error) {
	user, domain := cfg.Username, ""
	if before, after, ok := strings.Cut(cfg.Username, `\`); ok {
		user, domain = after, before
	}
	client, err := ntlmssp.NewClient(ntlmssp.SetUserInfo(user, cfg.Password.Reveal()), ntlmssp.SetDomain(domain),
		ntlmssp.SetVersion(ntlmssp.DefaultVersion()))
	if err != nil {
		return nil, fmt.Errorf("prepare NTLM: %w", err)
	}
	return &ntlm{client: client, bindings: channelBindings(peer), encrypts: cfg.Security == Encrypted}, nil
}

// open makes the first message. MS-NLMP, section 2.2.2.5 wants NTLMSSP_NEGOTIATE_NTLM in it; the library leaves it out. It is set
// in place, because the library signs the same bytes later.
func (n *ntlm) open() ([]byte, error) {
	message, err := n.client.Authenticate(nil, nil)
	if err == nil {
		message[flagsOffset+1] |= negotiateNTLM >> 8
	}
	return message, err
}

// answer answers the server's challenge, which is nobody's until the login has succeeded: the library trusts its lengths.
func (n *ntlm) answer(challenge []byte) (response []byte, err error) {
	defer func() {
		if recover() != nil {
			err = &Fault{Op: "log in", Reason: "the server's NTLM challenge is damaged"}
		}
	}()
	if n.encrypts && binary.LittleEndian.Uint32(challenge[challengeOffset:])&encryption != encryption {
		return nil, &Fault{Op: "log in", Reason: "the server did not agree to message encryption with 128 bits", class: ErrUnprotected,
			Do: "use https"}
	}
	response, err = n.client.Authenticate(challenge, n.bindings)
	if err != nil {
		return nil, &Fault{Op: "log in", Reason: "answer the server's NTLM challenge: " + err.Error()}
	}
	return response, nil
}

func (n *ntlm) sealer() sealer {
	if s := n.client.SecuritySession(); s != nil {
		return s
	}
	return nil
}

// channelBindings ties the login to the TLS connection (tls-server-end-point, RFC 5929, section 4.1), so that it cannot be
// used on another. Nil without TLS, and for certificates whose signature has no hash of its own.
func channelBindings(cert *x509.Certificate) *ntlmssp.ChannelBindings {
	if cert == nil {
		return nil
	}
	var sum []byte
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		s := sha512.Sum384(cert.Raw)
		sum = s[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		s := sha512.Sum512(cert.Raw)
		sum = s[:]
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return nil
	default: // MD5 and SHA-1 count as SHA-256 here
		s := sha256.Sum256(cert.Raw)
		sum = s[:]
	}
	return &ntlmssp.ChannelBindings{ApplicationData: append([]byte("tls-server-end-point:"), sum...)}
}
