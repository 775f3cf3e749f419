package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/sim/ftpd"
)

// rcloneModule is installed for the benchmark only.
const rcloneModule = "github.com/rclone/rclone@v1.75.1"

// installRclone builds rclone into build/bin, once.
func (b *bench) installRclone(ctx context.Context) (string, error) {
	bin := filepath.Join(b.root, "build", "bin")
	tool := filepath.Join(bin, "rclone")
	if _, err := os.Stat(tool); err == nil {
		return tool, nil
	}
	fmt.Fprintf(os.Stderr, "installing %s, which takes some minutes ...\n", rcloneModule)
	install := exec.CommandContext(ctx, "go", "install", rcloneModule)
	install.Env = append(os.Environ(), "GOBIN="+bin)
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install rclone: %w\n%s", err, out)
	}
	return tool, nil
}

// rclone copies the folder to an empty emulator.
func (b *bench) rclone(ctx context.Context, tool string, server *ftpd.Server, dir string, files []drop.File) (result fetched, err error) {
	emulator, account, err := b.emptyStorage(ctx)
	if err != nil {
		return result, err
	}
	defer emulator.Stop()
	defer account.Close()
	config, err := b.rcloneConfig(ctx, tool, server, emulator.ConnectionString())
	if err != nil {
		return result, err
	}
	const container = "rclone"
	copying := &process{cmd: exec.CommandContext(ctx, tool, "--config", config, "copy", "src:"+dir, "dst:"+container)}
	var out strings.Builder
	copying.cmd.Stdout, copying.cmd.Stderr = &out, &out
	began := time.Now()
	if err := copying.cmd.Start(); err != nil {
		return result, fmt.Errorf("start rclone: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- copying.cmd.Wait() }()
	result.peak = copying.peak(ended)
	err = <-ended
	result.took = time.Since(began)
	if err != nil {
		return result, fmt.Errorf("rclone: %w\n%s", err, out.String())
	}
	blobs := account.Container(container)
	for _, f := range files {
		stored, err := blobs.Stat(ctx, filepath.Base(f.Path))
		if err != nil || stored.Size != f.Size {
			return result, fmt.Errorf("rclone: %s has not arrived: %w", f.Path, err)
		}
	}
	return result, nil
}

// peak follows a process until it ends and returns the most memory it had. The system counts; the last look matters.
func (p *process) peak(ended chan error) (bytes int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			return bytes
		case <-tick.C:
			if now, err := p.memory("VmHWM"); err == nil {
				bytes = now
			}
		}
	}
}

func (b *bench) rcloneConfig(ctx context.Context, tool string, server *ftpd.Server, connection string) (string, error) {
	obscured, err := exec.CommandContext(ctx, tool, "obscure", ftpd.Password).Output()
	if err != nil {
		return "", fmt.Errorf("prepare rclone: %w", err)
	}
	host, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		return "", fmt.Errorf("prepare rclone: %w", err)
	}
	text := fmt.Sprintf("[src]\ntype = ftp\nhost = %s\nport = %s\nuser = %s\npass = %s\nexplicit_tls = true\nno_check_certificate = true\n\n"+
		"[dst]\ntype = azureblob\naccount = %s\nkey = %s\nendpoint = %s\n",
		host, port, ftpd.Username, strings.TrimSpace(string(obscured)),
		connectionPart(connection, "AccountName"), connectionPart(connection, "AccountKey"), connectionPart(connection, "BlobEndpoint"))
	file := filepath.Join(b.dir, "rclone.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("prepare rclone: %w", err)
	}
	return file, nil
}
