package simwinrm

import (
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// negotiationComplete is a NegTokenResp: accept-completed, Kerberos.
const negotiationComplete = "oRQwEqADCgEAoQsGCSqGSIb3EgECAg=="

// maxSkew is how far clocks may differ, as in Active Directory.
const maxSkew = 5 * time.Minute

// kerberos checks a ticket for the keytab's principal that a client at host:port sends. The account is user@REALM.
func (s *Server) kerberos(token []byte, client string) (user string, err error) {
	defer func() { // the library indexes into what it parses
		if p := recover(); p != nil {
			err = fmt.Errorf("read the Kerberos token: %v", p)
		}
	}()
	var ticket spnego.KRB5Token
	var negotiation spnego.SPNEGOToken
	if negotiation.Unmarshal(token) == nil && negotiation.Init {
		token = negotiation.NegTokenInit.MechTokenBytes
	}
	if err := ticket.Unmarshal(token); err != nil {
		return "", fmt.Errorf("read the Kerberos token: %w", err)
	}
	if !ticket.IsAPReq() {
		return "", errors.New("the Kerberos token is no AP-REQ")
	}
	address, err := types.GetHostAddress(client)
	if err != nil {
		return "", fmt.Errorf("read the client's address: %w", err)
	}
	request := ticket.APReq
	// The library's own service would also keep a cache against replays, whose goroutine never ends.
	if valid, err := request.Verify(s.options.Keytab, maxSkew, address, nil); err != nil || !valid {
		return "", fmt.Errorf("check the Kerberos ticket: %w", err)
	}
	return ticketUser(&request), nil
}

func ticketUser(request *messages.APReq) string {
	part := request.Ticket.DecryptedEncPart
	return part.CName.PrincipalNameString() + "@" + part.CRealm
}
