package storage_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// token is an identity's token as Entra ID would make it, but unsigned; the emulator does not check signatures.
type token struct{ audience string }

func (c token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"aud": c.audience, "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
		"nbf": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix()})
	part := base64.RawURLEncoding.EncodeToString
	return azcore.AccessToken{Token: part([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + part(claims) + "." + part([]byte("unsigned")),
		ExpiresOn: now.Add(time.Hour)}, err
}

func TestIdentityOpensTheAccount(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := certificate(t)
	s, err := azurite.Start(t.Context(), azurite.Options{CertFile: certFile, KeyFile: keyFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	open := func(c azcore.TokenCredential) *storage.Account {
		a, err := storage.Open(storage.Config{BlobServiceURI: s.BlobURL() + "/devstoreaccount1", QueueServiceURI: s.QueueURL() + "/devstoreaccount1",
			AccountName: "devstoreaccount1"}, storage.WithCredential(c), storage.WithTransport(transport), storage.WithRetries(1, time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, name := open(token{"https://storage.azure.com"}), freshName()
	if _, _, err := a.Container(name).Upload(t.Context(), "x", strings.NewReader(text(2*block)), storage.Cond{New: true}, storage.Meta{}); err != nil {
		t.Errorf("upload: %v", err)
	}
	if p, err := a.Container(name).Copy(t.Context(), "x", "y", storage.Cond{}, storage.Meta{}); err != nil || p.Size != 2*block {
		t.Errorf("copy: %+v %v", p, err)
	}
	if _, err := a.Queue(name).Enqueue(t.Context(), []byte("x"), 0); err != nil {
		t.Errorf("enqueue: %v", err)
	}
	stranger := open(token{"https://graph.microsoft.com"})
	if _, err := stranger.Container(name).Stat(t.Context(), "x"); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("with another audience's token: %v", err)
	}
}

func text(n int) string { return strings.Repeat("x", n) }

// certificate makes a key and a certificate for loopback, in files and as a pool that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, certErr := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	private, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(certErr, keyErr); err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := errors.Join(os.WriteFile(certFile, certPEM, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}

// fakeIMDS answers for the identity service, or not.
type fakeIMDS struct{ status int }

func (f fakeIMDS) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.status == 0 {
		return nil, errors.New("dial tcp 169.254.169.254:80: connect: no route to host")
	}
	return &http.Response{StatusCode: f.status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: http.NoBody}, nil
}

func TestIdentityThatIsNotThere(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status int
		kind   error
		want   string
	}{
		"no identity service":    {0, storage.ErrUnavailable, "identity"},
		"no such identity":       {400, storage.ErrDenied, "AzureWebJobsStorage__clientId"},
		"the service is overrun": {429, storage.ErrUnavailable, "429"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := storage.Open(storage.Config{AccountName: "nightshiftfiles", ClientID: "11111111-2222-3333-4444-555555555555"},
				storage.WithTransport(fakeIMDS{row.status}), storage.WithRetries(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = a.Container("files").Stat(ctx, "x")
			if !errors.Is(err, row.kind) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
