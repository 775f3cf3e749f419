package localhost

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	defaultConnection = "AzureWebJobsStorage"
	// The emulator's own shorthand, which the SDK for Go does not know (Microsoft Learn, "Azurite").
	developmentStorage = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;" +
		"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;" +
		"BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)

// The host's own calls may be repeated; a call that hangs must not hold up a listener for minutes.
var storageRetry = policy.RetryOptions{MaxRetries: 2, TryTimeout: 30 * time.Second, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second}

// connectionSetting finds a connection's settings, with the prefix AzureWebJobs or without it.
func (e *environment) connectionSetting(connection, suffix string) string {
	if v := e.get("AzureWebJobs" + connection + suffix); v != "" {
		return v
	}
	return e.get(connection + suffix)
}

func (e *environment) hasConnection(connection string) bool {
	for _, suffix := range []string{"", "__accountName", "__queueServiceUri"} {
		if e.connectionSetting(connection, suffix) != "" {
			return true
		}
	}
	return false
}

func (e *environment) connectionString(connection string) string {
	text := e.connectionSetting(connection, "")
	if strings.EqualFold(strings.TrimSuffix(strings.TrimSpace(text), ";"), "UseDevelopmentStorage=true") {
		return developmentStorage
	}
	return text
}

// endpoint is the service's address for connections without a connection string.
func (e *environment) endpoint(connection, service string) (string, error) {
	if uri := e.connectionSetting(connection, "__"+service+"ServiceUri"); uri != "" {
		return uri, nil
	}
	if account := e.connectionSetting(connection, "__accountName"); account != "" {
		return fmt.Sprintf("https://%s.%s.core.windows.net", account, service), nil
	}
	return "", fmt.Errorf("set %s to a storage connection string, or %s__%sServiceUri to the service's address", connection, connection, service)
}

// credential signs in as the developer or machine; __clientId picks a user-assigned identity.
func (e *environment) credential(connection string) (azcore.TokenCredential, error) {
	if id := e.connectionSetting(connection, "__clientId"); id != "" {
		return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(id)})
	}
	return azidentity.NewDefaultAzureCredential(nil)
}

// queueService opens the queue service of a connection; it does not call it.
func (e *environment) queueService(connection string, transport http.RoundTripper) (*azqueue.ServiceClient, error) {
	options := &azqueue.ClientOptions{ClientOptions: azcore.ClientOptions{Retry: storageRetry, Transport: &http.Client{Transport: transport}}}
	if text := e.connectionString(connection); text != "" {
		client, err := azqueue.NewServiceClientFromConnectionString(text, options)
		if err != nil {
			return nil, fmt.Errorf("setting %s is not a storage connection string", connection)
		}
		return client, nil
	}
	uri, err := e.endpoint(connection, "queue")
	if err != nil {
		return nil, err
	}
	credential, err := e.credential(connection)
	if err != nil {
		return nil, fmt.Errorf("sign in for connection %s: %w", connection, err)
	}
	return azqueue.NewServiceClient(uri, credential, options)
}

// storageConfig is the host's own storage, for timers' records and locks.
func (e *environment) storageConfig() storage.Config {
	return storage.Config{
		ConnectionString: settings.NewSecret(e.connectionString(defaultConnection)),
		AccountName:      e.get(defaultConnection + "__accountName"),
		BlobServiceURI:   e.get(defaultConnection + "__blobServiceUri"),
		QueueServiceURI:  e.get(defaultConnection + "__queueServiceUri"),
		Credential:       e.get(defaultConnection + "__credential"),
		ClientID:         e.get(defaultConnection + "__clientId"),
	}
}

// failure is an SDK error in one line without secrets: the SDK's own text quotes the request's address, which may be signed.
func failure(err error) string {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return fmt.Sprintf("the service answered %d %s", answer.StatusCode, answer.ErrorCode)
	}
	return settings.RedactText(err.Error(), nil)
}
