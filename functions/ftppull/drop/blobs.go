package drop

import (
	"context"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// manifestLimit bounds what is read as a manifest. The largest batch makes some hundred kilobytes.
const manifestLimit = 16 << 20

// ReadManifest loads a manifest; storage.ErrNotFound means that the batch is not finished.
func ReadManifest(ctx context.Context, blobs *storage.Container, name string) (Manifest, error) {
	data, _, err := blobs.Read(ctx, name, manifestLimit)
	if err != nil {
		return Manifest{}, err
	}
	return ParseManifest(data)
}
