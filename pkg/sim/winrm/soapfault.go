package simwinrm

import (
	"fmt"
	"strings"
)

// Codes of faults that the simulator raises itself; a script can raise any other. From wsmerror.h and winerror.h.
const (
	CodeAccessDenied      = 5          // the account may log on but is no administrator
	CodeBusy              = 170        // ERROR_BUSY
	CodePipeClosing       = 232        // stdin after its end
	CodeAborted           = 995        // a Receive whose command was terminated
	CodeTooLong           = 2147942606 // the command line is longer than Windows can start
	CodeFileNotFound      = 2147942402
	CodeTimedOut          = 2150858793 // nothing within the request's OperationTimeout
	CodeSchema            = 2150858817 // the request is not what its schema says
	CodeInvalidSelectors  = 2150858843 // unknown shell or command
	CodeActionUnsupported = 2150858754
	CodeMaxShells         = 2150859173
	CodeMaxOperations     = 2150859174
	CodeMaxCommands       = 2150859241 // commands in one shell
)

// soapFault is what a fault's code makes of the reply.
type soapFault struct {
	code    uint32
	sender  bool // the client is to blame
	subcode string
	reason  string
	detail  string // last word of w:FaultDetail
	message string // default: reason
	wmi     bool   // comes as MSFT_WmiError instead of WSManFault
}

const invalidSelectors = "The WS-Management service cannot process the request because the request contained invalid selectors for the resource. "

var knownFaults = map[uint32]soapFault{
	CodeAccessDenied: {sender: true, subcode: "AccessDenied", reason: "Access is denied. "},
	CodeBusy:         {subcode: "InternalError", reason: "The requested resource is in use. "},
	CodePipeClosing:  {subcode: "InternalError", reason: "The pipe is being closed. "},
	CodeAborted: {subcode: "InternalError",
		reason: "The I/O operation has been aborted because of either a thread exit or an application request. "},
	CodeTooLong:      {subcode: "InternalError", reason: "The filename or extension is too long. "},
	CodeFileNotFound: {subcode: "InternalError", reason: "The system cannot find the file specified. "},
	CodeTimedOut: {subcode: "TimedOut",
		reason: "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  "},
	CodeSchema: {sender: true, subcode: "SchemaValidationError",
		reason: "The SOAP XML in the message does not match the corresponding XML schema definition. Change the XML and retry. "},
	CodeInvalidSelectors: {sender: true, subcode: "InvalidSelectors", detail: "UnexpectedSelectors", reason: invalidSelectors,
		message: "The Windows Remote Shell received a request to perform an operation on a command identifier that does not exist. " +
			"Either the command has completed execution or the client specified an invalid command identifier. "},
	CodeActionUnsupported: {sender: true, subcode: "ActionNotSupported",
		reason: "The WS-Management service cannot process the request because the requested action is not supported. "},
	CodeMaxShells: {subcode: "QuotaLimit", wmi: true,
		reason: "The WS-Management service cannot process the request. This user is allowed a maximum number of %d concurrent shells, " +
			"which has been exceeded. Close existing shells or raise the quota for this user. "},
	CodeMaxOperations: {subcode: "QuotaLimit", wmi: true,
		reason: "The WS-Management service cannot process the request. The maximum number of concurrent operations for this user has been exceeded. " +
			"Close existing operations for this user, or raise the quota for this user. "},
	CodeMaxCommands: {subcode: "QuotaLimit", wmi: true,
		reason: "The WS-Management service cannot process the request. The maximum number of commands per shell has been exceeded. "},
}

// faultFor describes a code; one that is not known comes as Windows reports a failure of its own.
func faultFor(code uint32) soapFault {
	f, known := knownFaults[code]
	if !known {
		f = soapFault{subcode: "InternalError", reason: fmt.Sprintf("The WS-Management service cannot process the request: error %d. ", code)}
	}
	f.code = code
	return f
}

func unknownShell(id string) soapFault {
	f := faultFor(CodeInvalidSelectors)
	f.message = fmt.Sprintf("The request for the Windows Remote Shell with ShellId %s failed because the shell was not found on the server. "+
		"Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server. "+
		"Provide the correct ShellId or create a new shell and retry the operation. ", id)
	return f
}

// envelope writes the fault as the reply to a request.
func (f soapFault) envelope(e *envelope) string {
	blame, detail := "s:Receiver", ""
	if f.sender {
		blame = "s:Sender"
	}
	if f.detail != "" {
		detail = "<w:FaultDetail>" + faultNS + "/faultDetail/" + f.detail + "</w:FaultDetail>"
	}
	message := f.message
	if message == "" {
		message = f.reason
	}
	if f.wmi {
		detail += fmt.Sprintf(`<p:MSFT_WmiError xmlns:p="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError"`+
			` xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="p:MSFT_WmiError_Type">`+
			`<p:CIMStatusCode xsi:type="cim:cimUnsignedInt">27</p:CIMStatusCode><p:ErrorType xsi:type="cim:cimUnsignedShort">4</p:ErrorType>`+
			`<p:Message xsi:type="cim:cimString">%s</p:Message><p:error_Category xsi:type="cim:cimUnsignedShort">30</p:error_Category>`+
			`<p:error_Code xsi:type="cim:cimUnsignedInt">%d</p:error_Code><p:error_Type xsi:type="cim:cimString">HRESULT</p:error_Type></p:MSFT_WmiError>`,
			escape(message), f.code)
	} else {
		detail += fmt.Sprintf(`<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="%d" Machine="%s">`+
			`<f:Message>%s</f:Message></f:WSManFault>`, f.code, escape(e.machine), escape(message))
	}
	return e.reply(faultNS+"/fault", "x e n w", fmt.Sprintf(
		`<s:Fault><s:Code><s:Value>%s</s:Value><s:Subcode><s:Value>w:%s</s:Value></s:Subcode></s:Code>`+
			`<s:Reason><s:Text xml:lang="en-US">%s</s:Text></s:Reason><s:Detail>%s</s:Detail></s:Fault>`,
		blame, f.subcode, escape(f.reason), detail))
}

func (f soapFault) with(args ...any) soapFault {
	if strings.Contains(f.reason, "%") {
		f.reason = fmt.Sprintf(f.reason, args...)
	}
	return f
}
