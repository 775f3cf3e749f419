package storage

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// Meta goes with a blob's bytes.
type Meta struct {
	ContentType string
	// Metadata is a small text dictionary. Names are lower-case letters, digits and "_"; values may be any UTF-8 text. Together
	// at most 8 KiB as sent, where a byte that is no printable ASCII counts as three.
	Metadata map[string]string
	// MD5 is kept with a blob that Commit makes of blocks; the service cannot compute it then.
	MD5 []byte
}

// Properties describe a stored blob.
type Properties struct {
	Name        string
	Size        int64 // bytes
	ETag        string
	MD5         []byte // of the whole blob; nil when the writer gave none
	ModTime     time.Time
	Metadata    map[string]string
	ContentType string
}

// Cond is what must be true of the blob for a call to happen; otherwise ErrConflict. The zero value asks nothing.
type Cond struct {
	ETag    string // the blob must still be this version
	New     bool   // the blob must not exist
	LeaseID string // the caller's lease of the blob
}

func (c Cond) access() *blob.AccessConditions {
	access := &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{}}
	if c.ETag != "" {
		tag := azcore.ETag(c.ETag)
		access.ModifiedAccessConditions.IfMatch = &tag
	}
	if c.New {
		tag := azcore.ETagAny
		access.ModifiedAccessConditions.IfNoneMatch = &tag
	}
	if c.LeaseID != "" {
		access.LeaseAccessConditions = &blob.LeaseAccessConditions{LeaseID: &c.LeaseID}
	}
	return access
}

// Metadata that Nightshift itself keeps.
const (
	hashKey  = "sha256"           // SHA-256 of the blob, in hex
	writeKey = "nightshift_write" // random, one per write: tells whether a write whose answer was lost was ours
)

// metadataLimit is the service's limit for all names and values of one blob (Microsoft Learn, "Setting and retrieving
// properties and metadata for Blob service resources").
const metadataLimit = 8 << 10

var metadataName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// encodeMetadata makes metadata safe for HTTP headers: names as they are, values percent-encoded where they are not plain.
func encodeMetadata(metadata map[string]string) (map[string]*string, error) {
	encoded := make(map[string]*string, len(metadata))
	size := 0
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if !metadataName.MatchString(name) {
			return nil, fmt.Errorf("metadata name %q: lower-case letters, digits and \"_\" are allowed, no digit first", name)
		}
		value := encodeValue(metadata[name])
		size += len(name) + len(value)
		encoded[name] = &value
	}
	if size > metadataLimit {
		return nil, fmt.Errorf("metadata is %d bytes, the limit is %d", size, metadataLimit)
	}
	return encoded, nil
}

// encodeValue percent-encodes what a header cannot carry or may lose: "%" itself, everything but printable ASCII, and blanks
// at either end.
func encodeValue(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		edge := i == 0 || i == len(value)-1
		if c == '%' || c < ' ' || c > '~' || (c == ' ' && edge) {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// decodeMetadata reads what encodeMetadata or somebody else wrote; a value that is not percent-encoded is taken as it is.
func decodeMetadata(encoded map[string]*string) map[string]string {
	metadata := make(map[string]string, len(encoded))
	for name, value := range encoded {
		if value == nil {
			continue
		}
		text, err := url.PathUnescape(*value)
		if err != nil {
			text = *value
		}
		metadata[strings.ToLower(name)] = text
	}
	return metadata
}

// properties gathers what the service says of a blob. Lists give ETags without quotes, headers with; conditions need them.
func properties(name string, size *int64, etag *azcore.ETag, md5 []byte, modified *time.Time, contentType *string,
	metadata map[string]*string) Properties {
	p := Properties{Name: name, MD5: md5, Size: value(size), ETag: string(value(etag)), ModTime: value(modified),
		ContentType: value(contentType), Metadata: decodeMetadata(metadata)}
	if p.ETag != "" && !strings.HasSuffix(p.ETag, `"`) {
		p.ETag = `"` + p.ETag + `"`
	}
	delete(p.Metadata, writeKey)
	return p
}

// value is what p points to, or nothing.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
