package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// SASPermissions are what the bearer of a link may do.
type SASPermissions string

const (
	SASRead   SASPermissions = "r" // read the blob and its properties
	SASCreate SASPermissions = "c" // make the blob; one that exists cannot be changed

	// SASCreateBlocks is SASCreate for an upload in blocks. The emulator lets nobody stage blocks who may not write, so that
	// its link would overwrite as well: commit with If-None-Match: *.
	SASCreateBlocks SASPermissions = "c in blocks"
)

func (p SASPermissions) signed(protocol sas.Protocol) string {
	switch {
	case p != SASCreateBlocks:
		return string(p)
	case protocol == sas.ProtocolHTTPS:
		return "c"
	}
	return "cw"
}

const (
	// SASLimit is the longest life of a link.
	SASLimit = 24 * time.Hour

	// sasBackdate is how far a clock may be behind the service's, on either side.
	sasBackdate = 15 * time.Minute

	// serviceSASVersion is signed into links made with an account key. The SDK's own version is newer than the emulator's;
	// what is signed has not changed between them (Microsoft Learn, "Create a service SAS", version 2020-12-06 and later).
	serviceSASVersion = "2025-11-05"

	// delegationLife is how long a user delegation key is asked for; the service gives at most seven days.
	delegationLife = 2 * SASLimit
)

// SAS is a link that lets its bearer do one thing with one blob for a while: an https address with a shared access signature,
// which is why it is a secret. It is valid from a quarter of an hour ago, so that clocks may differ, until validFor from now,
// at most SASLimit. With the app's managed identity it is a user delegation SAS, and the identity needs the right
// "generateUserDelegationKey" on the whole account, which the role Storage Blob Data Contributor has; with a connection string
// it is signed with the account key. Only the emulator on this machine gives a link for http. The container must exist.
func (c *Container) SAS(ctx context.Context, blob string, permissions SASPermissions, validFor time.Duration) (settings.Secret, error) {
	if err := checkBlobName(blob); err != nil {
		return settings.Secret{}, err
	}
	if validFor <= 0 || validFor > SASLimit {
		return settings.Secret{}, fmt.Errorf("sign a link to %s: it cannot be valid for %s: more than 0 and at most %s is possible", c.blob(blob), validFor, SASLimit)
	}
	address, protocol, err := c.account.linkTo(c.name, blob)
	if err != nil {
		return settings.Secret{}, fmt.Errorf("sign a link to %s: %w", c.blob(blob), err)
	}
	now := time.Now().UTC()
	values := sas.BlobSignatureValues{
		Protocol: protocol, StartTime: now.Add(-sasBackdate), ExpiryTime: now.Add(validFor),
		Permissions: permissions.signed(protocol), ContainerName: c.name, BlobName: blob,
	}
	signed, err := c.account.sign(ctx, values)
	if err != nil {
		return settings.Secret{}, c.wrap(ctx, err, "sign a link to", blob)
	}
	address.RawQuery = signed.Encode()
	return settings.NewSecret(address.String()), nil
}

// linkTo is a blob's address for others, and the protocol that they may use.
func (a *Account) linkTo(container, blob string) (*url.URL, sas.Protocol, error) {
	if a.key == nil && !a.delegates {
		return nil, "", errors.New("AzureWebJobsStorage holds a signature, which cannot sign another: " +
			"use a connection string with the account's key, or the app's managed identity")
	}
	address, err := url.Parse(a.address)
	if err != nil {
		return nil, "", err
	}
	address.Path += "/" + container + "/" + blob
	if address.Scheme == "https" {
		return address, sas.ProtocolHTTPS, nil
	}
	if ip := net.ParseIP(address.Hostname()); ip == nil || !ip.IsLoopback() {
		return nil, "", fmt.Errorf("the blob service's address is %s://%s: only the emulator on this machine may be reached without https",
			address.Scheme, address.Host)
	}
	return address, sas.ProtocolHTTPSandHTTP, nil
}

func (a *Account) sign(ctx context.Context, values sas.BlobSignatureValues) (sas.QueryParameters, error) {
	if a.key != nil {
		values.Version = serviceSASVersion
		return values.SignWithSharedKey(a.key)
	}
	key, err := a.delegation.key(ctx, a.blobs, values.ExpiryTime)
	if err != nil {
		return sas.QueryParameters{}, err
	}
	return values.SignWithUserDelegation(key)
}

// delegation keeps the user delegation key for as long as it is good.
type delegation struct {
	mu      sync.Mutex
	kept    *sas.UserDelegationCredential
	expires time.Time
}

// key is one that is valid until then at least.
func (d *delegation) key(ctx context.Context, account *service.Client, until time.Time) (*sas.UserDelegationCredential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept != nil && !until.After(d.expires) {
		return d.kept, nil
	}
	now := time.Now().UTC()
	expires := now.Add(delegationLife).Truncate(time.Second)
	key, err := account.GetUserDelegationCredential(ctx, service.KeyInfo{
		Start:  to.Ptr(now.Add(-2 * sasBackdate).Format(sas.TimeFormat)),
		Expiry: to.Ptr(expires.Format(sas.TimeFormat)),
	}, nil)
	if err != nil {
		return nil, err
	}
	d.kept, d.expires = key, expires
	return key, nil
}
