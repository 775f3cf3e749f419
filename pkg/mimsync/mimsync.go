// Package mimsync is how the apps reach the MIM Synchronization server: the settings that they share, by the names that users of
// the scripts before them have.
package mimsync

import (
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// Settings are embedded in an app's own. The zero value of Auth and Security is their default.
type Settings struct {
	Server   string          `env:"MIMSyncServer,required" doc:"The MIM Synchronization server, reached by WinRM." want:"a host name, or host:port" example:"mim01.corp.example.com" local:""`
	Username string          `env:"MIMSyncCredUser,required" doc:"Account to log in with there: an administrator of the server and a member of MIMSyncAdmins." want:"DOMAIN\\user, user@domain, or a local user" example:"CORP\\svc-nightshift" local:""`
	Password settings.Secret `env:"MIMSyncCredPassword" doc:"Password of that account; in Azure a Key Vault reference. Only with a keytab it may be left out." want:"a password, or a Key Vault reference" example:"@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/MIMSyncCredPassword)"`

	Auth           winrm.Auth        `env:"MIMSyncAuth" envDefault:"ntlm" doc:"How to prove who we are. basic knows local accounts only; kerberos needs a domain account." want:"ntlm, basic or kerberos" example:"kerberos"`
	Security       winrm.Security    `env:"MIMSyncSecurity" envDefault:"https" doc:"Encryption of the connection. encrypted is HTTP with NTLM message encryption; cleartext lets everybody on the way read scripts and data." want:"https, encrypted or cleartext" example:"https"`
	CAFile         string            `env:"MIMSyncCAFile" doc:"PEM file with the certificate authority of the server, when this machine does not trust it." want:"a path" example:"ca.pem"`
	CertificatePin string            `env:"MIMSyncCertificatePin" doc:"SHA-256 of the server's public key (SPKI); replaces the check of name and authority, for self-signed certificates. The check function prints the present one." want:"64 hex digits or base64" example:"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="`
	TLSName        string            `env:"MIMSyncTLSName" doc:"Name in the server's certificate, when it is not the one in MIMSyncServer." want:"a host name" example:"mim01.corp.example.com"`
	Keytab         string            `env:"MIMSyncKeytab" doc:"With kerberos: file with the account's key, instead of the password." want:"a path" example:"svc-nightshift.keytab"`
	Krb5Conf       string            `env:"MIMSyncKrb5Conf" doc:"With kerberos: krb5.conf. Without it the domain controllers are looked up in DNS." want:"a path" example:"krb5.conf"`
	Realm          string            `env:"MIMSyncRealm" doc:"With kerberos: the realm, when it does not follow from MIMSyncCredUser." want:"a realm in upper case" example:"CORP.EXAMPLE.COM"`
	SPN            string            `env:"MIMSyncSPN" doc:"With kerberos: the server's service principal name, when it is not HTTP/<MIMSyncServer>." want:"an SPN" example:"HTTP/mim01.corp.example.com"`
	ConnectTimeout settings.Duration `env:"MIMSyncConnectTimeout" envDefault:"30s" min:"1s" doc:"Limit for each network connection to be made." want:"a duration" example:"30s"`
	Proxy          string            `env:"MIMSyncProxy" doc:"Proxy through which the server reaches blob storage; a remote session knows no user's proxy." want:"an http address" example:"http://proxy.corp.example.com:8080"`
}

// Problems are what is wrong between settings that are right one by one.
func (s *Settings) Problems() settings.Problems {
	var problems settings.Problems
	if s.Password.IsZero() && s.Keytab == "" {
		problems = append(problems, settings.Problem{Setting: "MIMSyncCredPassword", Want: "the account's password; only with kerberos and MIMSyncKeytab it may be left out",
			Example: "@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/MIMSyncCredPassword)"})
	}
	if s.Proxy != "" && !strings.HasPrefix(s.Proxy, "http://") {
		problems = append(problems, settings.Problem{Setting: "MIMSyncProxy", Got: s.Proxy, Want: "an address that begins with http://", Example: "http://proxy.corp.example.com:8080"})
	}
	if s.Server != "" && s.Username != "" {
		if _, err := winrm.New(s.Client()); err != nil {
			problems = append(problems, settings.Problem{Setting: "MIMSyncServer", Got: s.Server, Want: "a server that MIMSync… can reach: " + err.Error(), Example: "mim01.corp.example.com"})
		}
	}
	return problems
}

// Client is how the server is reached.
func (s *Settings) Client() winrm.Config {
	return winrm.Config{
		Server: s.Server, Username: s.Username, Password: s.Password, Auth: s.Auth, Security: s.Security, CAFile: s.CAFile, Pin: s.CertificatePin,
		TLSServerName: s.TLSName, Keytab: s.Keytab, Krb5Conf: s.Krb5Conf, Realm: s.Realm, SPN: s.SPN, ConnectTimeout: time.Duration(s.ConnectTimeout),
	}
}
