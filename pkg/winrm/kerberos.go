package winrm

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/spnego"
)

// tickets gets the tickets of one client's connections. It is safe for concurrent use.
type tickets struct {
	cfg Config

	lock   sync.Mutex
	client *client.Client // made at the first use; renews its own ticket until it is closed
	asking sync.WaitGroup
}

// token returns a SPNEGO token for a new connection. The library cannot be interrupted; where the context ends first, its
// request to the domain controller ends by itself, within its own few seconds.
func (t *tickets) token(ctx context.Context) ([]byte, error) {
	type result struct {
		token []byte
		err   error
	}
	done := make(chan result, 1)
	t.asking.Go(func() {
		token, err := t.ask()
		done <- result{token, err}
	})
	select {
	case r := <-done:
		if r.err != nil {
			return nil, kerberosFault(r.err)
		}
		return r.token, nil
	case <-ctx.Done():
		cause := context.Cause(ctx)
		return nil, &Fault{Op: "log in", Reason: cause.Error(), cause: cause}
	}
}

func (t *tickets) ask() ([]byte, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.client == nil {
		c, err := newKerberosClient(t.cfg)
		if err != nil {
			return nil, err
		}
		t.client = c
	}
	s := spnego.SPNEGOClient(t.client, t.cfg.SPN)
	if err := s.AcquireCred(); err != nil {
		return nil, fmt.Errorf("get a ticket: %w", err)
	}
	token, err := s.InitSecContext()
	if err != nil {
		return nil, fmt.Errorf("get a ticket for %s: %w", t.cfg.SPN, err)
	}
	return token.Marshal()
}

func (t *tickets) close() {
	t.asking.Wait()
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.client != nil {
		t.client.Destroy()
		t.client = nil
	}
}

func newKerberosClient(cfg Config) (*client.Client, error) {
	user, realm := cfg.Username, cfg.Realm
	if before, after, ok := strings.Cut(cfg.Username, "@"); ok {
		user = before
		setDefault(&realm, after)
	}
	realm = strings.ToUpper(realm)
	conf, err := kerberosConfig(cfg.Krb5Conf, realm)
	if err != nil {
		return nil, err
	}
	setDefault(&realm, conf.LibDefaults.DefaultRealm)
	// Active Directory does not know FAST negotiation as the library offers it.
	noFAST := client.DisablePAFXFAST(true)
	switch {
	case cfg.Keytab != "":
		keys, err := keytab.Load(cfg.Keytab)
		if err != nil {
			return nil, fmt.Errorf("read keytab %q: %w", cfg.Keytab, err)
		}
		return client.NewWithKeytab(user, realm, keys, conf, noFAST), nil
	case cfg.CCache != "":
		cache, err := credentials.LoadCCache(cfg.CCache)
		if err != nil {
			return nil, fmt.Errorf("read credential cache %q: %w", cfg.CCache, err)
		}
		return client.NewFromCCache(cache, conf, noFAST)
	}
	return client.NewWithPassword(user, realm, cfg.Password.Reveal(), conf, noFAST), nil
}

func kerberosConfig(path, realm string) (*config.Config, error) {
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read Kerberos configuration: %w", err)
		}
		conf, err := config.NewFromString(string(text))
		if err != nil {
			return nil, fmt.Errorf("read Kerberos configuration %q: %w", path, err)
		}
		return conf, nil
	}
	if realm == "" {
		return nil, fmt.Errorf("no Kerberos realm: write the user as user@REALM, or name a realm or a krb5.conf")
	}
	// TCP only: tickets of users with many groups do not fit into a datagram.
	return config.NewFromString("[libdefaults]\n default_realm = " + realm +
		"\n dns_lookup_kdc = true\n dns_lookup_realm = false\n udp_preference_limit = 1\n")
}

// kerberosFault knows the domain controller's answers by their names: the library gives no types.
func kerberosFault(err error) *Fault {
	f := &Fault{Op: "log in", Reason: err.Error()}
	has := func(s string) bool { return strings.Contains(f.Reason, s) }
	switch {
	case has("KRB_AP_ERR_SKEW") || has("clock skew"):
		k := knownCode(1398)
		f.class, f.Meaning, f.Do = k.class, k.meaning, k.do
	case has("KDC_ERR_PREAUTH_FAILED"):
		f.class, f.Meaning, f.Do = ErrDenied, "the password or key is wrong", "check it; repeated attempts lock the account"
	case has("KDC_ERR_C_PRINCIPAL_UNKNOWN"):
		f.class, f.Meaning, f.Do = ErrDenied, "the domain does not know this user", "check the name, and the realm"
	case has("KDC_ERR_CLIENT_REVOKED"):
		f.class, f.Meaning, f.Do = ErrDenied, "the account is disabled or locked", "unlock it"
	case has("KDC_ERR_KEY_EXPIRED"):
		f.class, f.Meaning, f.Do = ErrDenied, "the password has expired", "set a new one"
	case has("KDC_ERR_S_PRINCIPAL_UNKNOWN"):
		f.class, f.Meaning = ErrDenied, "the domain does not know the service"
		f.Do = "name the server by the name it has in the domain, or set the SPN"
	case has("KDC_ERR_ETYPE_NOSUPP"):
		f.class, f.Meaning, f.Do = ErrDenied, "no common encryption type", "allow AES for the account, or make a keytab with AES keys"
	case has("Networking_Error") || has("no KDC") || has("lookup "):
		f.class, f.Meaning = ErrUnreachable, "no domain controller answers"
		f.Do = "check DNS and firewall (TCP 88), or name the domain controllers in a krb5.conf"
	}
	return f
}
