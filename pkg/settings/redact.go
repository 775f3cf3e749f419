package settings

import (
	"regexp"
	"strings"
)

// credentials matches what carries a credential in text that others wrote: a signature of a shared access URL (also
// percent-encoded in another URL), an account key or shared access signature of a connection string, and the user part of a
// URL. The first group is kept.
var credentials = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`((?:\b|%3F|%26)sig(?:=|%3D))[^&\s"'<>;]+`,
	`(\b(?:AccountKey|SharedAccessKey)\s*=\s*)[A-Za-z0-9+/=_%-]+`,
	`(\bSharedAccessSignature\s*=\s*)[^;\s"'<>]+`,
	`(\b[a-z][a-z0-9+.-]*://)[^/?#\s"'<>@]+(?:@[^/?#\s"'<>@]+)*@`,
	`(\bAuthorization:\s*(?:SharedKey|Bearer|Basic)\s+)[^\s"']+`,
}, "|"))

// shortest is the shortest secret that RedactText looks for: a shorter one would tear holes into ordinary words.
const shortest = 4

// RedactText replaces the given secrets (of at least four bytes), and whatever looks like a credential in a URL, header or
// connection string, by [redacted].
func RedactText(text string, secrets []Secret) string {
	for _, s := range secrets {
		if len(s.Reveal()) >= shortest {
			text = strings.ReplaceAll(text, s.Reveal(), Redacted)
		}
	}
	return credentials.ReplaceAllStringFunc(text, func(match string) string {
		for _, kept := range credentials.FindStringSubmatch(match)[1:] {
			if kept == "" {
				continue
			}
			if strings.HasSuffix(kept, "://") {
				return kept + Redacted + "@"
			}
			return kept + Redacted
		}
		return Redacted
	})
}
