package simftp

import (
	"path"
	"strings"
)

// Kind is what goes wrong.
type Kind int

// The kinds of faults. Those that concern the bytes of a file apply to RETR and count from where the transfer starts.
const (
	Answer Kind = iota + 1 // reply Reply instead of obeying; a 421 also hangs up
	Die                    // close the connections: instead of obeying, or after After bytes
	Silent                 // say nothing any more: instead of obeying, or after After bytes
	Final                  // obey, but replace the reply that ends the transfer by Reply
	Short                  // send After bytes and then say that all is well
	Lines                  // send Reply as the listing, whatever is in the folder
)

// Fault is one thing that goes wrong, on the wire or in a file.
type Fault struct {
	Command string // the FTP command, such as "RETR"; "CONNECT" is the greeting
	Path    string // which argument, as a path.Match pattern on its last element; empty means any
	Times   int    // how often; 0 means always
	Kind    Kind
	Reply   string // "550 no such file"
	After   int64  // bytes
}

// armed is a Fault with its count of uses left.
type armed struct {
	Fault
	left int
}

// Script makes things go wrong from now on, the first fault that matches a command counting. It replaces an earlier script.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	for _, f := range faults {
		s.faults = append(s.faults, &armed{f, f.Times})
	}
}

// fault finds what is to go wrong with a command, and counts it.
func (s *Server) fault(verb, argument string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Command != verb || f.Times > 0 && f.left == 0 {
			continue
		}
		if ok, _ := path.Match(f.Path, path.Base(argument)); f.Path != "" && !ok {
			continue
		}
		f.left--
		return &f.Fault
	}
	return nil
}

func split(line string) (verb, argument string) {
	verb, argument, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), argument
}
