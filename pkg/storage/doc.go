// Package storage is a thin face over Azure Blob Storage and Azure Queue Storage: the few calls that Nightshift's jobs need,
// each with the guarantee that they build on.
//
//   - A blob is never visible half-written: small ones are written in one request, big ones in blocks that become a blob only
//     when the last one arrived and the block list is committed.
//   - Every byte is checked on its way by an MD5 that the service verifies; the blob keeps its MD5, and its SHA-256 as metadata.
//   - Writes may be conditional (Cond). A conditional write that reached the service although its answer was lost is
//     recognised when it is repeated: it succeeds, and is not mistaken for somebody else's.
//   - Failures are sorted where the wire is: ErrNotFound, ErrConflict, ErrDenied and ErrUnavailable are for errors.Is, and the
//     message names the account, the container or queue, and the blob. No error contains a key, a signature or a message body.
//   - Requests that failed for a passing reason are repeated a few times inside a call, for about half a minute at most while
//     the service answers; ErrUnavailable says that this did not help, and that repeating the whole call later is safe. A
//     repeated Enqueue may leave the message twice in the queue.
//
// A link (Container.SAS) lets somebody without an identity of ours, such as a Windows server, read or create one blob for a
// while. It is a secret and prints as one.
//
// An Account and everything made from it may be used by many goroutines at once.
package storage
