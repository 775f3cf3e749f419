package simwinrm

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	//lint:ignore SA1019 NTLM is built on MD4
	"golang.org/x/crypto/md4"
)

// The server side of MS-NLMP: NTLMv2 only, with extended session security.

// Flags of MS-NLMP 2.2.2.5.
const (
	flagUnicode         = 0x00000001
	flagRequestTarget   = 0x00000004
	flagSign            = 0x00000010
	flagSeal            = 0x00000020
	flagNTLM            = 0x00000200
	flagAlwaysSign      = 0x00008000
	flagTargetServer    = 0x00020000
	flagExtendedSession = 0x00080000
	flagTargetInfo      = 0x00800000
	flagVersion         = 0x02000000
	flag128             = 0x20000000
	flagKeyExchange     = 0x40000000
	flag56              = 0x80000000
)

// AV pairs of MS-NLMP 2.2.2.1.
const (
	avEnd = iota
	avComputer
	avDomain
	avDNSComputer
	avDNSDomain
	avDNSTree
	avFlags
	avTimestamp
	avSingleHost
	avTargetName
	avBindings // hash of the TLS channel
)

const avFlagMIC = 2 // the authenticate message has an integrity code

var ntlmSignature = []byte("NTLMSSP\x00")

func isNTLM(token []byte) bool { return bytes.HasPrefix(token, ntlmSignature) }

// handshake is a log-on between challenge and answer.
type handshake struct {
	negotiate, challenge []byte // the messages, for the integrity code
	nonce                []byte
	flags                uint32
}

// ntlm takes a message of the client. It returns a challenge, or whether conn is logged on now.
func (s *Server) ntlm(conn *connection, message []byte) (challenge []byte, ok bool) {
	if len(message) < 16 || !isNTLM(message) {
		return nil, false
	}
	switch binary.LittleEndian.Uint32(message[8:]) {
	case 1:
		conn.ntlm = s.challenge(message, binary.LittleEndian.Uint32(message[12:]))
		return conn.ntlm.challenge, false
	case 3:
		h := conn.ntlm
		conn.ntlm = nil
		if h == nil {
			return nil, false
		}
		user, key, err := s.authenticate(h, message)
		if err != nil {
			return nil, false
		}
		conn.user, conn.seal = user, nil
		if h.flags&(flagSeal|flagExtendedSession) == flagSeal|flagExtendedSession {
			conn.seal = newSession(key, h.flags, false)
		}
		return nil, true
	}
	return nil, false
}

func (s *Server) challenge(negotiate []byte, asked uint32) *handshake {
	const wanted = flagSign | flagSeal | flagAlwaysSign | flagExtendedSession | flag128 | flagKeyExchange | flag56
	h := &handshake{negotiate: negotiate, nonce: make([]byte, 8),
		flags: asked&wanted | flagUnicode | flagNTLM | flagRequestTarget | flagTargetServer | flagTargetInfo | flagVersion}
	rand.Read(h.nonce)
	var info bytes.Buffer
	av := func(id uint16, value []byte) {
		binary.Write(&info, binary.LittleEndian, []uint16{id, uint16(len(value))})
		info.Write(value)
	}
	dns := strings.ToLower(s.options.Domain) + ".local"
	av(avDomain, encode16(s.options.Domain))
	av(avComputer, encode16(s.options.Computer))
	av(avDNSDomain, encode16(dns))
	av(avDNSComputer, encode16(s.options.Computer+"."+dns))
	av(avTimestamp, binary.LittleEndian.AppendUint64(nil, filetime(time.Now())))
	av(avEnd, nil)

	target := encode16(s.options.Computer)
	const fixed = 56
	m := append([]byte(nil), ntlmSignature...)
	le := binary.LittleEndian
	m = le.AppendUint32(m, 2)
	m = appendField(m, len(target), fixed)
	m = le.AppendUint32(m, h.flags)
	m = append(m, h.nonce...)
	m = append(m, make([]byte, 8)...)
	m = appendField(m, info.Len(), fixed+len(target))
	m = append(m, 10, 0, 0x63, 0x45, 0, 0, 0, 15) // Windows 10.0 build 17763, NTLM revision 15
	m = append(append(m, target...), info.Bytes()...)
	h.challenge = m
	return h
}

func appendField(m []byte, length, offset int) []byte {
	m = binary.LittleEndian.AppendUint16(m, uint16(length))
	m = binary.LittleEndian.AppendUint16(m, uint16(length))
	return binary.LittleEndian.AppendUint32(m, uint32(offset))
}

// filetime counts 100 ns since 1601.
func filetime(t time.Time) uint64 { return uint64(t.UnixNano()/100) + 116444736000000000 }

// authenticateMessage is the client's answer, MS-NLMP 2.2.1.3.
type authenticateMessage struct {
	domain, user string
	proof        []byte // NTProofStr
	blob         []byte // what the proof is over, after the challenge
	key          []byte // encrypted random session key
	flags        uint32
	bindings     []byte
	hasMIC       bool
}

const micOffset, micLength = 72, 16

func parseAuthenticate(message []byte) (*authenticateMessage, error) {
	if len(message) < 64 {
		return nil, errors.New("the NTLM authenticate message is cut short")
	}
	var err error
	field := func(name string, at int) []byte {
		length := int(binary.LittleEndian.Uint16(message[at:]))
		offset := int64(binary.LittleEndian.Uint32(message[at+4:]))
		if offset+int64(length) > int64(len(message)) {
			err = fmt.Errorf("the NTLM authenticate message ends before its %s", name)
			return nil
		}
		return message[offset : offset+int64(length)]
	}
	response, domain, user, key := field("response", 20), field("domain", 28), field("user", 36), field("session key", 52)
	if err != nil {
		return nil, err
	}
	const smallest = 16 + 28 // the proof, and a blob without AV pairs
	if len(response) < smallest {
		return nil, errors.New("the NTLM response is not NTLMv2")
	}
	if binary.LittleEndian.Uint32(message[60:])&flagUnicode == 0 {
		return nil, errors.New("the NTLM authenticate message is not in Unicode")
	}
	m := &authenticateMessage{domain: decode16(domain), user: decode16(user), proof: response[:16], blob: response[16:], key: key,
		flags: binary.LittleEndian.Uint32(message[60:])}
	pairs := avPairs(m.blob[28:])
	m.bindings = pairs[avBindings]
	if flags := pairs[avFlags]; len(flags) == 4 {
		m.hasMIC = binary.LittleEndian.Uint32(flags)&avFlagMIC != 0
	}
	if m.hasMIC && len(message) < micOffset+micLength {
		return nil, errors.New("the NTLM authenticate message ends before its integrity code")
	}
	return m, nil
}

// avPairs reads what stands before the end of the list.
func avPairs(list []byte) map[uint16][]byte {
	pairs := map[uint16][]byte{}
	for len(list) >= 4 {
		id, length := binary.LittleEndian.Uint16(list), int(binary.LittleEndian.Uint16(list[2:]))
		if id == avEnd || len(list) < 4+length {
			break
		}
		pairs[id] = list[4 : 4+length]
		list = list[4+length:]
	}
	return pairs
}

// authenticate checks the client's proof and returns the account with the key of the session.
func (s *Server) authenticate(h *handshake, message []byte) (user string, key []byte, err error) {
	m, err := parseAuthenticate(message)
	if err != nil {
		return "", nil, err
	}
	user, password, known := s.account(m.domain, m.user)
	if !known || m.user == "" {
		return "", nil, errors.New("unknown account")
	}
	hash := ntlmHash(password, m.user, m.domain)
	if !hmac.Equal(m.proof, hmacMD5(hash, h.nonce, m.blob)) {
		return "", nil, errors.New("wrong password")
	}
	if !s.boundTo(m.bindings) {
		return "", nil, errors.New("the log-on belongs to another TLS channel")
	}
	h.flags &= m.flags
	key = hmacMD5(hash, m.proof)
	if h.flags&flagKeyExchange != 0 {
		if len(m.key) != 16 {
			return "", nil, errors.New("no session key")
		}
		key = sealWith(key, m.key)
	}
	if m.hasMIC {
		blank := append([]byte(nil), message...)
		clear(blank[micOffset : micOffset+micLength])
		if !hmac.Equal(message[micOffset:micOffset+micLength], hmacMD5(key, h.negotiate, h.challenge, blank)) {
			return "", nil, errors.New("the messages of the log-on were changed on the way")
		}
	}
	return user, key, nil
}

// boundTo checks a client's channel binding as CbtHardeningLevel says: Relaxed checks what there is, Strict wants it.
func (s *Server) boundTo(bindings []byte) bool {
	if s.options.HTTP {
		return true
	}
	if given := len(bindings) > 0 && !bytes.Equal(bindings, make([]byte, md5.Size)); !given {
		return !s.options.StrictBinding
	}
	return hmac.Equal(bindings, s.bindings)
}

// channelBindings is the hash of RFC 5929's tls-server-end-point in a gss_channel_bindings_struct, for a certificate that
// is signed with SHA-256.
func channelBindings(certificate []byte) []byte {
	hash := sha256.Sum256(certificate)
	data := "tls-server-end-point:" + string(hash[:])
	packed := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(data)))
	sum := md5.Sum(append(packed, data...))
	return sum[:]
}

// ntlmHash is NTOWFv2 of MS-NLMP 3.3.2.
func ntlmHash(password, user, domain string) []byte {
	digest := md4.New()
	digest.Write(encode16(password))
	return hmacMD5(digest.Sum(nil), encode16(strings.ToUpper(user)+domain))
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(md5.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// sealWith is RC4 with a fresh key stream.
func sealWith(key, data []byte) []byte {
	cipher, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // only for an impossible key length
	}
	out := make([]byte, len(data))
	cipher.XORKeyStream(out, data)
	return out
}

func encode16(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func decode16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
