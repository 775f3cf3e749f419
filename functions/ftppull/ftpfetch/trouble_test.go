package ftpfetch_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func TestServerTroublePutsTheMessageOff(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		fault simftp.Fault
	}{
		{"too many connections", simftp.Fault{Command: "CONNECT", Kind: simftp.Answer, Reply: "421 too many"}},
		{"dies at login", simftp.Fault{Command: "USER", Kind: simftp.Die}},
		{"wrong password", simftp.Fault{Command: "PASS", Kind: simftp.Answer, Reply: "530 no"}},
		{"dies in mid-file", simftp.Fault{Command: "RETR", Kind: simftp.Die, After: 10}},
		{"426 in mid-file", simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: "426 broken"}},
		{"425 no data connection", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "425 no"}},
		{"421 going down", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "421 down"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, simftp.Options{})
			r.Put(t, "/a", strings.Repeat("x", 100_000))
			b := r.batch(t, "/a")
			r.FTP.Script(row.fault)
			err := r.deliver(t.Context(), b)
			if err == nil || customhandler.Outcome(err) != "retry" {
				t.Fatalf("%v; want it put off", err)
			}
			if strings.Contains(err.Error(), "password\"") {
				t.Errorf("the password is in %v", err)
			}
			if got := r.Names(t); len(got) != 0 {
				t.Errorf("blobs %v", got)
			}
			r.FTP.Script()
			r.h.FTP = r.Client(t, "password")
			if err := r.redeliver(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if got, _ := r.Read(t, "in/today/a"); len(got) != 100_000 {
				t.Errorf("%d bytes after the trouble", len(got))
			}
		})
	}
}

func TestACleanEndTooEarlyIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, size := range []int{50_000, 9 << 20} {
		r := setup(t, simftp.Options{})
		r.Put(t, "/a", strings.Repeat("x", size))
		r.FTP.Script(simftp.Fault{Command: "RETR", Kind: simftp.Short, After: 1000})
		if err := r.deliver(t.Context(), r.batch(t, "/a")); err == nil {
			t.Errorf("%d bytes: a short transfer was taken for whole", size)
		}
		if got := r.Names(t); len(got) != 0 {
			t.Errorf("blobs %v", got)
		}
	}
}

func TestALargeFileIsContinued(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	content := strings.Repeat("0123456789abcdef", 160<<16) // 160 MiB
	r.Put(t, "/big", content)
	b := r.batch(t, "/big")
	r.FTP.Script(simftp.Fault{Command: "RETR", Times: 1, Kind: simftp.Die, After: 100 << 20})
	if err := r.deliver(t.Context(), b); err == nil {
		t.Fatal("no error although the server died")
	}
	r.FTP.Script()
	if err := r.redeliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := r.manifest(t, b).Files[0]; got.SHA256 != sum(content) {
		t.Errorf("SHA-256 %s", got.SHA256)
	}
	if got, _ := r.Read(t, "in/today/big"); got != content {
		t.Errorf("%d bytes stored", len(got))
	}
	if !r.asked("REST 67108864") {
		t.Errorf("not continued from 64 MiB: %v", r.FTP.Sessions())
	}
}

func (r room) asked(command string) bool {
	for _, s := range r.FTP.Sessions() {
		if slices.Contains(s.Commands, command) {
			return true
		}
	}
	return false
}

func TestALargeFileThatChangedIsStartedAnew(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/big", strings.Repeat("old ", 20<<20))
	b := r.batch(t, "/big")
	r.FTP.Script(simftp.Fault{Command: "RETR", Times: 1, Kind: simftp.Die, After: 70 << 20})
	if err := r.deliver(t.Context(), b); err == nil {
		t.Fatal("no error although the server died")
	}
	content := strings.Repeat("new!", 20<<20)
	if err := r.FTP.WriteFile("/big", []byte(content), time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.FTP.Script()
	if err := r.redeliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	next := r.nextAlone(t)
	if err := r.deliver(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Read(t, "in/today/big"); got != content {
		t.Errorf("%d bytes, not the new version", len(got))
	}
}
