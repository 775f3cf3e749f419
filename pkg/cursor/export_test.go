package cursor

import "time"

// SetLease shortens what a test would wait for; length must be one that the service takes.
func (s *Store[T]) SetLease(length, renew, lost time.Duration) {
	s.lease = leaseTimes{length, renew, lost}
}
