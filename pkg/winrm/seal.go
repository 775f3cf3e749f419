package winrm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"strconv"
	"strings"
)

// sealer encrypts and signs the messages of one connection; each direction counts them (MS-NLMP, section 3.4).
type sealer interface {
	Wrap(message []byte) (sealed, signature []byte, err error)
	Unwrap(sealed, signature []byte) ([]byte, error)
}

const (
	boundary       = "Encrypted Boundary"
	sealedProtocol = "application/HTTP-SPNEGO-session-encrypted"
	sealedType     = `multipart/encrypted;protocol="` + sealedProtocol + `";boundary="` + boundary + `"`
	signatureSize  = 16
)

var errNotSealed = errors.New("no encrypted message")

// seal packs an envelope as MS-WSMV, section 2.2.9.1 wants it: not quite MIME, for the headers stand behind a tab, and
// nothing separates the data from the boundary that follows.
func seal(s sealer, envelope []byte) ([]byte, error) {
	if s == nil {
		return nil, &Fault{Op: "log in", Reason: "the server did not agree to message encryption", class: ErrUnprotected,
			Do: "use https"}
	}
	sealed, signature, err := s.Wrap(envelope)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if len(signature) != signatureSize {
		return nil, &Fault{Op: "log in", Reason: "the server did not agree to signatures", class: ErrUnprotected, Do: "use https"}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "--%s\r\n\tContent-Type: %s\r\n\tOriginalContent: type=%s;Length=%d\r\n", boundary, sealedProtocol, soapType,
		len(envelope))
	fmt.Fprintf(&b, "--%s\r\n\tContent-Type: application/octet-stream\r\n", boundary)
	binary.Write(&b, binary.LittleEndian, uint32(len(signature)))
	b.Write(signature)
	b.Write(sealed)
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes(), nil
}

// unseal unpacks what seal, or a server, packed. What is not encrypted, or was changed, is refused.
func unseal(s sealer, contentType string, body []byte) ([]byte, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/encrypted" || parameters["boundary"] == "" {
		return nil, fmt.Errorf("%w: content type %.60q", errNotSealed, contentType)
	}
	length, data, err := sealedPart(body, "--"+parameters["boundary"])
	if err != nil {
		return nil, err
	}
	if len(data) < 4+signatureSize || binary.LittleEndian.Uint32(data) != signatureSize {
		return nil, fmt.Errorf("%w: bad signature length", errNotSealed)
	}
	envelope, err := s.Unwrap(data[4+signatureSize:], data[4:4+signatureSize])
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	if len(envelope) != length {
		return nil, fmt.Errorf("%w: %d bytes where %d were announced", errNotSealed, len(envelope), length)
	}
	return envelope, nil
}

// sealedPart finds the length of the original, and the data. The data may hold anything, the boundary too, so its end is
// counted from the end of the body.
func sealedPart(body []byte, dashes string) (length int, data []byte, err error) {
	head, rest, ok := bytes.Cut(body, []byte(dashes+"\r\n"))
	if !ok || len(bytes.TrimSpace(head)) > 0 {
		return 0, nil, fmt.Errorf("%w: no boundary", errNotSealed)
	}
	header, rest, ok := bytes.Cut(rest, []byte(dashes+"\r\n"))
	if !ok {
		return 0, nil, fmt.Errorf("%w: no second part", errNotSealed)
	}
	if length, err = originalLength(string(header)); err != nil {
		return 0, nil, err
	}
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if !ok || !bytes.HasPrefix(bytes.TrimLeft(line, "\t "), []byte("Content-")) {
			break
		}
		rest = after
	}
	end := bytes.LastIndex(rest, []byte(dashes+"--"))
	if end < 0 {
		return 0, nil, fmt.Errorf("%w: cut off", errNotSealed)
	}
	return length, rest[:end], nil
}

func originalLength(header string) (int, error) {
	for line := range strings.Lines(header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if !strings.EqualFold(name, "OriginalContent") {
			continue
		}
		for field := range strings.SplitSeq(value, ";") {
			key, text, _ := strings.Cut(strings.TrimSpace(field), "=")
			if n, err := strconv.Atoi(text); strings.EqualFold(key, "Length") && err == nil {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: no original length", errNotSealed)
}
