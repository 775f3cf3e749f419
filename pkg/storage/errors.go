package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// The kinds of failure that callers decide by, for errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")    // it exists already, was changed meanwhile, or is leased by somebody else
	ErrDenied      = errors.New("denied")      // the service does not accept who we are, or does not let us
	ErrUnavailable = errors.New("unavailable") // a passing failure: try again later
)

// Error is a failed call.
type Error struct {
	Op       string // what was tried: "write", "enqueue"
	Resource string // on what, with the account's name
	Kind     error  // one of the sentinels above, or nil
	Status   int    // HTTP status, 0 when there was no answer
	Code     string // the service's error code, when it gave one
	Detail   string // what happened, without secrets
	ended    error  // why the caller's context ended, if it did
}

// Error is one line: what was tried, on what, what went wrong, and what to do where that is known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + " " + e.Resource + ": ")
	if e.Kind != nil {
		b.WriteString(e.Kind.Error() + ": ")
	}
	b.WriteString(e.Detail)
	return b.String()
}

// Unwrap gives the kind of failure, and the reason why the context ended.
func (e *Error) Unwrap() []error {
	var all []error
	if e.Kind != nil {
		all = append(all, e.Kind)
	}
	if e.ended != nil {
		all = append(all, e.ended)
	}
	return all
}

// wrap sorts an SDK error. The SDK's own text is not used: it quotes the answer, which may quote the request's signature.
func (a *Account) wrap(ctx context.Context, err error, op, resource string) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Resource: fmt.Sprintf("%s of account %q", resource, a.name)}
	var response *azcore.ResponseError
	var login *azidentity.AuthenticationFailedError
	switch {
	case ctx.Err() != nil:
		e.ended = context.Cause(ctx)
		e.Detail = e.ended.Error()
	case errors.As(err, &login):
		e.Detail, e.Kind = loginFailure(login)
	case errors.As(err, &response):
		e.Status, e.Code = response.StatusCode, response.ErrorCode
		e.Kind = kindOf(e.Status, e.Code)
		e.Detail = answer(e.Status, e.Code) + advice(e.Status, e.Code)
	case strings.Contains(err.Error(), "ManagedIdentityCredential"):
		e.Kind = ErrDenied
		e.Detail = "no managed identity here: assign one to the app, or set AzureWebJobsStorage to a connection string"
	default:
		e.Kind, e.Detail = ErrUnavailable, "no usable answer: "+innermost(err)
	}
	e.Detail = settings.RedactText(e.Detail, a.secrets)
	return e
}

func answer(status int, code string) string {
	if code == "" {
		return fmt.Sprintf("the service answered %d", status)
	}
	return fmt.Sprintf("the service answered %d %s", status, code)
}

func kindOf(status int, code string) error {
	switch code {
	case "ContainerBeingDeleted", "QueueBeingDeleted", "Md5Mismatch", "OperationTimedOut", "ServerBusy":
		return ErrUnavailable
	case "InvalidBlockList", "PopReceiptMismatch":
		return ErrConflict // another writer's commit, or another reader, was faster
	}
	switch {
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed, status == http.StatusNotModified:
		return ErrConflict
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrDenied
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return ErrUnavailable
	}
	return nil
}

// advice says what an admin can do, where the code tells.
func advice(status int, code string) string {
	switch code {
	case "AuthenticationFailed":
		return "; check the account key in AzureWebJobsStorage and this machine's clock"
	case "AuthorizationPermissionMismatch":
		return "; give the app's identity the roles Storage Blob Data Contributor and Storage Queue Data Contributor"
	case "AuthorizationFailure", "IpAuthorizationError", "PublicAccessNotPermitted":
		return "; check the storage account's firewall and the rights of the signature in AzureWebJobsStorage"
	case "KeyBasedAuthenticationNotPermitted":
		return "; the account accepts no keys: set AzureWebJobsStorage__accountName instead of a connection string"
	case "InvalidBlockList":
		return "; another writer of the same blob finished first"
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return "; check the rights of the app's identity, key or signature"
	}
	return ""
}

func loginFailure(err *azidentity.AuthenticationFailedError) (detail string, kind error) {
	r := err.RawResponse
	if r == nil {
		return "the identity service gave no answer", ErrUnavailable
	}
	detail = fmt.Sprintf("the identity service answered %d", r.StatusCode)
	if kindOf(r.StatusCode, "") == ErrUnavailable {
		return detail, ErrUnavailable
	}
	return detail + "; check that the identity named by AzureWebJobsStorage__clientId is assigned to the app", ErrDenied
}

// innermost is the reason of a failed request without its address, which may carry a signature.
func innermost(err error) string {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// worthRepeating tells the SDK which requests to send again.
func worthRepeating(resp *http.Response, err error) bool {
	if err != nil {
		return true
	}
	return kindOf(resp.StatusCode, resp.Header.Get("x-ms-error-code")) == ErrUnavailable &&
		resp.StatusCode != http.StatusNotImplemented && resp.StatusCode != http.StatusInsufficientStorage
}
