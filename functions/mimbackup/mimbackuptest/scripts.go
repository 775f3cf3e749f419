package mimbackuptest

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimexport"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimverify"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

func stop(id, format string, args ...any) error {
	return &simwinrm.ScriptError{ID: id, Message: fmt.Sprintf(format, args...)}
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// export emulates export.ps1.
func (m *MIM) export(ctx context.Context, c *simwinrm.Call) (any, error) {
	var p mimexport.ExportParams
	if err := c.Decode(&p); err != nil {
		return nil, err
	}
	if free := c.Drive.Free(); free < p.MinFreeBytes {
		return nil, stop("disk-full", "the drive of %s has %d bytes free, %d are wanted", p.Root, free, p.MinFreeBytes)
	}
	folder, err := newFolder(c.Drive, p.Root+`\`+p.Name)
	if err != nil {
		return nil, err
	}
	engine := string(p.Engine)
	if p.Engine == mimexport.Auto {
		engine = string(mimexport.Lithnet)
	}
	manifest := mim.Manifest{Version: mim.ManifestVersion, RunID: p.RunId, Server: "MIM01", Started: time.Now().UTC(), Folder: folder, Engine: engine}
	files := 0
	for i, name := range []string{mim.PartAgents, mim.PartServerExport, mim.PartExtensions, mim.PartPortal} {
		if err := c.Progress(name, "begins", int64(i), 4); err != nil {
			return nil, err
		}
		if err := m.step(ctx, "export "+name); err != nil {
			return nil, err
		}
		part := m.part(c.Drive, folder, name)
		manifest.Parts = append(manifest.Parts, part)
		files += len(part.Files)
	}
	if files == 0 {
		return nil, stop("nothing-exported", "every part failed: %s", manifest.Parts[0].Reason)
	}
	manifest.Finished = time.Now().UTC()
	data, err := manifest.JSON()
	if err != nil {
		return nil, err
	}
	return mimexport.Exported{Folder: folder, ManifestSHA256: hexSum(data), Manifest: manifest}, c.Drive.WriteFile(folder+`\manifest.json`, data)
}

// newFolder makes a folder that was not there before.
func newFolder(drive *simwinrm.Drive, name string) (string, error) {
	for i := 1; i < 100; i++ {
		folder := name
		if i > 1 {
			folder = fmt.Sprintf("%s-%d", name, i)
		}
		if _, err := drive.Stat(folder); err == nil {
			continue
		}
		return folder, drive.MkdirAll(folder)
	}
	return "", stop("folder-taken", "%s and 98 more of that name exist already", name)
}

// part writes one part and tells how that went.
func (m *MIM) part(drive *simwinrm.Drive, folder, name string) mim.Part {
	part := mim.Part{Name: name, Outcome: mim.OutcomeOK, Files: []mim.ManifestFile{}}
	if reason, ok := m.Skip[name]; ok {
		part.Outcome, part.Reason = mim.OutcomeSkipped, reason
		return part
	}
	if reason, ok := m.Fail[name]; ok {
		part.Outcome, part.Reason = mim.OutcomeFailed, reason
		return part
	}
	files, sources := m.files(name)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		data := files[file]
		if err := drive.WriteFile(folder+`\`+name+`\`+strings.ReplaceAll(file, "/", `\`), data); err != nil {
			part.Outcome, part.Reason = mim.OutcomeFailed, err.Error()
			return part
		}
		part.Files = append(part.Files, mim.ManifestFile{Path: name + "/" + file, Size: int64(len(data)), SHA256: hexSum(data), Source: sources[file]})
	}
	return part
}

func (m *MIM) files(part string) (files map[string][]byte, sources map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sources = map[string]string{}
	switch part {
	case mim.PartAgents:
		files = map[string][]byte{}
		for _, agent := range m.installation.AgentNames() {
			name := simmim.FileName(agent) + ".xml"
			files[name], _ = m.installation.ExportAgent(agent)
			sources[name] = agent
		}
	case mim.PartServerExport:
		files = m.installation.ServerExport()
	case mim.PartExtensions:
		files = m.installation.Extensions()
	default:
		files, _ = m.installation.PortalExport()
	}
	return files, sources
}

// ship emulates ship.ps1.
func (m *MIM) ship(ctx context.Context, c *simwinrm.Call) (any, error) {
	var p mimexport.ShipParams
	if err := c.Decode(&p); err != nil {
		return nil, err
	}
	var manifest mim.Manifest
	data, err := c.Drive.ReadFile(p.Folder + `\manifest.json`)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, err
	}
	if manifest.RunID != p.RunId {
		return nil, stop("not-this-run", "the manifest in %s is that of run %s", p.Folder, manifest.RunID)
	}
	if err := c.Drive.WriteFile(p.Folder+`\RESTORE.md`, []byte(p.RestoreText)); err != nil {
		return nil, err
	}
	if err := m.step(ctx, "ship zip"); err != nil {
		return nil, err
	}
	archive, err := zipOf(c.Drive, p.Folder)
	if err != nil {
		return nil, err
	}
	if c.Drive.Free() < int64(len(archive)) {
		return nil, stop("disk-full", "the drive of %s has %d bytes free", p.Folder, c.Drive.Free())
	}
	return m.send(ctx, c, p.Sas, archive)
}

func zipOf(drive *simwinrm.Drive, folder string) ([]byte, error) {
	local, err := drive.Local(folder)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	err = filepath.WalkDir(local, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(local, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		w, err := z.Create(filepath.ToSlash(relative))
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// blockBytes is small, so that a backup has a few blocks.
const blockBytes = 16 << 10

// send pushes the zip in blocks and commits it.
func (m *MIM) send(ctx context.Context, c *simwinrm.Call, link string, archive []byte) (any, error) {
	writer := strings.ToLower(rand.Text())
	list := `<?xml version="1.0" encoding="utf-8"?><BlockList>`
	blocks := 0
	for block := range slices.Chunk(archive, blockBytes) {
		if err := m.step(ctx, fmt.Sprintf("ship block %d", blocks)); err != nil {
			return nil, err
		}
		id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%05d", writer, blocks))
		if _, err := put(ctx, c.HTTP, link+"&comp=block&blockid="+url.QueryEscape(id), block, nil); err != nil {
			return nil, err
		}
		list += "<Latest>" + id + "</Latest>"
		blocks++
		if err := c.Progress("ship", "", int64(min(blocks*blockBytes, len(archive))), int64(len(archive))); err != nil {
			return nil, err
		}
	}
	if err := m.step(ctx, "ship commit"); err != nil {
		return nil, err
	}
	sum := hexSum(archive)
	status, err := put(ctx, c.HTTP, link+"&comp=blocklist", []byte(list+"</BlockList>"), map[string]string{
		"If-None-Match": "*", "x-ms-blob-content-type": "application/zip", "x-ms-meta-sha256": sum})
	if err != nil {
		return nil, err
	}
	return mimexport.ShipResult{Bytes: int64(len(archive)), SHA256: sum, Blocks: blocks, Existed: status != http.StatusCreated}, nil
}

// put sends one request, again when the trouble may pass. A conflict is a status, not an error.
func put(ctx context.Context, client *http.Client, link string, body []byte, headers map[string]string) (status int, err error) {
	const tries = 3
	for try := 1; ; try++ {
		status, code, err := putOnce(ctx, client, link, body, headers)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case status == http.StatusCreated, status == http.StatusConflict, status == http.StatusPreconditionFailed:
			return status, nil
		case status == http.StatusForbidden:
			return status, stop("sas-refused", "storage refused the link: %d %s", status, code)
		case err == nil && status < 500:
			return status, stop("storage-refused", "storage answered %d %s", status, code)
		case try == tries && err != nil:
			return status, stop("storage-unreachable", "no success after %d tries: Unable to connect to the remote server", try)
		case try == tries:
			return status, stop("storage-unreachable", "no success after %d tries: %d %s", try, status, code)
		}
	}
}

func putOnce(ctx context.Context, client *http.Client, link string, body []byte, headers map[string]string) (status int, code string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, link, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	sum := md5.Sum(body)
	req.Header.Set("x-ms-version", "2021-12-02")
	req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("x-ms-error-code"), nil
}

// probe emulates probe.ps1.
func (m *MIM) probe(ctx context.Context, c *simwinrm.Call) (any, error) {
	var p mimexport.ProbeParams
	if err := c.Decode(&p); err != nil {
		return nil, err
	}
	m.mu.Lock()
	agents := len(m.installation.AgentNames())
	m.mu.Unlock()
	found := mimexport.Probe{Computer: "MIM01", User: `MIM01\svc`, PowerShell: "5.1.20348.2849", Administrator: true, Lithnet: true, Builtin: true, Portal: true,
		SyncPath: `C:\Program Files\Microsoft Forefront Identity Manager\2010\Synchronization Service\`, Root: p.Root, FreeBytes: c.Drive.Free(), Agents: agents}
	if _, err := c.Drive.Local(p.Root); err != nil {
		found.FolderError, found.FreeBytes = "there is no drive for "+p.Root, 0
	}
	if p.Sas != "" {
		status, code, err := putOnce(ctx, c.HTTP, p.Sas, nil, map[string]string{"x-ms-blob-type": "BlockBlob"})
		switch {
		case err != nil:
			found.EgressError = "Unable to connect to the remote server"
		case status != http.StatusCreated:
			found.EgressError = fmt.Sprintf("The remote server returned an error: (%d) %s.", status, code)
		}
	}
	return found, nil
}

// prune emulates prune.ps1.
func (m *MIM) prune(_ context.Context, c *simwinrm.Call) (any, error) {
	var p mimverify.PruneParams
	if err := c.Decode(&p); err != nil {
		return nil, err
	}
	var result mimverify.PruneResult
	for _, b := range p.Backups {
		outcome, reason := pruneOne(c.Drive, p.Root, b)
		result.Folders = append(result.Folders, mimverify.PrunedFolder{Run: b.Run, Outcome: outcome, Reason: reason})
	}
	return result, nil
}

func pruneOne(drive *simwinrm.Drive, root string, b mimverify.OnServer) (outcome, reason string) {
	name, below := strings.CutPrefix(b.Folder, root+`\`)
	if !below || strings.ContainsAny(name, `\/`) || name == ".." {
		return "kept", "it does not lie directly in " + root
	}
	if _, err := drive.Stat(b.Folder); err != nil {
		return "absent", ""
	}
	data, err := drive.ReadFile(b.Folder + `\manifest.json`)
	if err != nil {
		return "kept", "it has no manifest"
	}
	var manifest mim.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return "kept", err.Error()
	}
	if manifest.RunID != b.Run {
		return "kept", "its manifest is that of another run"
	}
	if err := drive.RemoveAll(b.Folder); err != nil {
		return "kept", err.Error()
	}
	return "removed", ""
}
