// Package ftp fetches files from FTP servers, over TLS unless told otherwise, and never takes silence for success.
//
// What it promises:
//   - Every wait ends: with the context, or when the server has sent nothing for Config.IdleTimeout, whichever is first.
//   - A download ends in io.EOF only after the server's final "complete" reply and, where the size is known, only after
//     exactly that many bytes. A transfer that broke never looks complete.
//   - A listing loses nothing: a line or name that cannot be used is returned as an Entry with a Problem.
//   - Errors carry a class for errors.Is (ErrNotFound, ErrBusy, ...), the server's reply, and often what to do. No
//     password appears in one, even where the server echoes it.
//   - TLS is verified (1.2 or newer) against the system's authorities, a CA file or a pinned key; clear text only where
//     Config.Security says so by name.
//
// What it does not: active mode, ASCII mode, uploads, client certificates, proxies.
//
// A Conn serves one caller at a time; a Pool hands out several. The protocol is RFC 959 with RFC 2228 and 4217 (TLS),
// 2428 (EPSV) and 3659 (MLSD, SIZE, MDTM, REST); github.com/jlaffaye/ftp speaks it. Listings are parsed here, because that
// library drops the lines that it does not understand.
package ftp

import (
	"context"
	"crypto/tls"
	"net"
	"path"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"
)

// Conn is one logged-in control connection. It is not safe for concurrent use; to end an operation early, end its context.
type Conn struct {
	cfg  Config
	ctl  *control
	lib  *ftp.ServerConn
	home string // folder after login; every path is made absolute against it

	wires   wires
	dataTLS *tls.Config // of data connections; nil in clear text

	// State of the operation under way, which the library's dial callback needs and cannot be given.
	ctx      context.Context
	listing  *listing  // set while a listing is read
	transfer *transfer // set while a download is open

	known knownSize // set if the last operation was a Stat
}

// knownSize lets an Open right after a Stat of the same path spare a SIZE command.
type knownSize struct {
	path string
	size int64
}

// Dial connects, secures the connection as cfg says and logs in.
// ErrDenied means that the server refused the login: trying again soon may lock the account.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Conn{cfg: cfg}
	if err := c.do(ctx, "connect", "", c.connect); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.do(ctx, "log in", "", c.login); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) connect() error {
	tlsConfig, err := c.cfg.tlsConfig()
	if err != nil {
		return err
	}
	c.ctl = &control{}
	options := []ftp.DialOption{
		ftp.DialWithDialFunc(func(_, address string) (net.Conn, error) {
			if c.ctl.Conn == nil {
				return c.dialControl(address, tlsConfig)
			}
			return c.dialData(address)
		}),
		ftp.DialWithDisabledEPSV(c.cfg.DisableEPSV),
		ftp.DialWithDisabledMLSD(c.cfg.DisableMLSD),
		ftp.DialWithDisabledUTF8(c.cfg.DisableUTF8),
	}
	if tlsConfig != nil {
		options = append(options, ftp.DialWithTLS(tlsConfig)) // makes Login send PBSZ and PROT P
	}
	c.lib, err = ftp.Dial(net.JoinHostPort(c.cfg.split()), options...)
	return err
}

func (c *Conn) login() error {
	if err := c.lib.Login(c.cfg.Username, c.cfg.Password.Reveal()); err != nil {
		return err
	}
	home, err := c.lib.CurrentDir()
	if err != nil && c.broken() {
		return err
	}
	// RFC 959 doubles quotes inside the quoted path. A server without PWD, or with paths of another kind, is taken to
	// start at its root.
	c.home = strings.ReplaceAll(home, `""`, `"`)
	if !strings.HasPrefix(c.home, "/") {
		c.home = "/"
	}
	return nil
}

// do runs one operation: bound to ctx, its error turned into an *Error.
func (c *Conn) do(ctx context.Context, op, name string, f func() error) error {
	stop, err := c.begin(ctx, op, name)
	if err != nil {
		return err
	}
	defer stop()
	return c.failure(op, name, f())
}

// begin ties the connection to ctx until stop is called: when ctx ends first, the connection is closed, which ends
// whatever waits on it.
func (c *Conn) begin(ctx context.Context, op, name string) (stop func() bool, err error) {
	if err := sayable(op, name); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, &Error{Op: op, Path: name, Message: err.Error(), cause: err}
	}
	if c.transfer != nil {
		return nil, &Error{Op: op, Path: name, Message: "a download on this connection is still open"}
	}
	if c.wires.isCut() {
		return nil, &Error{Op: op, Path: name, Message: "the connection is closed", class: ErrLost}
	}
	c.ctx = ctx
	if op != "open" {
		c.known = knownSize{}
	}
	return context.AfterFunc(ctx, c.wires.cut), nil
}

func sayable(op, name string) error {
	if strings.ContainsAny(name, "\r\n\x00") {
		return &Error{Op: op, Path: name, Message: "the path contains a line break or NUL, which FTP cannot carry",
			class: ErrBadName}
	}
	return nil
}

// Stat returns a file's size and time of change (UTC, to the second) by SIZE and MDTM. Size is -1 and ModTime zero
// where the server has no such command. It is for files: servers refuse folders.
func (c *Conn) Stat(ctx context.Context, name string) (Entry, error) {
	e := Entry{Path: name, Name: path.Base(name), Size: -1, Kind: File}
	err := c.do(ctx, "stat", name, func() error {
		full := c.abs(name)
		size, err := c.lib.FileSize(full)
		switch {
		case err == nil:
			e.Size = size
			c.known = knownSize{full, size}
		case !unsupported(err):
			return err
		}
		if !c.lib.IsGetTimeSupported() {
			return nil
		}
		e.ModTime, err = c.lib.GetTime(full)
		e.Precise = err == nil
		if unsupported(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Delete removes a file. ErrNotFound means that it is not there, ErrForbidden that it is and stays.
func (c *Conn) Delete(ctx context.Context, name string) error {
	return c.do(ctx, "delete", name, func() error {
		return c.presence(name, c.lib.Delete(c.abs(name)))
	})
}

// Rename moves a file within the server. Whether an existing target is replaced is the server's choice. ErrNotFound means
// that there is no such file, ErrForbidden also that the target's folder is missing.
func (c *Conn) Rename(ctx context.Context, from, to string) error {
	if err := sayable("rename", to); err != nil {
		return err
	}
	return c.do(ctx, "rename", from, func() error {
		return c.presence(from, c.lib.Rename(c.abs(from), c.abs(to)))
	})
}

// MakeDir makes a folder and those above it. A folder that exists is no error.
func (c *Conn) MakeDir(ctx context.Context, dir string) error {
	return c.do(ctx, "make folder", dir, func() error {
		full := c.abs(dir)
		if c.lib.ChangeDir(full) == nil {
			return nil
		}
		for i := range len(full) {
			if i == 0 || full[i] != '/' {
				continue
			}
			if c.lib.ChangeDir(full[:i]) != nil {
				c.lib.MakeDir(full[:i]) // the last step tells whether this worked
			}
		}
		err := c.lib.MakeDir(full)
		if err != nil && c.lib.ChangeDir(full) == nil { // someone else was faster
			return nil
		}
		return err
	})
}

// presence settles what a 550 leaves open: vsftpd, among others, answers "operation failed" alike for a file that is
// missing and for one that may not be touched, and others "no such file" when it is the target's folder that is missing.
func (c *Conn) presence(name string, err error) error {
	reply := replyOf(err)
	if reply == nil || reply.Code != ftp.StatusFileUnavailable {
		return err
	}
	e := judge("", reply.Code, reply.Msg)
	if e.class != ErrNotFound {
		return e
	}
	_, sizeErr := c.lib.FileSize(c.abs(name))
	if sizeErr == nil {
		e.class = ErrForbidden
	} else if replyOf(sizeErr) == nil {
		return sizeErr // the connection is gone, and with it the answer
	}
	return e
}

// Ping asks the server for a sign of life.
func (c *Conn) Ping(ctx context.Context) error {
	return c.do(ctx, "ping", "", c.lib.NoOp)
}

// Broken tells whether the connection can no longer be used.
func (c *Conn) Broken() bool { return c.broken() || c.transfer != nil }

func (c *Conn) broken() bool { return c.wires.isCut() || c.ctl != nil && c.ctl.failed != nil }

// Close says goodbye where that is still possible and closes the connection; it waits at most a few seconds and may be
// called more than once.
func (c *Conn) Close() error {
	if c.lib != nil && !c.Broken() {
		limit := time.AfterFunc(quitLimit, c.wires.cut)
		defer limit.Stop()
		c.lib.Quit()
	}
	c.wires.cut()
	return nil
}

// abs makes a path absolute, so that it means the same whatever the current folder is, and so that a name cannot be
// taken for an option (some servers read "LIST -x" as ls does).
func (c *Conn) abs(name string) string {
	if strings.HasPrefix(name, "/") {
		return path.Clean(name)
	}
	return path.Join(c.home, name)
}
