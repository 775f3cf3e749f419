package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	"github.com/nightshift-hq/nightshift/pkg/sim/ftpd"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	smallFiles = 2000
	smallSize  = 16 << 10
	bigSize    = 256 << 20
	bigFiles   = 4
	repeats    = 3
	inFlight   = 4 // messages, as host.json has the host deliver them, and files in the comparisons
	batchFiles = 100
	folder     = "bench/2026-11-21"
)

// uploaded is when the files on the FTP server were last written.
var uploaded = time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)

// fill writes n files of one size with content of their own into a folder of the FTP server.
func fill(server *ftpd.Server, dir string, n int, size int64) ([]drop.File, error) {
	if err := os.Mkdir(filepath.Join(server.Dir, dir), 0o755); err != nil {
		return nil, fmt.Errorf("fill the FTP server: %w", err)
	}
	files := make([]drop.File, n)
	for i := range files {
		files[i] = drop.File{Path: fmt.Sprintf("%s/%05d.dat", dir, i), Size: size, ModTime: uploaded, Precise: true}
		name := filepath.Join(server.Dir, filepath.FromSlash(files[i].Path))
		if err := writeRandom(name, uint64(i), size); err != nil {
			return nil, fmt.Errorf("fill the FTP server: %w", err)
		}
	}
	return files, nil
}

func writeRandom(name string, seed uint64, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, min(size, 1<<20))
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	for rest := size; rest > 0; rest -= int64(len(chunk)) {
		chunk = chunk[:min(rest, int64(len(chunk)))]
		if _, err := source.Read(chunk); err != nil {
			return err
		}
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Chtimes(name, uploaded, uploaded)
}

// emptyStorage starts an emulator with nothing in it, so that no run pays for the one before.
func (b *bench) emptyStorage(ctx context.Context) (*azurite.Server, *storage.Account, error) {
	dir, err := os.MkdirTemp(b.dir, "storage-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the emulator: %w", err)
	}
	emulator, err := azurite.Start(ctx, azurite.Options{Dir: dir})
	if err != nil {
		return nil, nil, err
	}
	account, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(emulator.ConnectionString())})
	if err != nil {
		emulator.Stop()
	}
	return emulator, account, err
}

// fetched is what one run of the handler cost, and what it stored.
type fetched struct {
	took   time.Duration // from the start of the process to the last answer
	peak   int64         // resident bytes
	stored map[string]storage.Properties
}

// fetch has the packed handler store the files in an empty emulator, posting batches as the host does.
func (b *bench) fetch(ctx context.Context, server *ftpd.Server, security string, files []drop.File) (result fetched, err error) {
	emulator, account, err := b.emptyStorage(ctx)
	if err != nil {
		return result, err
	}
	defer emulator.Stop()
	defer account.Close()
	environ, err := b.ftppull(emulator, server, security)
	if err != nil {
		return result, err
	}
	began := time.Now()
	p, err := start(ctx, filepath.Join(b.app, "handler"), b.app, environ)
	if err != nil {
		return result, err
	}
	defer p.stop()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	batches := drop.Cut(files, "bench", folder, drop.Limits{Files: batchFiles, Bytes: bigSize})
	for _, batch := range batches {
		group.Go(func() error {
			payload, err := queuePayload(batch)
			if err != nil {
				return err
			}
			_, err = p.invoke(groupCtx, "ftpfetch", payload)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return result, err
	}
	result.took = time.Since(began)
	if result.peak, err = p.memory("VmHWM"); err != nil {
		return result, err
	}
	result.stored, err = arrived(ctx, account, files, p)
	return result, err
}

// ftppull are the settings of the app.
func (b *bench) ftppull(emulator *azurite.Server, server *ftpd.Server, security string) ([]string, error) {
	certificate := filepath.Join(b.dir, "ftp.pem")
	if err := os.WriteFile(certificate, server.CertPEM, 0o644); err != nil {
		return nil, fmt.Errorf("write the FTP server's certificate: %w", err)
	}
	return []string{
		"AzureWebJobsStorage=" + emulator.ConnectionString(),
		"FTPServer=" + server.Addr, "FTPUsername=" + ftpd.Username, "FTPPassword=" + ftpd.Password, "FTPCAFile=" + certificate,
		"FTPSourceDirectory=/", "FTPTargetDirectory=bench", "FTPSecurity=" + security,
	}, nil
}

// queuePayload is what the Functions host posts for a message of a binary binding.
func queuePayload(batch drop.Batch) ([]byte, error) {
	body, err := customhandler.Encode(batch)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"Data": map[string]any{"batch": body},
		"Metadata": map[string]any{
			"DequeueCount": "1", "Id": `"` + batch.ID() + `"`, "PopReceipt": `"none"`,
			"InsertionTime": "2026-11-21T00:21:53+00:00", "ExpirationTime": "9999-12-31T23:59:59+00:00",
			"NextVisibleTime": "2026-11-21T00:31:54+00:00",
			"sys":             map[string]any{"MethodName": "ftpfetch", "UtcNow": "2026-11-21T00:21:54.9608934Z"},
		},
	})
}

// arrived makes sure that what was measured is the whole work: a batch that was put off is answered quickly, too.
func arrived(ctx context.Context, account *storage.Account, files []drop.File, p *process) (map[string]storage.Properties, error) {
	stored := map[string]storage.Properties{}
	for blob, err := range account.Container("ftppull").List(ctx, folder+"/") {
		if err != nil {
			return nil, err
		}
		stored[strings.TrimPrefix(blob.Name, folder+"/")] = blob
	}
	for _, f := range files {
		if stored[f.Path].Size != f.Size {
			return nil, fmt.Errorf("%s has not arrived: %d of %d bytes\n%s", f.Path, stored[f.Path].Size, f.Size, p.tail())
		}
	}
	return stored, nil
}

// small compares many small files with the same uploads from memory.
func (b *bench) small(ctx context.Context) ([]row, error) {
	server, err := ftpd.Start(ctx, ftpd.PureFTPd)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	files, err := fill(server, "small", smallFiles, smallSize)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, security := range []string{"explicit", "cleartext"} {
		var ours, memory []time.Duration
		for range repeats {
			run, err := b.fetch(ctx, server, security, files)
			if err != nil {
				return nil, err
			}
			took, err := b.fromMemory(ctx, server, files, run.stored)
			if err != nil {
				return nil, err
			}
			ours, memory = append(ours, run.took), append(memory, took)
		}
		rows = append(rows, row{
			what:     fmt.Sprintf("%d x 16 KiB, %s", smallFiles, map[string]string{"explicit": "TLS", "cleartext": "no TLS"}[security]),
			measured: ratio(median(ours), median(memory)), limit: 1.3, unit: "x",
			detail: fmt.Sprintf("FTP to storage %.2f s, the same uploads from memory %.2f s (medians of %d)",
				median(ours).Seconds(), median(memory).Seconds(), repeats),
		})
	}
	return rows, nil
}

// fromMemory uploads the same bytes under the same names with the same metadata.
func (b *bench) fromMemory(ctx context.Context, server *ftpd.Server, files []drop.File, stored map[string]storage.Properties) (time.Duration, error) {
	emulator, account, err := b.emptyStorage(ctx)
	if err != nil {
		return 0, err
	}
	defer emulator.Stop()
	defer account.Close()
	contents := make([][]byte, len(files))
	for i, f := range files {
		if contents[i], err = os.ReadFile(filepath.Join(server.Dir, filepath.FromSlash(f.Path))); err != nil {
			return 0, fmt.Errorf("read what is to be uploaded: %w", err)
		}
	}
	blobs := account.Container("ftppull")
	if err := blobs.Create(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for i, f := range files {
		group.Go(func() error {
			_, err := blobs.Write(groupCtx, folder+"/"+f.Path, contents[i], storage.Cond{New: true}, storage.Meta{Metadata: stored[f.Path].Metadata})
			return err
		})
	}
	return time.Since(began), group.Wait()
}

// big compares large files, one and several, with rclone.
func (b *bench) big(ctx context.Context) ([]row, error) {
	tool, err := b.installRclone(ctx)
	if err != nil {
		return nil, err
	}
	server, err := ftpd.Start(ctx, ftpd.PureFTPd)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	var rows []row
	for _, n := range []int{1, bigFiles} {
		dir := fmt.Sprintf("big%d", n)
		files, err := fill(server, dir, n, bigSize)
		if err != nil {
			return nil, err
		}
		more, err := b.againstRclone(ctx, tool, server, dir, files)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (b *bench) againstRclone(ctx context.Context, tool string, server *ftpd.Server, dir string, files []drop.File) ([]row, error) {
	var ours, theirs []time.Duration
	var ourPeak, theirPeak int64
	for range repeats {
		run, err := b.fetch(ctx, server, "explicit", files)
		if err != nil {
			return nil, err
		}
		other, err := b.rclone(ctx, tool, server, dir, files)
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, run.took), append(theirs, other.took)
		ourPeak, theirPeak = max(ourPeak, run.peak), max(theirPeak, other.peak)
	}
	what := fmt.Sprintf("%d x 256 MB", len(files))
	return []row{
		{what: what + ", time", measured: ratio(median(ours), median(theirs)), limit: 1, unit: "x",
			detail: fmt.Sprintf("ftppull %.2f s, rclone %.2f s (medians of %d)", median(ours).Seconds(), median(theirs).Seconds(), repeats)},
		{what: what + ", memory", measured: float64(ourPeak) / float64(theirPeak), limit: 1.0 / 3, unit: "x",
			detail: fmt.Sprintf("ftppull %.0f MB, rclone %.0f MB (peak resident)", float64(ourPeak)/1e6, float64(theirPeak)/1e6)},
	}, nil
}

// connectionPart is one value of a storage connection string.
func connectionPart(connection, name string) string {
	for part := range strings.SplitSeq(connection, ";") {
		if key, value, _ := strings.Cut(part, "="); key == name {
			return value
		}
	}
	return ""
}
