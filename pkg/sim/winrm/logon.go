package simwinrm

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// logOn finds out who sends a request. When it returns false it has answered.
func (s *Server) logOn(w http.ResponseWriter, req *http.Request, conn *connection) (user string, ok bool) {
	scheme, credentials, given := strings.Cut(req.Header.Get("Authorization"), " ")
	if !given {
		if conn.user == "" {
			s.refuse(w)
		}
		return conn.user, conn.user != ""
	}
	token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(credentials))
	if err != nil {
		s.refuse(w)
		return "", false
	}
	conn.user, conn.seal = "", nil
	switch scheme = strings.ToLower(scheme); {
	case scheme == "basic" && s.offersBasic():
		user, ok = s.basic(string(token))
	case scheme == "negotiate" && isNTLM(token), scheme == "ntlm":
		if s.options.NoNTLM {
			break
		}
		var challenge []byte
		if challenge, ok = s.ntlm(conn, token); challenge != nil {
			w.Header()["WWW-Authenticate"] = []string{req.Header.Get("Authorization")[:len(scheme)] + " " + base64.StdEncoding.EncodeToString(challenge)}
			answer(w, http.StatusUnauthorized, "")
			return "", false
		}
		user = conn.user
	case (scheme == "negotiate" || scheme == "kerberos") && s.options.Keytab != nil:
		if user, err = s.kerberos(token, req.RemoteAddr); err == nil {
			conn.user, ok = user, true
			w.Header()["WWW-Authenticate"] = []string{"Negotiate " + negotiationComplete}
		}
	}
	if !ok {
		s.refuse(w)
	}
	return user, ok
}

// refuse answers 401 with the ways to log on, in the order of Windows.
func (s *Server) refuse(w http.ResponseWriter) {
	var offers []string
	if !s.options.NoNTLM || s.options.Keytab != nil {
		offers = append(offers, "Negotiate")
	}
	if s.options.Keytab != nil {
		offers = append(offers, "Kerberos")
	}
	if s.offersBasic() {
		offers = append(offers, `Basic realm="WSMAN"`)
	}
	w.Header()["WWW-Authenticate"] = offers
	answer(w, http.StatusUnauthorized, "")
}

// offersBasic tells whether passwords may come in clear: never over plain HTTP, unless it was allowed.
func (s *Server) offersBasic() bool {
	return !s.options.NoBasic && (!s.options.HTTP || s.options.AllowUnencrypted)
}

func (s *Server) basic(credentials string) (user string, ok bool) {
	user, password, _ := strings.Cut(credentials, ":")
	account, right, known := s.account("", user)
	if !known || right != password {
		return "", false
	}
	return account, true
}

// account finds an account by its name alone, DOMAIN\name or name@domain.
func (s *Server) account(domain, user string) (name, password string, known bool) {
	if before, after, qualified := strings.Cut(user, `\`); qualified {
		domain, user = before, after
	}
	if before, after, qualified := strings.Cut(user, "@"); qualified {
		domain, user = after, before
	}
	for name, password := range s.options.Accounts {
		accountDomain, bare, qualified := strings.Cut(name, `\`)
		if !qualified {
			bare, accountDomain = name, ""
		}
		if sameName(bare, user) && (!qualified || sameName(accountDomain, domain)) {
			return name, password, true
		}
	}
	return "", "", false
}
