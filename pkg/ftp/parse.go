package ftp

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// lines yields the lines of a listing without their line ends, leaving out empty ones.
func lines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSuffix(line, "\r"); line != "" && !yield(line) {
				return
			}
		}
	}
}

// lost stands for a line that could not be read.
func lost(line, why string) Entry {
	return Entry{Name: line, Size: -1, Problem: fmt.Errorf("%w: %s in line %q", ErrLostLines, why, line)}
}

// checked completes an entry whose facts have been read: its name must be one that can be asked for again, and that is one
// step of a path wherever it ends up.
func checked(e Entry) Entry {
	if why := unusable(e.Name); why != "" {
		return Entry{Name: e.Name, Size: e.Size, ModTime: e.ModTime, Problem: fmt.Errorf("%w %q: %s", ErrBadName, e.Name, why)}
	}
	e.Path = e.Name
	return e
}

const maxName = 255 // bytes, of the file systems behind most servers

func unusable(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case name == "." || name == "..":
		return "it means another folder"
	case strings.ContainsAny(name, `/\`):
		return "it contains a path separator"
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "it contains a control character"
	case len(name) > maxName:
		return fmt.Sprintf("it has %d bytes, more than %d", len(name), maxName)
	}
	return ""
}

func isDots(name string) bool { return name == "." || name == ".." }

// parse reads a listing with parseLine, which also says whether an entry is to be kept. A last line without an end may be
// half a name.
func parse(text string, parseLine func(string) (Entry, bool)) []Entry {
	var entries []Entry
	end := strings.LastIndexByte(text, '\n') + 1
	for line := range lines(text[:end]) {
		if e, keep := parseLine(line); keep {
			entries = append(entries, e)
		}
	}
	if rest := text[end:]; rest != "" {
		entries = append(entries, lost(rest, "the listing breaks off"))
	}
	return entries
}

// parseMLSD reads the answer to MLSD (RFC 3659, section 7): "fact=value;...; name", times in UTC.
func parseMLSD(text string) []Entry { return parse(text, parseMLSDLine) }

// parseMLSDLine leaves out the folder itself and the one above.
func parseMLSDLine(line string) (e Entry, keep bool) {
	facts, name, found := strings.Cut(line, " ")
	if !found {
		return lost(line, "no space before the name"), true
	}
	e = Entry{Name: name, Size: -1}
	typed := false
	for fact := range strings.SplitSeq(strings.TrimSuffix(facts, ";"), ";") {
		key, value, found := strings.Cut(fact, "=")
		if !found {
			return lost(line, fmt.Sprintf("no = in fact %q", fact)), true
		}
		var err error
		switch strings.ToLower(key) {
		case "type":
			typed = true
			switch strings.ToLower(value) {
			case "cdir", "pdir":
				return e, false
			}
			e.Kind, e.Target = mlsdKind(value)
		case "size":
			e.Size, err = strconv.ParseInt(value, 10, 64)
			if e.Size < 0 {
				err = strconv.ErrRange
			}
		case "modify":
			e.ModTime, err = time.Parse("20060102150405", value) // also accepts fractions of a second
			e.Precise = err == nil
		}
		if err != nil {
			return lost(line, fmt.Sprintf("bad fact %q", fact)), true
		}
	}
	if isDots(name) {
		return e, false
	}
	if !typed {
		return lost(line, "no fact \"type\""), true
	}
	return checked(e), true
}

// mlsdKind reads a type fact; links are "OS.unix=symlink" or "OS.unix=slink:target", by whoever wrote the server.
func mlsdKind(value string) (kind Kind, target string) {
	value, target, _ = strings.Cut(value, ":")
	switch strings.ToLower(value) {
	case "file":
		return File, ""
	case "dir":
		return Dir, ""
	case "os.unix=symlink", "os.unix=slink":
		return Link, target
	}
	return Other, ""
}
