package settings

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

// Storage is how an app reaches its storage account, in the names that the Functions host uses for its own connection
// (Microsoft Learn, "Connecting to host storage with an identity"): either a connection string, or an account by name or by
// its services' addresses, opened with the app's managed identity.
type Storage struct {
	ConnectionString Secret `env:"AzureWebJobsStorage" doc:"Connection string of the storage account, for the local emulator or where no managed identity exists." want:"a storage connection string; or leave it out and set AzureWebJobsStorage__accountName" example:"UseDevelopmentStorage=true" local:"UseDevelopmentStorage=true"`
	AccountName      string `env:"AzureWebJobsStorage__accountName" doc:"Name of the storage account, opened with the app's managed identity." want:"a storage account's name: 3 to 24 lower-case letters and digits" example:"nightshiftfiles"`
	BlobServiceURI   string `env:"AzureWebJobsStorage__blobServiceUri" doc:"Address of the blob service, where it does not follow from the account's name (other clouds, private endpoints)." want:"an https address" example:"https://nightshiftfiles.blob.core.windows.net"`
	QueueServiceURI  string `env:"AzureWebJobsStorage__queueServiceUri" doc:"Address of the queue service, together with the blob service's." want:"an https address" example:"https://nightshiftfiles.queue.core.windows.net"`
	Credential       string `env:"AzureWebJobsStorage__credential" doc:"Kind of identity; the Functions host needs it with a user-assigned identity." want:"managedidentity, or nothing" example:"managedidentity"`
	ClientID         string `env:"AzureWebJobsStorage__clientId" doc:"Client id of a user-assigned managed identity; without it the system-assigned one is used." want:"a client id (GUID)" example:"00000000-0000-0000-0000-000000000000"`
}

// Problems tells whether the settings name an account that can be opened.
func (s Storage) Problems() Problems {
	if !s.ConnectionString.IsZero() {
		return nil
	}
	if s.AccountName == "" && (s.BlobServiceURI == "" || s.QueueServiceURI == "") {
		return Problems{{Setting: "AzureWebJobsStorage", Want: "a storage connection string, or AzureWebJobsStorage__accountName instead",
			Example: "UseDevelopmentStorage=true"}}
	}
	var problems Problems
	check := func(ok bool, setting, got, want, example string) {
		if got != "" && !ok {
			problems = append(problems, Problem{Setting: setting, Got: got, Want: want, Example: example})
		}
	}
	check(accountName.MatchString(s.AccountName), "AzureWebJobsStorage__accountName", s.AccountName,
		"a storage account's name: 3 to 24 lower-case letters and digits", "nightshiftfiles")
	check(secure(s.BlobServiceURI), "AzureWebJobsStorage__blobServiceUri", s.BlobServiceURI,
		"an https address", "https://nightshiftfiles.blob.core.windows.net")
	check(secure(s.QueueServiceURI), "AzureWebJobsStorage__queueServiceUri", s.QueueServiceURI,
		"an https address", "https://nightshiftfiles.queue.core.windows.net")
	check(strings.EqualFold(s.Credential, "managedidentity"), "AzureWebJobsStorage__credential", s.Credential,
		"managedidentity", "managedidentity")
	return problems
}

var accountName = regexp.MustCompile(`^[a-z0-9]{3,24}$`)

// secure tells whether an address may be sent an identity's token.
func secure(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == ""
}

// Common are the settings that every app has.
type Common struct {
	Storage Storage
	Zone    schedule.Zone `env:"WEBSITE_TIME_ZONE" envDefault:"UTC" doc:"Time zone of schedules, deadlines and dated folders." want:"a Windows or IANA time zone" example:"W. Europe Standard Time"`
}
