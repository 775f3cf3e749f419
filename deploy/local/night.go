package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// nights runs what there is to run and returns a verdict: nil, or everything that is not as it should be.
//
// The built-in drop takes two nights. The first delivers a good file; in the second its successor arrives cut off, between
// many good ones, while another is still being written. With a server of the user's own there is one night.
func (s *session) nights(ctx context.Context) (verdict, err error) {
	if s.estate.ftp == nil {
		return s.night(ctx, fmt.Sprintf("One night with %s, whose files are left as they are", lookup(s.environ, "FTPServer")))
	}
	now := time.Now()
	if err := s.sow(yesterday(now)); err != nil {
		return nil, err
	}
	if verdict, err = s.night(ctx, "The night before: one file, complete"); verdict != nil || err != nil {
		return verdict, err
	}
	if err := s.sow(tonight(now, s.biggest)); err != nil {
		return nil, err
	}
	growing, finish, err := grow(s.estate.drop(), now)
	if err != nil {
		return nil, err
	}
	s.sown = append(s.sown, growing)
	verdict, err = s.night(ctx, fmt.Sprintf("Tonight: %d files, one of them cut off, one still being written", len(s.sown)-1))
	if err := errors.Join(err, finish()); err != nil {
		return nil, err
	}
	return verdict, nil
}

func (s *session) sow(feeds []feed) error {
	more, err := sow(s.estate.drop(), feeds)
	s.sown = append(s.sown, more...)
	return err
}

// night fires every timer once, follows the work to its end and judges the outcome.
func (s *session) night(ctx context.Context, title string) (verdict, err error) {
	fmt.Fprintf(s.out, "\n%s\n", title)
	before, err := s.app.survey(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if s.once || s.estate.ftp != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("the night's work was not done within %s (LIMIT)", s.limit))
		defer cancel()
	}
	for _, app := range s.host.Apps() {
		for _, function := range app.Functions {
			if function.Problem != nil {
				return fmt.Errorf("%s/%s does not run: %w", app.Name, function.Name, function.Problem), nil
			}
			if function.Trigger != "timer" || function.Disabled {
				continue
			}
			if verdict, err := s.fire(ctx, app.URL, function.Name); verdict != nil || err != nil {
				return verdict, err
			}
		}
	}
	last, err := s.follow(ctx)
	if err != nil {
		return nil, err
	}
	s.summarise(before, last, time.Since(began))
	return s.judge(ctx, last)
}

// fire starts a timer function as Azure's portal does and waits for its end.
func (s *session) fire(ctx context.Context, app, function string) (verdict, err error) {
	before := s.console.runs(function)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, app+"/admin/functions/"+function, bytes.NewReader([]byte(`{"input":""}`)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fire %s: %w", function, err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusAccepted {
		return nil, fmt.Errorf("fire %s: the host answered %s (%v)", function, resp.Status, err)
	}
	fmt.Fprintf(s.out, "  %s fired\n", function)
	succeeded, err := s.console.awaitRun(ctx, function, before)
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w; see %s", function, err, s.logFile())
	}
	if !succeeded {
		return fmt.Errorf("%s failed:\n  %s\nAll of it is in %s", function, strings.Join(s.console.lastErrors(ctx), "\n  "), s.logFile()), nil
	}
	return nil, nil
}

// follow shows the progress of what was handed on until nothing is left to do.
func (s *session) follow(ctx context.Context) (survey, error) {
	progress := newProgress(s.out)
	defer progress.end()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := s.app.survey(ctx)
		if err != nil {
			return now, err
		}
		progress.show(now.tally)
		if now.waiting == 0 && (now.finished || now.poisoned > 0) {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, fmt.Errorf("%w: %d messages waiting; see %s", context.Cause(ctx), now.waiting, s.logFile())
		}
	}
}

// judge compares the outcome with what is expected: with the built-in drop everything about every file, with a server of
// the user's own that all that was handed on has arrived.
func (s *session) judge(ctx context.Context, last survey) (verdict, err error) {
	var wrong []string
	if last.poisoned > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages are poisoned: the errors are in %s", last.poisoned, s.logFile()))
	}
	if !last.finished {
		wrong = append(wrong, "not everything that was handed on has arrived")
	}
	if s.estate.ftp != nil {
		more, err := s.app.compare(ctx, s.sown, last)
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, more...)
	}
	if len(wrong) == 0 {
		return nil, nil
	}
	slices.Sort(wrong)
	return errors.New("Not as expected:\n  " + strings.Join(wrong, "\n  ")), nil
}
