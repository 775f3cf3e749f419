package ftpdeliver_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

const target = `C:\MaData\HR\hr.csv`

// publisher is a room with one rule, whose target's folder exists.
func publisher(t *testing.T) *room {
	t.Helper()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	if err := r.h.Config.Publish.UnmarshalText([]byte("hr*.csv=" + target)); err != nil {
		t.Fatal(err)
	}
	if err := r.mim.Drive().MkdirAll(`C:\MaData\HR`); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *room) published(content string) {
	r.t.Helper()
	got, err := r.mim.Drive().ReadFile(target)
	if err != nil || string(got) != content {
		r.t.Errorf("the agent reads %q, %v; want %q", got, err, content)
	}
	r.absent(target + ".part")
}

func TestPublish(t *testing.T) {
	t.Parallel()
	r := publisher(t)
	first := r.manifest(noon, map[string]string{"HR_21.csv": "one", "other.csv": "x"})
	if err := r.deliver(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	r.published("one")
	second := r.manifest(noon.Add(time.Hour), map[string]string{"hr_22.csv": "two"})
	if err := r.deliver(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	r.published("two")

	if err := r.deliver(t.Context(), first); err != nil { // overtaken
		t.Fatal(err)
	}
	r.published("two")

	byHand := customhandler.Message[drop.Delivery]{Data: drop.Delivery{Manifest: first}, Manual: true}
	if err := r.h.Handle(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	r.published("one")
}

func TestPublishTakesTheNewestOfSeveral(t *testing.T) {
	t.Parallel()
	r := publisher(t)
	if err := r.deliver(t.Context(), r.manifest(noon, map[string]string{"hr_20.csv": "old", "hr_22.csv": "new", "hr_21.csv": "old"})); err != nil {
		t.Fatal(err)
	}
	r.published("new")
}

func TestPublishWhileTheAgentReads(t *testing.T) {
	t.Parallel()
	r := publisher(t)
	if err := r.mim.Drive().WriteFile(target, []byte("before")); err != nil {
		t.Fatal(err)
	}
	release := r.mim.Drive().Hold(target)
	m := r.manifest(noon, map[string]string{"hr.csv": "after"})
	want(t, r.deliver(t.Context(), m), "retry", "sharing-violation", target)
	if got, _ := r.mim.Drive().ReadFile(target); string(got) != "before" {
		t.Errorf("the agent reads %q", got)
	}
	r.verify(m, map[string]string{"hr.csv": "after"}) // the dated folder is complete
	release()
	if err := r.deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r.published("after")
}

func TestPublishIntoNoFolder(t *testing.T) {
	t.Parallel()
	r := publisher(t)
	if err := r.mim.Drive().RemoveAll(`C:\MaData`); err != nil {
		t.Fatal(err)
	}
	want(t, r.deliver(t.Context(), r.manifest(noon, map[string]string{"hr.csv": "1"})), "failed", "no-folder", "FTPPublish")
}

func TestPublishOfAFileThatSomebodyChanged(t *testing.T) {
	t.Parallel()
	r := publisher(t)
	m := r.manifest(noon, map[string]string{"hr.csv": "1"})
	if err := r.mim.Drive().WriteFile(dated+`\hr.csv`, []byte("changed")); err != nil {
		t.Fatal(err)
	}
	want(t, r.deliver(t.Context(), m), "failed", "other content")
	r.absent(target)
}

func TestTwoPublishOneTarget(t *testing.T) {
	t.Parallel()
	r := publisher(t)
	old := r.manifest(noon, map[string]string{"hr_1.csv": "old"})
	latest := r.manifest(noon.Add(time.Hour), map[string]string{"hr_2.csv": "latest"})
	done := make(chan struct{})
	for _, m := range []string{old, latest} {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 20 {
				if err := r.deliver(context.WithoutCancel(t.Context()), m); err == nil {
					return
				}
			}
		}()
	}
	<-done
	<-done
	r.host(latest)
	r.host(old)
	r.published("latest")
}

func TestPublishRules(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		`a.csv=C:\x\a.csv; b/*.csv = D:/y/b.csv`: "",
		``:                                       "",
		`a.csv`:                                  "no rule",
		`=C:\a`:                                  "no rule",
		`[=C:\x\a`:                               "no glob",
		`a=C:\`:                                  "a folder",
		`a=C:\x\`:                                "a folder",
		`a=\\server\x`:                           "network shares",
		`a=C:\x?\y`:                              "does not allow",
		`a=C:\x\y.csv; b=c:\X\Y.csv`:             "named twice",
		`a=` + target + `; b=C:\con\x`:           "device",
	} {
		var rules ftpdeliver.Rules
		err := rules.UnmarshalText([]byte(text))
		if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v, want %q", text, err, problem)
		}
	}
}

func FuzzPublishRules(f *testing.F) {
	f.Add(`a.csv=C:\x\a.csv; b/*.csv = D:/y/b.csv`)
	f.Add(`[=C:\x`)
	f.Fuzz(func(t *testing.T, text string) {
		var rules ftpdeliver.Rules
		if rules.UnmarshalText([]byte(text)) != nil {
			return
		}
		for _, rule := range rules {
			if drop.CheckWindowsFolder(rule.Target) != nil || rule.Files == "" {
				t.Errorf("%q gave %+v", text, rule)
			}
		}
	})
}
