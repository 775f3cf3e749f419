package simftp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"
)

// driver is what the library asks about the server.
type driver struct{ *Server }

func (d *driver) GetSettings() (*ftpserver.Settings, error) {
	return &ftpserver.Settings{
		Listener:            &listener{d.listener, d.Server},
		Banner:              "Nightshift FTP simulator",
		PublicHost:          d.options.PassiveHost,
		DisableMLSD:         d.options.NoMLSD,
		DisableMLST:         d.options.NoMLSD,
		DisableActiveMode:   true,
		DefaultTransferType: ftpserver.TransferTypeBinary,
	}, nil
}

func (d *driver) ClientConnected(cc ftpserver.ClientContext) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cc.SetExtra(d.live[cc.RemoteAddr().String()])
	return "Nightshift FTP simulator", nil
}

func (d *driver) ClientDisconnected(cc ftpserver.ClientContext) {
	if c, ok := cc.Extra().(*control); ok && c != nil {
		close(c.session.ended)
	}
}

func (d *driver) AuthUser(cc ftpserver.ClientContext, user, password string) (ftpserver.ClientDriver, error) {
	d.mu.Lock()
	d.logins++
	refuse := d.options.RefuseLogins < 0 || d.logins <= d.options.RefuseLogins
	d.mu.Unlock()
	if refuse || user != d.options.Username || password != d.options.Password {
		return nil, errors.New("wrong user or password")
	}
	c, _ := cc.Extra().(*control)
	if c == nil {
		return nil, errors.New("session already over")
	}
	return &files{Fs: d.fs, zone: d.options.Zone, control: c, client: cc}, nil
}

func (d *driver) GetTLSConfig() (*tls.Config, error) {
	if d.options.NoTLS {
		return nil, errors.New("no TLS here")
	}
	return d.dataTLS, nil
}

func (d *driver) WrapPassiveListener(l net.Listener) (net.Listener, error) {
	d.keep(l)
	return &dataListener{l, d.Server}, nil
}

// rawListing is the file that a listing with given lines is served as.
const rawListing = "/.simulated-listing"

// files is the file system as one session sees it.
type files struct {
	afero.Fs
	zone    *time.Location
	control *control
	client  ftpserver.ClientContext
}

// ReadDir lists a folder, sorted by name, links as what they lead to: the library calls every link a file.
func (f *files) ReadDir(name string) ([]os.FileInfo, error) {
	infos, err := afero.ReadDir(f.Fs, name)
	for i, info := range infos {
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err := f.Fs.Stat(path.Join(name, info.Name())); err == nil {
				info = followed{target, info.Name()}
			}
		}
		infos[i] = zoned{info, f.zone}
	}
	return infos, err
}

// followed is what a link leads to, under the link's name.
type followed struct {
	fs.FileInfo
	name string
}

func (f followed) Name() string { return f.name }

// zoned shows a file's time in the server's zone, which LIST prints.
type zoned struct {
	fs.FileInfo
	zone *time.Location
}

func (z zoned) ModTime() time.Time { return z.FileInfo.ModTime().In(z.zone) }

// GetHandle opens a file for a transfer, with what the script wants to happen to it.
func (f *files) GetHandle(name string, flags int, offset int64) (ftpserver.FileTransfer, error) {
	fault, lines := f.control.takeTransfer()
	if name == rawListing {
		return listingFile{bytes.NewReader([]byte(lines))}, nil
	}
	file, err := f.Fs.OpenFile(name, flags, 0o644)
	if err != nil || fault == nil {
		return file, err
	}
	return &faulty{File: file, fault: fault, left: fault.After, files: f}, nil
}

type listingFile struct{ *bytes.Reader }

func (listingFile) Write([]byte) (int, error) { return 0, fs.ErrPermission }
func (listingFile) Close() error              { return nil }

// faulty is a file that reads well up to a point.
type faulty struct {
	afero.File
	fault *Fault
	left  int64
	files *files
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.left > 0 {
		n, err := f.File.Read(p[:min(int64(len(p)), f.left)])
		f.left -= int64(n)
		return n, err
	}
	switch f.fault.Kind {
	case Short:
		return 0, io.EOF
	case Die:
		f.files.client.Close()
	case Silent:
		<-f.files.control.session.ended
	}
	return 0, errHungUp
}
