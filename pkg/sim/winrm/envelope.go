package simwinrm

import (
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The names of MS-WSMV that requests and replies carry.
const (
	transferNS = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
	shellNS    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	cmdShell   = shellNS + "/cmd"
	signalNS   = shellNS + "/signal/"
	stateNS    = shellNS + "/CommandState/"
	faultNS    = "http://schemas.dmtf.org/wbem/wsman/1/wsman"
	anonymous  = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
)

// envelope is a request as it stands on the wire; only what a Windows shell looks at.
type envelope struct {
	XMLName xml.Name `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
	Header  struct {
		Action           string     `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing Action"`
		MessageID        string     `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing MessageID"`
		To               string     `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing To"`
		ResourceURI      string     `xml:"ResourceURI"`
		OperationTimeout string     `xml:"OperationTimeout"`
		MaxEnvelopeSize  int        `xml:"MaxEnvelopeSize"`
		Selectors        []namedVal `xml:"SelectorSet>Selector"`
		Options          []namedVal `xml:"OptionSet>Option"`
	} `xml:"Header"`
	Body struct {
		Identify    *struct{}      `xml:"Identify"`
		Shell       *shellBody     `xml:"Shell"`
		CommandLine *commandLine   `xml:"CommandLine"`
		Streams     []streamBody   `xml:"Send>Stream"`
		Desired     *desiredStream `xml:"Receive>DesiredStream"`
		Signal      *signalBody    `xml:"Signal"`
	} `xml:"Body"`

	machine    string // as the client calls the server
	activityID bool   // replies carry one
}

type namedVal struct {
	Name  string `xml:"Name,attr"`
	Value string `xml:",chardata"`
}

type shellBody struct {
	InputStreams     string     `xml:"InputStreams"`
	OutputStreams    string     `xml:"OutputStreams"`
	WorkingDirectory string     `xml:"WorkingDirectory"`
	IdleTimeOut      string     `xml:"IdleTimeOut"`
	Environment      []namedVal `xml:"Environment>Variable"`
}

type commandLine struct {
	Command   string   `xml:"Command"`
	Arguments []string `xml:"Arguments"`
}

type streamBody struct {
	Name      string `xml:"Name,attr"`
	CommandID string `xml:"CommandId,attr"`
	End       string `xml:"End,attr"`
	Data      string `xml:",chardata"`
}

type desiredStream struct {
	CommandID string `xml:"CommandId,attr"`
	Names     string `xml:",chardata"`
}

type signalBody struct {
	CommandID string `xml:"CommandId,attr"`
	Code      string `xml:"Code"`
}

// parseEnvelope reads a request. What it accepts is complete enough for the handlers: each action has its body.
func parseEnvelope(data []byte) (*envelope, error) {
	e := &envelope{}
	if err := xml.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("read the SOAP envelope: %w", err)
	}
	if e.Body.Identify != nil {
		return e, nil
	}
	if e.Header.MessageID == "" {
		return nil, errors.New("the SOAP header has no MessageID")
	}
	missing := map[string]bool{
		"Create":  e.Body.Shell == nil,
		"Command": e.Body.CommandLine == nil || strings.TrimSpace(e.Body.CommandLine.Command) == "",
		"Send":    len(e.Body.Streams) == 0,
		"Receive": e.Body.Desired == nil,
		"Signal":  e.Body.Signal == nil,
	}
	if action := e.action(); missing[action] {
		return nil, fmt.Errorf("the SOAP body holds nothing for the action %s", action)
	}
	return e, nil
}

// action is the last word of the request's Action, such as "Create"; empty for an action that shells do not have.
func (e *envelope) action() string {
	if e.Body.Identify != nil {
		return "Identify"
	}
	full := strings.TrimSpace(e.Header.Action)
	switch name := full[strings.LastIndex(full, "/")+1:]; full {
	case transferNS + "/Create", transferNS + "/Delete",
		shellNS + "/Command", shellNS + "/Send", shellNS + "/Receive", shellNS + "/Signal":
		return name
	}
	return ""
}

func (e *envelope) shellID() string { return find(e.Header.Selectors, "ShellId") }

// option is one of the request's options. Clients write TRUE, True and true.
func (e *envelope) option(name string) bool {
	return isTrue(find(e.Header.Options, name))
}

func isTrue(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "true") || s == "1" }

func find(values []namedVal, name string) string {
	for _, v := range values {
		if v.Name == name {
			return strings.TrimSpace(v.Value)
		}
	}
	return ""
}

// String is the command line that the server starts.
func (c *commandLine) String() string {
	return strings.TrimSpace(strings.Join(append([]string{c.Command}, c.Arguments...), " "))
}

var durationPattern = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// parseDuration reads an xs:duration without years and months, such as PT60.000S.
func parseDuration(s string) (time.Duration, error) {
	parts := durationPattern.FindStringSubmatch(s)
	if parts == nil || strings.HasSuffix(s, "P") || strings.HasSuffix(s, "T") {
		return 0, fmt.Errorf("%q is no duration: expected for example PT60S", s)
	}
	seconds := 0.0
	for i, unit := range []float64{86400, 3600, 60, 1} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseFloat(parts[i+1], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration: %w", s, err)
		}
		seconds += n * unit
	}
	if seconds > math.MaxInt64/float64(time.Second)/2 {
		return 0, fmt.Errorf("%q is too long a duration", s)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
