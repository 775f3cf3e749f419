package ftpdeliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// linkLife is longer than any invocation.
const linkLife = time.Hour

// seconds is how long a script may begin new work, and an error where that is none.
func (j *job) seconds() (int, error) {
	left := time.Until(j.softEnd)
	if left < time.Second {
		return 0, errContinue
	}
	return int(min(left, time.Hour) / time.Second), nil
}

// fetch has the server fetch the files, in as many runs as their sizes need. Each makes progress, or fails.
func (j *job) fetch(ctx context.Context, files []file) error {
	for len(files) > 0 {
		seconds, err := j.seconds()
		if err != nil {
			return err
		}
		params := DeliverParams{Folder: j.folder, Seconds: seconds, Proxy: j.Config.Proxy}
		for _, f := range files {
			link, err := j.Blobs.SAS(ctx, f.Blob, storage.SASRead, linkLife)
			if err != nil {
				return err
			}
			params.Files = append(params.Files, Fetch{Path: f.Path, Link: link.Reveal(), Size: f.Size, SHA256: f.SHA256})
		}
		a, err := j.ask(ctx, DeliverScript(), params)
		if err != nil {
			return err
		}
		if len(a.Files) != len(files) {
			return fmt.Errorf("run script %q: %d outcomes for %d files", DeliverScript().Name, len(a.Files), len(files))
		}
		var rest []file
		for i, f := range files {
			if a.Files[i].Outcome == unfinished {
				rest = append(rest, f)
				continue
			}
			j.inPlace(f, a.Files[i].Outcome)
		}
		files = rest
	}
	return nil
}

// pieceBytes is what one run of put.ps1 carries. PowerShell holds it several times over in its memory, of which a shell of an old
// server has 150 MB.
const pieceBytes = 4 << 20

// send brings the files over WinRM: it asks what is there, and then sends the rest.
func (j *job) send(ctx context.Context, files []file) error {
	if _, err := j.seconds(); err != nil {
		return err
	}
	look := PutParams{Folder: j.folder}
	for _, f := range files {
		look.Pieces = append(look.Pieces, f.piece(0, nil))
	}
	a, err := j.put(ctx, look)
	if err != nil {
		return err
	}
	var missing []file
	var need int64
	have := map[string]int64{}
	for i, f := range files {
		if a[i].Outcome == part {
			missing = append(missing, f)
			have[f.Path] = min(a[i].Have, f.Size)
			need += f.Size - have[f.Path]
			continue
		}
		j.inPlace(f, a[i].Outcome)
	}
	for _, few := range cut(missing, portionFiles, pieceBytes) {
		send := j.sendSmall
		if few[0].Size > pieceBytes {
			send = j.sendLarge
		}
		if err := send(ctx, few, have[few[0].Path], need); err != nil {
			return err
		}
		for _, f := range few {
			need -= f.Size - have[f.Path]
		}
	}
	return nil
}

func (f file) piece(offset int64, data []byte) Piece {
	return Piece{Path: f.Path, Offset: offset, Size: f.Size, SHA256: f.SHA256, Data: data}
}

// put runs put.ps1, if there is time.
func (j *job) put(ctx context.Context, params PutParams) ([]answer, error) {
	a, err := j.ask(ctx, PutScript(), params)
	if err == nil && len(a.Pieces) != len(params.Pieces) {
		err = fmt.Errorf("run script %q: %d outcomes for %d pieces", PutScript().Name, len(a.Pieces), len(params.Pieces))
	}
	return a.Pieces, err
}

// sendSmall sends whole files in one run.
func (j *job) sendSmall(ctx context.Context, files []file, _, need int64) error {
	if _, err := j.seconds(); err != nil {
		return err
	}
	params := PutParams{Folder: j.folder, Need: need}
	for _, f := range files {
		data, _, err := j.Blobs.Read(ctx, f.Blob, pieceBytes)
		if err != nil {
			return err
		}
		if int64(len(data)) != f.Size {
			return wrongContent(f)
		}
		params.Pieces = append(params.Pieces, f.piece(0, data))
	}
	a, err := j.put(ctx, params)
	if err != nil {
		return err
	}
	for i, f := range files {
		if a[i].Outcome == part {
			return wrongContent(f)
		}
		j.inPlace(f, a[i].Outcome)
	}
	return nil
}

func wrongContent(f file) error {
	return fmt.Errorf("blob %q has not the size and SHA-256 that the manifest has for it", f.Blob)
}

// sendLarge sends one file in pieces, from where an earlier delivery left it. Where its beginning turns out to be another file's,
// it sends all of it.
func (j *job) sendLarge(ctx context.Context, files []file, have, need int64) error {
	f := files[0]
	if have == f.Size {
		have -= pieceBytes // so that something is sent, which makes the server judge the whole
	}
	for {
		resumed := have > 0
		outcome, err := j.sendFrom(ctx, f, have, need)
		if err != nil {
			return err
		}
		if outcome != part {
			j.inPlace(f, outcome)
			return nil
		}
		if !resumed {
			return wrongContent(f)
		}
		have = 0
	}
}

// sendFrom sends a file from an offset. The outcome part means that the server has thrown away what it had.
func (j *job) sendFrom(ctx context.Context, f file, offset, need int64) (string, error) {
	r, _, err := j.Blobs.Open(ctx, f.Blob)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return "", fmt.Errorf("read blob %q from byte %d: %w", f.Blob, offset, err)
	}
	buffer := make([]byte, pieceBytes)
	for begin := offset; offset < f.Size; {
		if _, err := j.seconds(); err != nil {
			return "", err
		}
		n, err := io.ReadFull(r, buffer[:min(pieceBytes, f.Size-offset)])
		if err != nil {
			return "", fmt.Errorf("read blob %q from byte %d: %w", f.Blob, offset, err)
		}
		a, err := j.put(ctx, PutParams{Folder: j.folder, Need: need - (offset - begin), Pieces: []Piece{f.piece(offset, buffer[:n])}})
		if err != nil {
			return "", err
		}
		offset += int64(n)
		if a[0].Outcome != part || a[0].Have < offset {
			return a[0].Outcome, nil
		}
	}
	return part, nil
}

// putManifest writes the manifest, which is ours to replace.
func (j *job) putManifest(ctx context.Context) error {
	data := j.manifest.Bytes()
	sum := sha256.Sum256(data)
	a, err := j.put(ctx, PutParams{Folder: j.folder, Need: int64(len(data)), Pieces: []Piece{{
		Path: j.folder + `\_manifests\` + j.manifest.Batch + ".json", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Data: data, Replace: true,
	}}})
	if err == nil && a[0].Outcome == part {
		err = fmt.Errorf("the manifest %s did not arrive as it was sent", j.manifest.Batch)
	}
	return err
}
