package simwinrm

// Kind is what goes wrong with a request.
type Kind int

// The kinds of faults.
const (
	Status    Kind = iota + 1 // answer with the HTTP status Code and no body instead of obeying
	SOAP                      // answer with the fault Code (HTTP 500) instead of obeying
	Drop                      // close the connection instead of obeying
	DropAfter                 // obey, then close the connection instead of answering
	Stall                     // say nothing until the client gives up; nothing is obeyed
	Reset                     // obey, then break the connection in the middle of the answer
	Restart                   // the service restarts: no shell or connection survives, this request included
	Exit                      // Command: obey, but the process dies with exit code Code after After bytes of stdout
	Late                      // Receive: there is output, but it comes with the next Receive
	Twice                     // Receive: the output comes again with the next Receive
)

// Fault is one thing that goes wrong with requests that have passed the log-on.
type Fault struct {
	Action  string // Create, Command, Send, Receive, Signal or Delete; empty means any
	Request int    // only the n-th request that matches, counted from 1 when the script was set; 0 means every one
	Times   int    // how often; 0 means always
	Kind    Kind
	Code    uint32
	After   int64 // bytes
}

// armed is a Fault with its counts.
type armed struct {
	Fault
	seen, done int
}

// Script makes things go wrong from now on, the first fault that matches a request counting. It replaces an earlier script.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	for _, f := range faults {
		s.faults = append(s.faults, &armed{Fault: f})
	}
}

// faultOf finds what is to go wrong with a request, and counts it.
func (s *Server) faultOf(action string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *armed
	for _, f := range s.faults {
		if f.Action != "" && f.Action != action {
			continue
		}
		f.seen++
		if found == nil && (f.Request == 0 || f.Request == f.seen) && (f.Times == 0 || f.done < f.Times) {
			found = f
		}
	}
	if found == nil {
		return nil
	}
	found.done++
	return &found.Fault
}
