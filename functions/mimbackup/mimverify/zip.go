package mimverify

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
)

const (
	zipLimit      = 4 << 30 // bytes of a zip that is read back
	manifestLimit = 32 << 20
	maxProblems   = 20 // of a broken backup, named in its error
)

// fetched is a zip in a temporary file.
type fetched struct {
	file   *os.File
	size   int64
	sha256 string
}

// fetch reads a zip back. What does not arrive as it was sent is an error worth a repeat.
func (h *Handler) fetch(ctx context.Context, name string) (_ *fetched, err error) {
	r, p, err := h.Backups.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if p.Size > zipLimit {
		return nil, customhandler.Permanent(fmt.Errorf("read %s back: it is %d bytes, at most %d are read", name, p.Size, int64(zipLimit)))
	}
	file, err := os.CreateTemp("", "mimbackup-*.zip")
	if err != nil {
		return nil, fmt.Errorf("read %s back: %w", name, err)
	}
	f := &fetched{file: file}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	sum := sha256.New()
	if f.size, err = io.Copy(io.MultiWriter(file, sum), r); err != nil {
		return nil, fmt.Errorf("read %s back: %w", name, err)
	}
	f.sha256 = hex.EncodeToString(sum.Sum(nil))
	if want := p.Metadata["sha256"]; want != "" && want != f.sha256 {
		return nil, fmt.Errorf("read %s back: its SHA-256 is %s, the server sent %s", name, f.sha256, want)
	}
	if f.size != p.Size {
		return nil, fmt.Errorf("read %s back: %d of %d bytes arrived", name, f.size, p.Size)
	}
	return f, nil
}

func (f *fetched) close() {
	f.file.Close()
	os.Remove(f.file.Name())
}

// judge holds the zip against its manifest, and the manifest against what the server reported.
func (f *fetched) judge(ctx context.Context, shipped backup.Shipped) (mim.Manifest, error) {
	broken := func(problems ...string) error {
		more := ""
		if n := len(problems); n > maxProblems {
			problems, more = problems[:maxProblems], fmt.Sprintf("; and %d more", n-maxProblems)
		}
		return customhandler.Permanent(fmt.Errorf("the backup of run %s does not count: %s%s", shipped.Run, strings.Join(problems, "; "), more))
	}
	archive, err := zip.NewReader(f.file, f.size)
	if err != nil {
		return mim.Manifest{}, broken("it is no zip: " + err.Error())
	}
	data, err := readManifest(archive)
	if err != nil {
		return mim.Manifest{}, broken(err.Error())
	}
	if sum := sha256.Sum256(data); !strings.EqualFold(hex.EncodeToString(sum[:]), shipped.ManifestSHA256) {
		return mim.Manifest{}, broken("its manifest is not the one that the server wrote")
	}
	manifest, err := mim.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return mim.Manifest{}, broken(err.Error())
	}
	if manifest.RunID != shipped.Run {
		return mim.Manifest{}, broken(fmt.Sprintf("it is of run %q", manifest.RunID))
	}
	problems, err := mim.Verify(ctx, f.file, f.size, manifest, mim.DefaultLimits)
	if err != nil {
		return mim.Manifest{}, err
	}
	if len(problems) > 0 {
		var texts []string
		for _, p := range problems {
			texts = append(texts, p.String())
		}
		return mim.Manifest{}, broken(texts...)
	}
	return manifest, nil
}

func readManifest(archive *zip.Reader) ([]byte, error) {
	r, err := archive.Open(mim.ManifestName)
	if err != nil {
		return nil, errors.New("it has no manifest")
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, manifestLimit+1))
	if err != nil {
		return nil, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if len(data) > manifestLimit {
		return nil, fmt.Errorf("its manifest is larger than %d bytes", manifestLimit)
	}
	return data, nil
}
