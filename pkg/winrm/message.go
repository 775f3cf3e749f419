package winrm

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"
)

const (
	shellNS     = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	resourceURI = shellNS + "/cmd"
	anonymous   = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"

	// maxEnvelope is what Windows Server 2012 R2 and later accept unless configured otherwise (MaxEnvelopeSizekb 500).
	maxEnvelope = 500 * 1000
	// chunk is how much input fits into one envelope: base64 makes 4 bytes of 3, and the rest of the message has its share.
	chunk = (maxEnvelope - 8*1000) / 4 * 3
	// shellIdle is how long a shell lives that nobody asks for anything: what a killed handler leaves behind counts
	// against the account's 30 shells only for so long. The server's own default is two hours.
	shellIdle = "PT900S"
)

// messages makes the requests of one client.
type messages struct {
	to         string
	parameters winrm.Parameters
}

func newMessages(to string, operationTimeout time.Duration) messages {
	return messages{to: to, parameters: winrm.Parameters{
		Timeout:      fmt.Sprintf("PT%.3fS", operationTimeout.Seconds()),
		Locale:       "en-US",
		EnvelopeSize: maxEnvelope,
	}}
}

func (m messages) header(action string) (*soap.SoapMessage, *soap.SoapHeader) {
	message := soap.NewMessage()
	return message, message.Header().To(m.to).ReplyTo(anonymous).MaxEnvelopeSize(m.parameters.EnvelopeSize).
		Id("uuid:" + uuid.NewString()).Locale(m.parameters.Locale).Timeout(m.parameters.Timeout).
		Action(action).ResourceURI(resourceURI)
}

// openShell and startCommand are not the library's, since its options are fixed: it has no idle timeout, loads the user's
// profile, and asks for a console as stdin, which changes the bytes that arrive (Ctrl-Z, line ends).
func (m messages) openShell() string {
	message, header := m.header("http://schemas.xmlsoap.org/ws/2004/09/transfer/Create")
	header.AddOption(soap.NewHeaderOption("WINRS_NOPROFILE", "TRUE")).
		AddOption(soap.NewHeaderOption("WINRS_CODEPAGE", "65001")).Build()
	shell := message.CreateBodyElement("Shell", soap.DOM_NS_WIN_SHELL)
	message.CreateElement(shell, "InputStreams", soap.DOM_NS_WIN_SHELL).SetContent("stdin")
	message.CreateElement(shell, "OutputStreams", soap.DOM_NS_WIN_SHELL).SetContent("stdout stderr")
	message.CreateElement(shell, "IdleTimeOut", soap.DOM_NS_WIN_SHELL).SetContent(shellIdle)
	return message.String()
}

// startCommand takes a line without characters that XML gives a meaning.
func (m messages) startCommand(shell, line string) string {
	message, header := m.header(shellNS + "/Command")
	header.ShellId(shell).AddOption(soap.NewHeaderOption("WINRS_CONSOLEMODE_STDIN", "FALSE")).
		AddOption(soap.NewHeaderOption("WINRS_SKIP_CMD_SHELL", "FALSE")).Build()
	command := message.CreateBodyElement("CommandLine", soap.DOM_NS_WIN_SHELL)
	message.CreateElement(command, "Command", soap.DOM_NS_WIN_SHELL).SetContent(line)
	return message.String()
}

func (m messages) sendInput(shell, command string, input []byte, end bool) string {
	return winrm.NewSendInputRequest(m.to, shell, command, input, end, &m.parameters).String()
}

func (m messages) receiveOutput(shell, command string) string {
	return winrm.NewGetOutputRequest(m.to, shell, command, "stdout stderr", &m.parameters).String()
}

func (m messages) terminate(shell, command string) string {
	return winrm.NewSignalRequest(m.to, shell, command, &m.parameters).String()
}

func (m messages) deleteShell(shell string) string {
	return winrm.NewDeleteShellRequest(m.to, shell, &m.parameters).String()
}

// reply is what any of the requests is answered with.
type reply struct {
	Action string `xml:"Header>Action"`
	Body   struct {
		ShellID   string     `xml:"Shell>ShellId"`
		Selectors []selector `xml:"ResourceCreated>ReferenceParameters>SelectorSet>Selector"`
		CommandID string     `xml:"CommandResponse>CommandId"`
		Output    *output    `xml:"ReceiveResponse"`
		Fault     *soapFault `xml:"Fault"`
	} `xml:"Body"`
}

type selector struct {
	Name string `xml:",attr"`
	Text string `xml:",chardata"`
}

type output struct {
	Streams []struct {
		Name string `xml:",attr"`
		Text string `xml:",chardata"`
	} `xml:"Stream"`
	State struct {
		State    string `xml:",attr"`
		ExitCode string
	} `xml:"CommandState"`
}

type soapFault struct {
	Subcode string   `xml:"Code>Subcode>Value"`
	Reason  flatText `xml:"Reason>Text"`
	Detail  struct {
		WSMan *struct {
			Code    string `xml:",attr"`
			Message flatText
		} `xml:"WSManFault"`
		WMI *struct {
			Code      string `xml:"error_Code"`
			MessageID string
			Message   flatText
		} `xml:"MSFT_WmiError"`
	} `xml:"Detail"`
}

// flatText is an element's text with that of the elements inside it: providers put theirs there.
type flatText string

func (t *flatText) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	var words []string
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			words = append(words, strings.Fields(string(token))...)
		}
	}
	*t = flatText(strings.Join(words, " "))
	return nil
}

var errNoReply = errors.New("this is no WS-Management reply")

func parseReply(data []byte) (*reply, error) {
	var r struct {
		XMLName xml.Name `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
		reply
	}
	if err := xml.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoReply, err)
	}
	return &r.reply, nil
}

// fault gives what a reply complains about; nil where it does not.
func (r *reply) fault() *Fault {
	raw := r.Body.Fault
	if raw == nil {
		return nil
	}
	f := &Fault{Subcode: strings.TrimSpace(raw.Subcode), Reason: string(raw.Reason)}
	if d := raw.Detail.WSMan; d != nil {
		f.Code = parseCode(d.Code)
		f.detail(d.Message)
	}
	if d := raw.Detail.WMI; d != nil {
		if f.Code = parseCode(d.Code); f.Code == 0 {
			f.Code = parseCode(strings.TrimPrefix(d.MessageID, "HRESULT "))
		}
		f.detail(d.Message)
	}
	k := knownCode(f.Code)
	if k == (knowledge{}) {
		k = knownSubcode(f.Subcode)
	}
	f.class, f.Meaning, f.Do = k.class, k.meaning, k.do
	return f
}

// detail replaces the reason by the provider's own words, which say more.
func (f *Fault) detail(text flatText) {
	if text != "" {
		f.Reason = string(text)
	}
}

// parseCode reads what servers write as unsigned, signed or hexadecimal 32 bits; 0 if it is none.
func parseCode(text string) int64 {
	code, err := strconv.ParseInt(strings.TrimSpace(text), 0, 64)
	if err != nil {
		return 0
	}
	return int64(uint32(code))
}

// identifier is what a shell's or command's id may consist of; it goes into later requests as it is.
var identifier = regexp.MustCompile(`^[0-9A-Za-z{}_-]+$`)

// shellID is found in two places; old and new servers write both.
func (r *reply) shellID() (string, error) {
	id := strings.TrimSpace(r.Body.ShellID)
	for _, s := range r.Body.Selectors {
		if id == "" && s.Name == "ShellId" {
			id = strings.TrimSpace(s.Text)
		}
	}
	return id, checkID(id)
}

func (r *reply) commandID() (string, error) {
	id := strings.TrimSpace(r.Body.CommandID)
	return id, checkID(id)
}

func checkID(id string) error {
	if len(id) > 128 || !identifier.MatchString(id) {
		return fmt.Errorf("the reply has no usable id: %.40q", id)
	}
	return nil
}

// read writes the streams' bytes and tells whether the command ended, and with which exit code.
func (o *output) read(stdout, stderr io.Writer) (done bool, exitCode int, err error) {
	for _, s := range o.Streams {
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s.Text))
		if err != nil {
			return false, 0, fmt.Errorf("stream %.20q of the reply is damaged: %w", s.Name, err)
		}
		w := stdout
		if s.Name == "stderr" {
			w = stderr
		}
		if _, err := w.Write(data); err != nil {
			return false, 0, err
		}
	}
	if !strings.HasSuffix(o.State.State, "/CommandState/Done") {
		return false, 0, nil
	}
	// Windows writes exit codes as unsigned numbers; a command that was terminated may have none.
	return true, int(int32(parseCode(o.State.ExitCode))), nil
}
