package simwinrm

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// Message encryption over plain HTTP: MS-WSMV 2.2.9.1 around the sealed messages of MS-NLMP 3.4.

const (
	encryptedProtocol = "application/HTTP-SPNEGO-session-encrypted"
	encryptedType     = `multipart/encrypted;protocol="` + encryptedProtocol + `";boundary="Encrypted Boundary"`
	boundary          = "--Encrypted Boundary"
	signatureLength   = 16
)

// session seals one direction and opens the other; each counts its messages.
type session struct {
	out, in half
}

type half struct {
	sign     []byte
	seal     *rc4.Cipher
	exchange bool // checksums are sealed too
	sequence uint32
}

// newSession derives the keys of both directions from the key of the log-on, as the server or as its client.
func newSession(key []byte, flags uint32, client bool) *session {
	derive := func(direction string) half {
		sealing := key
		switch {
		case flags&flag128 != 0:
		case flags&flag56 != 0:
			sealing = key[:7]
		default:
			sealing = key[:5]
		}
		sign := md5.Sum([]byte(string(key) + "session key to " + direction + " signing key magic constant\x00"))
		seal := md5.Sum([]byte(string(sealing) + "session key to " + direction + " sealing key magic constant\x00"))
		cipher, err := rc4.NewCipher(seal[:])
		if err != nil {
			panic(err) // only for an impossible key length
		}
		return half{sign: sign[:], seal: cipher, exchange: flags&flagKeyExchange != 0}
	}
	s := &session{out: derive("server-to-client"), in: derive("client-to-server")}
	if client {
		s.out, s.in = s.in, s.out
	}
	return s
}

// signature is the MAC of the next message, whose text has just gone through the key stream.
func (h *half) signature(plain []byte) []byte {
	sequence := binary.LittleEndian.AppendUint32(nil, h.sequence)
	h.sequence++
	checksum := hmacMD5(h.sign, sequence, plain)[:8]
	if h.exchange {
		h.seal.XORKeyStream(checksum, checksum)
	}
	return append(append([]byte{1, 0, 0, 0}, checksum...), sequence...)
}

// wrap makes the body of an encrypted message.
func (s *session) wrap(plain []byte) []byte {
	sealed := make([]byte, len(plain))
	s.out.seal.XORKeyStream(sealed, plain)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: %s\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"+
		"%s\r\n\tContent-Type: application/octet-stream\r\n", boundary, encryptedProtocol, len(plain), boundary)
	binary.Write(&b, binary.LittleEndian, uint32(signatureLength))
	b.Write(s.out.signature(plain))
	b.Write(sealed)
	b.WriteString(boundary + "--\r\n")
	return b.Bytes()
}

// open takes an encrypted message apart and checks its signature, its length and its place in the sequence.
func (s *session) open(body []byte) ([]byte, error) {
	length, signature, sealed, err := parseEncrypted(body)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(sealed))
	s.in.seal.XORKeyStream(plain, sealed)
	if !hmac.Equal(signature, s.in.signature(plain)) {
		return nil, errors.New("the signature of the encrypted message is wrong")
	}
	if len(plain) != length {
		return nil, fmt.Errorf("the encrypted message has %d bytes and announces %d", len(plain), length)
	}
	return plain, nil
}

var errEncrypted = errors.New("the body is no encrypted message")

func parseEncrypted(body []byte) (length int, signature, sealed []byte, err error) {
	rest, ok := bytes.CutPrefix(body, []byte(boundary+"\r\n"))
	head, rest, found := bytes.Cut(rest, []byte(boundary+"\r\n"))
	if !ok || !found || !bytes.Contains(head, []byte(encryptedProtocol)) {
		return 0, nil, nil, errEncrypted
	}
	_, number, found := bytes.Cut(head, []byte("Length="))
	if length, err = strconv.Atoi(string(bytes.TrimSpace(number))); !found || err != nil {
		return 0, nil, nil, fmt.Errorf("%w: no length", errEncrypted)
	}
	_, rest, found = bytes.Cut(rest, []byte("application/octet-stream\r\n"))
	data, ended := bytes.CutSuffix(rest, []byte(boundary+"--\r\n"))
	if !found || !ended || len(data) < 4+signatureLength || binary.LittleEndian.Uint32(data) != signatureLength {
		return 0, nil, nil, fmt.Errorf("%w: no signature", errEncrypted)
	}
	return length, data[4 : 4+signatureLength], data[4+signatureLength:], nil
}
