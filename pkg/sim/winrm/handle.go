package simwinrm

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
)

const soapType = "application/soap+xml;charset=UTF-8"

// Request is what arrived and passed the log-on, in order.
type Request struct {
	Action    string // Create, Command, Send, Receive, Signal, Delete, Identify; empty for one that shells do not have
	User      string
	Encrypted bool // sealed with the NTLM session key
	ShellID   string
	CommandID string
	Size      int    // bytes of the SOAP envelope
	Command   string // the command line, of Command
	Body      string // the SOAP envelope, its first 64 KiB
	Status    int    // HTTP status of the answer; 0 when there was none, or not a whole one
}

// Requests returns what has arrived so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// received is a request on its way through the server.
type received struct {
	envelope *envelope
	user     string
	clientIP string
	fault    *Fault
	shell    string
	command  string
	seal     *session
	index    int // in Server.requests
}

func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	if s.begin(&s.handling) != nil {
		panic(http.ErrAbortHandler)
	}
	defer s.handling.Done()
	w.Header().Set("Server", "Microsoft-HTTPAPI/2.0")
	switch {
	case !strings.EqualFold(req.URL.Path, "/wsman"):
		answer(w, http.StatusNotFound, "")
		return
	case req.Method != http.MethodPost:
		answer(w, http.StatusMethodNotAllowed, "")
		return
	}
	// The body is read before the log-on, which keeps the connection for it.
	body, whole := s.readBody(req)
	if !whole {
		answer(w, http.StatusRequestEntityTooLarge, "")
		return
	}
	if s.identify(w, req, body) {
		return
	}
	conn := req.Context().Value(connectionKey{}).(*connection)
	user, ok := s.logOn(w, req, conn)
	if !ok {
		return
	}
	if len(body) == 0 { // a client that only logs the connection on
		answer(w, http.StatusOK, "")
		return
	}
	r := &received{user: user, clientIP: hostOf(req.RemoteAddr)}
	if body, ok = s.unseal(r, conn, req, body); !ok {
		s.refuse(w)
		return
	}
	if len(body) > s.options.Limits.EnvelopeSize {
		answer(w, http.StatusRequestEntityTooLarge, "")
		return
	}
	s.dispatch(w, req, r, body)
}

// multipartFrame is more than an encrypted message has around the envelope.
const multipartFrame = 1024

// readBody is false for a body over the limit; it takes that in too, so that the client gets to read the answer.
func (s *Server) readBody(req *http.Request) (body []byte, whole bool) {
	limit := int64(s.options.Limits.EnvelopeSize) + multipartFrame
	body, err := io.ReadAll(io.LimitReader(req.Body, limit))
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	rest, err := io.Copy(io.Discard, req.Body)
	return body, err == nil && rest == 0
}

// unseal opens an encrypted message; false means that the client must log on again.
func (s *Server) unseal(r *received, conn *connection, req *http.Request, body []byte) (plain []byte, ok bool) {
	if !isEncrypted(req) {
		return body, !s.options.HTTP || s.options.AllowUnencrypted
	}
	if conn.seal == nil {
		return nil, false
	}
	plain, err := conn.seal.open(body)
	if err != nil {
		conn.user, conn.seal = "", nil
		return nil, false
	}
	r.seal = conn.seal
	return plain, true
}

// identify answers a probe without log-on, which has a header of its own.
func (s *Server) identify(w http.ResponseWriter, req *http.Request, body []byte) bool {
	if req.Header.Get("WSMANIDENTIFY") != "unauthenticated" || !bytes.Contains(body, []byte("Identify")) {
		return false
	}
	if e, err := parseEnvelope(body); err != nil || e.Body.Identify == nil {
		return false
	}
	answer(w, http.StatusOK, identifyReply("OS: 0.0.0 SP: 0.0 Stack: 3.0"))
	return true
}

func (s *Server) dispatch(w http.ResponseWriter, req *http.Request, r *received, body []byte) {
	e, err := parseEnvelope(body)
	if err != nil {
		e = &envelope{}
	}
	e.machine, e.activityID = hostOf(req.Host), s.options.ActivityIDs
	r.envelope = e
	s.record(r, body)
	if err != nil {
		s.respond(w, r, faultFor(CodeSchema).envelope(e), http.StatusInternalServerError)
		return
	}
	if r.fault = s.faultOf(e.action()); r.fault != nil && s.before(w, req, r) {
		return
	}
	text, status := s.obey(req.Context(), r)
	switch {
	case r.fault != nil && r.fault.Kind == DropAfter:
		s.answered(r, 0)
		panic(http.ErrAbortHandler)
	case r.fault != nil && r.fault.Kind == Reset:
		s.answered(r, 0)
		s.breakOff(w, r, text)
	default:
		s.respond(w, r, text, status)
	}
}

// before is a fault that strikes instead of obeying; false lets the request be obeyed.
func (s *Server) before(w http.ResponseWriter, req *http.Request, r *received) bool {
	switch f := r.fault; f.Kind {
	case Status:
		s.answered(r, int(f.Code))
		if f.Code == http.StatusUnauthorized {
			s.refuse(w)
		} else {
			answer(w, int(f.Code), "")
		}
	case SOAP:
		s.respond(w, r, faultFor(f.Code).with(s.options.Limits.ShellsPerUser).envelope(r.envelope), http.StatusInternalServerError)
	case Drop:
		panic(http.ErrAbortHandler)
	case Stall:
		select {
		case <-req.Context().Done():
		case <-s.life.Done():
		}
		panic(http.ErrAbortHandler)
	case Restart:
		s.Restart()
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// obey does what the request asks.
func (s *Server) obey(ctx context.Context, r *received) (text string, status int) {
	defer s.occupy(r)()
	var fault *soapFault
	switch action := r.envelope.action(); {
	case action == "Identify":
		text = identifyReply("OS: 10.0.17763 SP: 0.0 Stack: 3.0")
	case s.denied(r.user):
		fault = faultPointer(CodeAccessDenied)
	case action == "Create":
		text, fault = s.create(r)
	case action == "Command":
		text, fault = s.start(r)
	case action == "Send":
		text, fault = s.send(r)
	case action == "Receive":
		text, fault = s.receive(ctx, r)
	case action == "Signal":
		text, fault = s.signal(r)
	case action == "Delete":
		text, fault = s.delete(r)
	default:
		fault = faultPointer(CodeActionUnsupported)
	}
	if fault != nil {
		return fault.envelope(r.envelope), http.StatusInternalServerError
	}
	return text, http.StatusOK
}

func (s *Server) record(r *received, body []byte) {
	e := r.envelope
	request := Request{User: r.user, Encrypted: r.seal != nil, Size: len(body), Body: string(body[:min(len(body), 64<<10)]), Action: e.action(), ShellID: e.shellID()}
	if e.Body.CommandLine != nil {
		request.Command = e.Body.CommandLine.String()
	}
	if s.options.OnRequest != nil {
		s.options.OnRequest(request)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.index = len(s.requests)
	s.requests = append(s.requests, request)
}

// answered completes the record of a request.
func (s *Server) answered(r *received, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := &s.requests[r.index]
	request.Status, request.CommandID = status, r.command
	if r.shell != "" {
		request.ShellID = r.shell
	}
}

func (s *Server) respond(w http.ResponseWriter, r *received, text string, status int) {
	s.answered(r, status)
	if r.seal == nil {
		answer(w, status, text)
		return
	}
	w.Header().Set("Content-Type", encryptedType)
	data := r.seal.wrap([]byte(text))
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	w.Write(data)
}

// breakOff promises the whole answer and resets the connection after half of it.
func (s *Server) breakOff(w http.ResponseWriter, r *received, text string) {
	data, contentType := []byte(text), soapType
	if r.seal != nil {
		data, contentType = r.seal.wrap(data), encryptedType
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data[:len(data)/2])
	control := http.NewResponseController(w)
	control.Flush()
	conn, _, err := control.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

func answer(w http.ResponseWriter, status int, text string) {
	if text != "" {
		w.Header().Set("Content-Type", soapType)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func (s *Server) denied(user string) bool {
	for _, name := range s.options.Denied {
		if sameName(name, user) {
			return true
		}
	}
	return false
}

func isEncrypted(req *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	return kind == "multipart/encrypted"
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
