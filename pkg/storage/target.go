package storage

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// target is where an account is and what opens it; with neither key nor signature, an identity does.
type target struct {
	Account   string
	Blob      string // address of the blob service
	Queue     string // address of the queue service
	Key       settings.Secret
	Signature settings.Secret // a shared access signature, without the question mark
}

// emulator is what "UseDevelopmentStorage=true" stands for: the storage emulator's well-known account on its usual ports
// (Microsoft Learn, "Use the Azurite emulator for local Azure Storage development").
const emulator = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;" +
	"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;" +
	"BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"

func (t target) secrets() []settings.Secret {
	return []settings.Secret{t.Key, t.Signature}
}

func (t target) signed(address string) string { return address + "?" + t.Signature.Reveal() }

func targetOf(cfg Config) (target, error) {
	if !cfg.ConnectionString.IsZero() {
		return parseConnectionString(cfg.ConnectionString.Reveal())
	}
	t := target{
		Account: cfg.AccountName,
		Blob:    strings.TrimSuffix(cfg.BlobServiceURI, "/"),
		Queue:   strings.TrimSuffix(cfg.QueueServiceURI, "/"),
	}
	if t.Blob == "" {
		t.Blob = "https://" + cfg.AccountName + ".blob.core.windows.net"
	}
	if t.Queue == "" {
		t.Queue = "https://" + cfg.AccountName + ".queue.core.windows.net"
	}
	if t.Account == "" {
		t.Account, _, _ = strings.Cut(hostOf(t.Blob), ".")
	}
	return t, nil
}

// parseConnectionString reads a storage connection string (Microsoft Learn, "Configure Azure Storage connection strings").
// Key names are read without regard to case, as Microsoft's own parser does.
func parseConnectionString(text string) (target, error) {
	parts, err := connectionParts(text)
	if err != nil {
		return target{}, err
	}
	if strings.EqualFold(parts["usedevelopmentstorage"], "true") {
		if parts, err = connectionParts(emulator); err != nil {
			return target{}, err
		}
	}
	t := target{
		Account:   parts["accountname"],
		Key:       settings.NewSecret(parts["accountkey"]),
		Signature: settings.NewSecret(strings.TrimPrefix(parts["sharedaccesssignature"], "?")),
	}
	if t.Blob, err = endpoint(parts, "blob"); err != nil {
		return target{}, err
	}
	if t.Queue, err = endpoint(parts, "queue"); err != nil {
		return target{}, err
	}
	switch {
	case t.Key.IsZero() && t.Signature.IsZero():
		return target{}, badConnection("it has neither AccountKey nor SharedAccessSignature")
	case !t.Key.IsZero() && t.Account == "":
		return target{}, badConnection("it has an AccountKey but no AccountName")
	}
	if _, err := base64.StdEncoding.DecodeString(t.Key.Reveal()); err != nil {
		return target{}, badConnection("its AccountKey is not complete: it is not base64")
	}
	if t.Account == "" {
		t.Account, _, _ = strings.Cut(hostOf(t.Blob), ".")
	}
	return t, nil
}

func connectionParts(text string) (map[string]string, error) {
	parts := map[string]string{}
	for entry := range strings.SplitSeq(text, ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, badConnection("one of its parts has no \"=\"")
		}
		parts[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return parts, nil
}

// endpoint is the address of one service: named in the connection string, or made of the account's name.
func endpoint(parts map[string]string, service string) (string, error) {
	address := parts[service+"endpoint"]
	if address == "" {
		if parts["accountname"] == "" {
			return "", badConnection("it has neither AccountName nor an endpoint for the " + service + " service")
		}
		scheme, suffix := parts["defaultendpointsprotocol"], parts["endpointsuffix"]
		if scheme == "" {
			scheme = "https"
		}
		if suffix == "" {
			suffix = "core.windows.net"
		}
		address = scheme + "://" + parts["accountname"] + "." + service + "." + suffix
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" {
		return "", badConnection("its " + service + " endpoint is no http or https address")
	}
	return strings.TrimSuffix(address, "/"), nil
}

func badConnection(hint string) error {
	return settings.Problems{{
		Setting: "AzureWebJobsStorage", Got: settings.Redacted, Want: "a storage connection string",
		Example: "DefaultEndpointsProtocol=https;AccountName=nightshiftfiles;AccountKey=...;EndpointSuffix=core.windows.net",
		Hint:    hint,
	}}
}
