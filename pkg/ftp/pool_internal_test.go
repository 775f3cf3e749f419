package ftp

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(Config{}, 2)
		conn := &Conn{}
		p.open = 1
		p.Put(conn, nil)
		<-time.After(keepIdle - time.Second)
		if p.open != 1 || conn.Broken() {
			t.Fatal("closed too early")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if p.open != 0 || len(p.idle) != 0 || !conn.Broken() {
			t.Fatalf("%d open, %d idle, broken %v", p.open, len(p.idle), conn.Broken())
		}
	})
}
