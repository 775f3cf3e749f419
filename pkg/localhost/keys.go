package localhost

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// keyring guards an app. The zero keyring lets everybody in, as Core Tools does.
type keyring struct {
	enabled bool
	Master  string `json:"masterKey"`
	// Function opens every function of level "function".
	Function string `json:"functionKey"`
}

// loadKeys reads the keys from a file, and makes them and the file (readable by its owner only) when it is missing.
func loadKeys(file string) (keyring, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKeys(file)
	}
	if err != nil {
		return keyring{}, fmt.Errorf("read the keys: %w", err)
	}
	k := keyring{enabled: true}
	if err := json.Unmarshal(text, &k); err != nil || k.Master == "" || k.Function == "" {
		return keyring{}, fmt.Errorf("the key file %s must hold masterKey and functionKey; delete it to get new ones", file)
	}
	return k, nil
}

func makeKeys(file string) (keyring, error) {
	k := keyring{enabled: true, Master: newKey(), Function: newKey()}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return keyring{}, err
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return keyring{}, fmt.Errorf("write the keys: %w", err)
	}
	return k, nil
}

func newKey() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// identity is who calls, as the key tells.
type identity struct {
	level string // "", "Function" or "Admin"
	key   string
}

// identify looks at the header first, then at the query.
func (k keyring) identify(r *http.Request) identity {
	given := r.Header.Get("x-functions-key")
	if given == "" {
		given = r.URL.Query().Get("code")
	}
	is := func(key string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(key)) == 1 }
	switch {
	case !k.enabled || given == "":
	case is(k.Master):
		return identity{"Admin", "master"}
	case is(k.Function):
		return identity{"Function", "default"}
	}
	return identity{}
}

// permits says whether a caller may use what has this authLevel.
func (k keyring) permits(who identity, level string) bool {
	switch {
	case !k.enabled, level == "anonymous", who.level == "Admin":
		return true
	}
	return level == "function" && who.level == "Function"
}

// json is the claims identity that the host shows to functions.
func (i identity) json() string {
	const (
		claims = "http://schemas.microsoft.com/2017/07/functions/claims/"
		tail   = `,"Label":null,"Name":null,"NameClaimType":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",` +
			`"RoleClaimType":"http://schemas.microsoft.com/ws/2008/06/identity/claims/role"}`
	)
	if i.level == "" {
		return `{"AuthenticationType":null,"IsAuthenticated":false,"Actor":null,"BootstrapContext":null,"Claims":[]` + tail
	}
	claim := func(name, value string) string {
		return `{"Issuer":"LOCAL AUTHORITY","OriginalIssuer":"LOCAL AUTHORITY","Properties":{},"Type":"` + claims + name +
			`","Value":` + netjson.Quote(value) + `,"ValueType":"http://www.w3.org/2001/XMLSchema#string"}`
	}
	return `{"AuthenticationType":"WebJobsAuthLevel","IsAuthenticated":true,"Actor":null,"BootstrapContext":null,"Claims":[` +
		claim("authlevel", i.level) + "," + claim("invoke", "true") + "," + claim("keyid", i.key) + "]" + tail
}
