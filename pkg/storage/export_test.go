package storage

import "time"

// SetStallLimit shortens what a test would wait for.
func (c *Container) SetStallLimit(d time.Duration) { c.account.stall = d }
