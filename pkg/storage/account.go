package storage

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// Config says which storage account to use and how to prove who we are; it is filled from the app's settings.
type Config = settings.Storage

// Account is one storage account. Close it when its process or test ends.
type Account struct {
	name      string
	secrets   []settings.Secret
	transport *http.Transport     // nil when the caller brought a transport of its own
	streaming policy.RetryOptions // without a limit for one request, which would cut a long download
	stall     time.Duration       // how long a download may stand still
	buffers   sync.Pool           // of *buffer
	blobs     *service.Client
	queues    *azqueue.ServiceClient

	address    string                      // of the blob service, for links
	key        *azblob.SharedKeyCredential // signs links; nil with an identity
	delegates  bool                        // an identity signs links
	delegation delegation
}

// Option changes how Open sets the account up; meant for tests.
type Option func(*options)

type options struct {
	retry      policy.RetryOptions
	transport  http.RoundTripper
	credential azcore.TokenCredential
}

// WithTransport sends every request through rt.
func WithTransport(rt http.RoundTripper) Option { return func(o *options) { o.transport = rt } }

// WithCredential uses a credential other than the app's managed identity.
func WithCredential(c azcore.TokenCredential) Option { return func(o *options) { o.credential = c } }

// WithRetries sets how often a failed request is repeated, and the wait before the first repeat.
func WithRetries(n int, wait time.Duration) Option {
	return func(o *options) {
		o.retry.MaxRetries, o.retry.RetryDelay = int32(n), wait
		if n == 0 {
			o.retry.MaxRetries = -1 // the SDK reads 0 as "the default"
		}
	}
}

// tryLimit bounds one request; a block of an upload passes in that time at 40 KB/s.
const tryLimit = 2 * time.Minute

// Open prepares the account's clients; it sends nothing. A connection string wins; otherwise the app's managed identity is
// used with the account named. The error is a settings.Problems.
func Open(cfg Config, opts ...Option) (*Account, error) {
	if problems := cfg.Problems(); len(problems) > 0 {
		return nil, problems
	}
	o := options{retry: policy.RetryOptions{
		MaxRetries: 5, RetryDelay: 400 * time.Millisecond, MaxRetryDelay: 10 * time.Second, TryTimeout: tryLimit,
		ShouldRetry: worthRepeating,
	}}
	for _, set := range opts {
		set(&o)
	}
	a := &Account{streaming: o.retry, stall: stallLimit, buffers: sync.Pool{New: func() any { return new(buffer) }}}
	a.streaming.TryTimeout = 0
	if o.transport == nil {
		a.transport = newTransport()
		o.transport = a.transport
	}
	client := policy.ClientOptions{
		Retry: o.retry, Transport: &http.Client{Transport: attempts{o.transport}, CheckRedirect: noRedirect},
		Telemetry: policy.TelemetryOptions{ApplicationID: "nightshift"},
	}
	target, err := targetOf(cfg)
	if err != nil {
		return nil, err
	}
	a.name, a.address, a.secrets = target.Account, target.Blob, append(target.secrets(), settings.Secrets(cfg)...)
	if target.Key.IsZero() && target.Signature.IsZero() && o.credential == nil {
		if o.credential, err = identity(cfg.ClientID, client); err != nil {
			return nil, err
		}
	}
	return a, a.connect(target, o.credential, client)
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newTransport is made for one host and many parallel requests. It has no overall time limit, which would cut long downloads.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 90 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          128,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true, // a gzipped blob is delivered as it is
	}
}

func identity(clientID string, client policy.ClientOptions) (azcore.TokenCredential, error) {
	// The SDK's own choice would keep somebody without any identity waiting for more than a minute.
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: policy.ClientOptions{Transport: client.Transport, Retry: policy.RetryOptions{
		MaxRetries: client.Retry.MaxRetries, RetryDelay: client.Retry.RetryDelay, MaxRetryDelay: client.Retry.MaxRetryDelay,
	}}}
	if clientID != "" {
		o.ID = azidentity.ClientID(clientID)
	}
	credential, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil {
		return nil, settings.Problems{{Setting: "AzureWebJobsStorage__clientId", Got: clientID,
			Want: "the client id of an identity that is assigned to this app", Hint: err.Error()}}
	}
	return credential, nil
}

func (a *Account) connect(t target, credential azcore.TokenCredential, client policy.ClientOptions) error {
	var err error
	switch {
	case !t.Key.IsZero():
		err = a.connectWithKey(t, client)
	case !t.Signature.IsZero():
		if a.blobs, err = service.NewClientWithNoCredential(t.signed(t.Blob), &service.ClientOptions{ClientOptions: client}); err == nil {
			a.queues, err = azqueue.NewServiceClientWithNoCredential(t.signed(t.Queue), &azqueue.ClientOptions{ClientOptions: client})
		}
	default:
		a.delegates = true
		if a.blobs, err = service.NewClient(t.Blob, credential, &service.ClientOptions{ClientOptions: client}); err == nil {
			a.queues, err = azqueue.NewServiceClient(t.Queue, credential, &azqueue.ClientOptions{ClientOptions: client})
		}
	}
	if err != nil {
		return fmt.Errorf("open storage account %q: %s", a.name, settings.RedactText(err.Error(), a.secrets))
	}
	return nil
}

func (a *Account) connectWithKey(t target, client policy.ClientOptions) error {
	key, err := azblob.NewSharedKeyCredential(t.Account, t.Key.Reveal())
	if err != nil {
		return err
	}
	a.key = key
	queueKey, err := azqueue.NewSharedKeyCredential(t.Account, t.Key.Reveal())
	if err != nil {
		return err
	}
	if a.blobs, err = service.NewClientWithSharedKeyCredential(t.Blob, key, &service.ClientOptions{ClientOptions: client}); err != nil {
		return err
	}
	a.queues, err = azqueue.NewServiceClientWithSharedKeyCredential(t.Queue, queueKey, &azqueue.ClientOptions{ClientOptions: client})
	return err
}

// Name is the account's name, for messages.
func (a *Account) Name() string { return a.name }

// Close lets go of idle connections. Calls under way are not disturbed.
func (a *Account) Close() {
	if a.transport != nil {
		a.transport.CloseIdleConnections()
	}
}

// Container gives the container of that name; nothing is sent.
func (a *Account) Container(name string) *Container {
	return &Container{account: a, name: name, client: a.blobs.NewContainerClient(name)}
}

// Queue gives the queue of that name; nothing is sent.
func (a *Account) Queue(name string) *Queue {
	return &Queue{account: a, name: name, client: a.queues.NewQueueClient(name)}
}

// CheckContainerName judges a name before it is used, for those who read it from a setting.
func CheckContainerName(name string) error { return checkName("container", name) }

var containerName = regexp.MustCompile(`^[a-z0-9](?:-?[a-z0-9])+$`)

// checkName applies the rule for containers and queues (Microsoft Learn, "Naming and referencing containers", "Naming queues").
func checkName(kind, name string) error {
	if len(name) < 3 || len(name) > 63 || !containerName.MatchString(name) {
		return fmt.Errorf("%s name %q: 3 to 63 lower-case letters, digits and single hyphens between them are allowed", kind, name)
	}
	return nil
}

// hostOf is the host of an address, for messages.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Host, "/")
}
