package ftp

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"path"
	"strings"
	"time"
)

// Kind is what an Entry is.
type Kind int

// The kinds of entries.
const (
	Other Kind = iota // device, socket, or unknown
	File
	Dir
	Link
)

func (k Kind) String() string { return [...]string{"other", "file", "folder", "link"}[k] }

// Entry is one line of a listing.
type Entry struct {
	Path    string    // relative to the listed root, with slashes; empty if Problem
	Name    string    // as the server sent it
	Size    int64     // in bytes, -1 if not known
	ModTime time.Time // zero if not known
	Precise bool      // ModTime is exact to the second and in a known zone (MLSD, MDTM)
	Kind    Kind
	Target  string // of a Link, if known
	Problem error  // why this entry cannot be used (ErrBadName, ErrLostLines); the others can
}

// maxListing bounds the memory that one folder's listing may take: about 500,000 files.
const maxListing = 64 << 20

// maxDepth bounds a walk without limit, since a link to a folder above may look like a folder.
const maxDepth = 32

// List returns what a folder holds, by MLSD or else LIST. Every line counts: one that cannot be read, and a name that cannot
// be used, come as an Entry with Problem. After LIST, names that only NLST knows are such entries as well (ErrLostLines).
// A folder that is not there is ErrNotFound, also where the server would show it as empty.
func (c *Conn) List(ctx context.Context, dir string) ([]Entry, error) {
	var entries []Entry
	err := c.do(ctx, "list", dir, func() (err error) {
		// The folder is entered first: paths in LIST are globs to some servers and options to others, and a missing
		// folder is an empty one to vsftpd.
		if err := c.lib.ChangeDir(c.abs(dir)); err != nil {
			return err
		}
		entries, err = c.listHere()
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

func (c *Conn) listHere() ([]Entry, error) {
	if c.lib.IsTimePreciseInList() {
		text, err := c.fetchListing(c.listLines)
		if unsupported(err) {
			reply := replyOf(err)
			return nil, &Error{Code: reply.Code, Message: reply.Msg, class: ErrUnsupported,
				Hint: "the server announces MLSD but does not have it: disable MLSD"}
		}
		return parseMLSD(text), err
	}
	entries, missing, err := c.listAndCheck()
	if err != nil || len(missing) == 0 {
		return entries, err
	}
	// A file may have come between the two listings: only what is missing again counts.
	entries, missing, err = c.listAndCheck()
	for _, name := range missing {
		entries = append(entries, Entry{Name: name, Size: -1,
			Problem: fmt.Errorf("%w: NLST names %q, LIST does not show it", ErrLostLines, name)})
	}
	return entries, err
}

func (c *Conn) listAndCheck() (entries []Entry, missing []string, err error) {
	text, err := c.fetchListing(c.listLines)
	if err != nil {
		return nil, nil, err
	}
	entries = parseLIST(text, time.Now(), c.cfg.ListingZone)
	names, err := c.fetchListing(c.nameLines)
	if reply := replyOf(err); reply != nil && !outOfStep(reply.Code) {
		return entries, nil, nil // no NLST here, or "no files" for an empty folder
	}
	return entries, unlisted(names, entries), err
}

func (c *Conn) listLines() error { _, err := c.lib.List(""); return err }
func (c *Conn) nameLines() error { _, err := c.lib.NameList(""); return err }

// unlisted returns the names that entries lack. Hidden files do not count: servers differ between LIST and NLST there.
func unlisted(names string, entries []Entry) []string {
	known := make(map[string]bool, len(entries))
	for _, e := range entries {
		known[e.Name] = true
	}
	var missing []string
	for name := range lines(names) {
		name = name[strings.LastIndexByte(name, '/')+1:]
		if name != "" && name[0] != '.' && !known[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

// fetchListing runs a command of the library and returns the text that came over the data connection.
func (c *Conn) fetchListing(command func() error) (string, error) {
	l := &listing{}
	c.listing = l
	err := command()
	c.listing = nil
	err = accept(err)
	if l.err != nil {
		if replyOf(err) == nil {
			err = l.err
		}
		c.wires.cut()
	}
	return l.text.String(), err
}

// listing is the data connection of a listing. It keeps the text to itself and shows the library an empty one, since the
// library's parsers drop what they do not understand.
type listing struct {
	net.Conn
	text strings.Builder
	err  error
}

func (l *listing) Read([]byte) (int, error) {
	n, err := io.Copy(&l.text, io.LimitReader(l.Conn, maxListing))
	if err == nil && n == maxListing {
		err = &Error{Message: fmt.Sprintf("the listing is longer than %d MiB", maxListing>>20)}
	}
	if l.err = err; err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// Walk lists root and the folders below it, down to depth levels (0: root alone; negative: no limit but 32). Folders are
// yielded before what they hold; links are yielded and not followed. A folder that cannot be listed is yielded with
// its error and the walk goes on, unless the connection is lost.
func (c *Conn) Walk(ctx context.Context, root string, depth int) iter.Seq2[Entry, error] {
	if depth < 0 || depth > maxDepth {
		depth = maxDepth
	}
	return func(yield func(Entry, error) bool) { c.walk(ctx, root, "", depth, yield) }
}

func (c *Conn) walk(ctx context.Context, root, below string, depth int, yield func(Entry, error) bool) bool {
	entries, err := c.List(ctx, path.Join(root, below))
	if err != nil {
		return yield(Entry{Path: below, Name: path.Base(below), Size: -1, Kind: Dir}, err) && !c.Broken()
	}
	for _, e := range entries {
		if e.Problem == nil {
			e.Path = path.Join(below, e.Name)
		}
		if !yield(e, nil) {
			return false
		}
		if e.Kind == Dir && e.Problem == nil && depth > 0 && !c.walk(ctx, root, e.Path, depth-1, yield) {
			return false
		}
	}
	return true
}
