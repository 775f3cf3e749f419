package simwinrm

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Replies are written by hand: their prefixes, order and attributes are those of recordings of Windows Server 2016 and
// 2012 R2, which encoding/xml cannot produce.

var prefixes = map[string]string{
	"x":   transferNS,
	"e":   "http://schemas.xmlsoap.org/ws/2004/08/eventing",
	"n":   "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
	"w":   "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
	"rsp": shellNS,
}

// reply is a whole envelope. used are the prefixes that Windows declares for this kind of reply.
func (e *envelope) reply(action, used, body string) string {
	activity := ""
	if e.activityID {
		activity = "<p:ActivityId>" + newID() + "</p:ActivityId>"
	}
	var b strings.Builder
	b.WriteString(`<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope"` +
		` xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"`)
	for _, prefix := range strings.Fields(used) {
		fmt.Fprintf(&b, ` xmlns:%s="%s"`, prefix, prefixes[prefix])
	}
	fmt.Fprintf(&b, ` xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header><a:Action>%s</a:Action>`+
		`<a:MessageID>uuid:%s</a:MessageID>%s<a:To>%s</a:To><a:RelatesTo>%s</a:RelatesTo></s:Header><s:Body>%s</s:Body></s:Envelope>`,
		action, newID(), activity, anonymous, escape(e.Header.MessageID), body)
	return b.String()
}

// shellReply answers an action of shells, with an element that is named after it.
func shellReply(e *envelope, body string) string {
	return e.reply(shellNS+"/"+e.action()+"Response", "x w rsp", body)
}

func createReply(e *envelope, s *shell, clientIP string) string {
	body := e.Body.Shell
	return e.reply(transferNS+"/CreateResponse", "x w rsp", fmt.Sprintf(
		`<x:ResourceCreated><a:Address>%s</a:Address><a:ReferenceParameters><w:ResourceURI>%s</w:ResourceURI>`+
			`<w:SelectorSet><w:Selector Name="ShellId">%s</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`+
			`<rsp:Shell xmlns:rsp="%s"><rsp:ShellId>%s</rsp:ShellId><rsp:ResourceUri>%s</rsp:ResourceUri><rsp:Owner>%s</rsp:Owner>`+
			`<rsp:ClientIP>%s</rsp:ClientIP>%s<rsp:IdleTimeOut>PT%.3fS</rsp:IdleTimeOut><rsp:InputStreams>%s</rsp:InputStreams>`+
			`<rsp:OutputStreams>%s</rsp:OutputStreams><rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime>`+
			`<rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>`,
		escape(e.Header.To), cmdShell, s.id, shellNS, s.id, cmdShell, escape(s.user), escape(clientIP), workingDirectory(s.dir),
		s.idleTimeout.Seconds(), escape(body.InputStreams), escape(body.OutputStreams)))
}

func workingDirectory(dir string) string {
	if dir == "" {
		return ""
	}
	return "<rsp:WorkingDirectory>" + escape(dir) + "</rsp:WorkingDirectory>"
}

func deleteReply(e *envelope) string {
	return e.reply(transferNS+"/DeleteResponse", "w", "")
}

// receiveReply carries chunks and, when exit is not nil, the end of the streams that were asked for.
func receiveReply(e *envelope, chunks []chunk, exit *uint32) string {
	id := escape(e.Body.Desired.CommandID)
	var b strings.Builder
	b.WriteString("<rsp:ReceiveResponse>")
	for _, c := range chunks {
		fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s">%s</rsp:Stream>`, c.stream, id, base64.StdEncoding.EncodeToString(c.data))
	}
	state, code := "Running", ""
	if exit != nil {
		for _, name := range strings.Fields(e.Body.Desired.Names) {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s" End="true"></rsp:Stream>`, escape(name), id)
		}
		state, code = "Done", fmt.Sprintf("<rsp:ExitCode>%d</rsp:ExitCode>", *exit)
	}
	fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s%s">%s</rsp:CommandState></rsp:ReceiveResponse>`, id, stateNS, state, code)
	return e.reply(shellNS+"/ReceiveResponse", "w rsp", b.String())
}

func identifyReply(version string) string {
	return `<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>` +
		`<wsmid:IdentifyResponse xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">` +
		`<wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion>` +
		`<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>` +
		`<wsmid:ProductVersion>` + version + `</wsmid:ProductVersion>` +
		`</wsmid:IdentifyResponse></s:Body></s:Envelope>`
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// newID is a GUID as Windows writes it.
func newID() string { return strings.ToUpper(uuid.NewString()) }
