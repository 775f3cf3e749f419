// Package customhandler speaks the Azure Functions host's custom-handler protocol, so that an app is a list of plain
// functions and a page of main.
//
// # What it promises
//
//   - The process listens before anything slow and answers the host's probe at once; an invocation waits for the app to be built.
//   - A handler gets a context that ends a little before functionTimeout, when the host is gone, and when the process is asked
//     to stop; context.Cause says which (ErrDeadline, ErrHostGone, ErrStopping).
//   - The reply is always one that the host can read: 200 with a JSON object, or 500. Never a redirect, an empty body or exit code 0.
//   - A queue message is never lost. Its five outcomes are nil, Permanent, RetryAfter, Hold and any other error; whatever has to
//     be written for an outcome is written before the host is told that the message may go, and when a write fails the host is
//     told that the message failed. A message can therefore be delivered twice: handlers must be idempotent.
//   - A message whose handler was killed does not lose a try for it (see Renewal).
//   - A panic fails its invocation and nothing else. The process goes on, because its only shared state are clients that
//     guard themselves, and because an exit would fail every other invocation in flight and spend one of the host's three lives.
//     A panic in a goroutine that a handler started itself still ends the process: Go allows nothing else.
//   - No value of App.Secrets and no signature of a SAS appears in a log line, a reply, a reason or a run record.
//
// # Not promised
//
// The order of messages; that a handler that ignores its context stops (it is reported with its stack and its invocation fails);
// binary bodies in the answers of HTTP functions (the host cannot carry them).
//
// # Renewal
//
// The host counts deliveries, not failures: a handler killed in the middle (the normal way for it to end) costs a message a try.
// Each failed try is therefore recorded, and a message that comes back for the third time with fewer failures on record than
// deliveries is put back on its queue as new, with the difference noted in its "delivery" property, before the handler sees it.
//
// # Exit codes
//
//	1    cannot start, or the host is gone; the host restarts it (its third such exit within half an hour stops the host)
//	2    started without a host
//	200  asked to stop by SIGTERM or SIGINT: if a host is still there, it starts the handler again and counts nothing
//
// The protocol is Microsoft's "Azure Functions custom handlers", checked against recordings of the host 4.1037 in testdata.
package customhandler
