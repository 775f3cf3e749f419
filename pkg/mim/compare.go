package mim

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Compare says what changed from one backup to a later one. Where both have the server's export, management agents and import
// flows are compared there, else in the exports of single agents. The files must not change meanwhile.
func Compare(ctx context.Context, before, after *Backup) (Report, error) {
	c := &comparison{sides: [2]*Backup{before, after}, report: Report{Version: ReportVersion, Before: before.side(), After: after.side()}}
	if err := c.run(ctx); err != nil {
		return Report{}, fmt.Errorf("compare backups: %w", err)
	}
	c.report.sort()
	return c.report, nil
}

func (b *Backup) side() Side {
	s := Side{Server: b.Server, Exported: b.Exported, Agents: len(b.Agents()), Files: len(b.Files)}
	for _, f := range b.Files {
		s.Bytes += f.Size
	}
	return s
}

// comparison is one call of Compare.
type comparison struct {
	sides  [2]*Backup
	names  [2]*names
	portal [2]portalIndex

	mu     sync.Mutex
	report Report
}

func (c *comparison) add(changes ...Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Changes = append(c.report.Changes, changes...)
}

// workers share the work. Each holds two trees, so there are few.
func workers() int { return min(4, runtime.GOMAXPROCS(0)) }

func (c *comparison) run(ctx context.Context) error {
	for i, b := range c.sides {
		var err error
		if c.names[i], c.portal[i], err = b.index(ctx); err != nil {
			return err
		}
	}
	jobs := c.jobs()
	free := make(chan *[2]document, workers())
	for range cap(free) {
		free <- new([2]document)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers())
	for _, job := range jobs {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			docs := <-free
			defer func() { free <- docs }()
			return job(docs)
		})
	}
	return group.Wait()
}

type job func(*[2]document) error

func (c *comparison) jobs() []job {
	jobs := c.agentJobs()
	jobs = append(jobs, c.treeJobs(KindMetaverse)...)
	jobs = append(jobs, c.treeJobs(KindOther)...)
	jobs = append(jobs, c.fileJobs()...)
	return append(jobs, c.comparePortal)
}

// compareTrees compares two files that are one tree each.
func (c *comparison) compareTrees(docs *[2]document, files [2]File, rules rules, at place) error {
	d := &differ{rules: rules}
	for i, f := range files {
		if err := c.sides[i].readTree(&docs[i], f); err != nil {
			return err
		}
	}
	before, after := docs[0].root(), docs[1].root()
	if bytes.Equal(before.raw(), after.raw()) {
		return nil
	}
	d.before = words{c.names[0], &schemaNames{root: before}}
	d.after = words{c.names[1], &schemaNames{root: after}}
	d.compare(before, after, rule{}, at)
	c.add(d.changes...)
	return nil
}

func (b *Backup) readTree(d *document, f File) error {
	r, err := b.fsys.Open(f.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	d.scan.reserve(f.Size)
	if err := d.readDocument(r); err != nil {
		return fileError("read", f.Path, err)
	}
	return nil
}

// treeJobs compares what is one file on each side, by path: the metaverse, and XML that MIM is not known to write.
func (c *comparison) treeJobs(kind Kind) []job {
	var jobs []job
	area, rules := AreaOther, rules{}
	if kind == KindMetaverse {
		area, rules = AreaMetaverse, metaverseRules
	}
	c.eachPair(kind, func(f *File) bool { return f.Root != "" }, func(before, after *File) {
		at := place{area: area, severity: Notice}
		if kind == KindOther {
			at.object = pathOf(before, after)
		}
		switch {
		case before == nil:
			c.add(Change{Severity: Notice, Action: Added, Area: area, Object: after.Path})
		case after == nil:
			c.add(Change{Severity: Danger, Action: Removed, Area: area, Object: before.Path, Note: "The file is missing from the backup."})
		default:
			jobs = append(jobs, func(docs *[2]document) error {
				return c.compareTrees(docs, [2]File{*before, *after}, rules, at)
			})
		}
	})
	return jobs
}

func pathOf(before, after *File) string {
	if before != nil {
		return before.Path
	}
	return after.Path
}

// eachPair calls do for the files of a kind on either side, paired by what they are called.
func (c *comparison) eachPair(kind Kind, want func(*File) bool, do func(before, after *File)) {
	later := map[string]*File{}
	for i := range c.sides[1].Files {
		if f := &c.sides[1].Files[i]; f.Kind == kind && want(f) {
			later[pairKey(f)] = f
		}
	}
	for i := range c.sides[0].Files {
		if f := &c.sides[0].Files[i]; f.Kind == kind && want(f) {
			do(f, later[pairKey(f)])
			delete(later, pairKey(f))
		}
	}
	for i := range c.sides[1].Files {
		if f := &c.sides[1].Files[i]; f.Kind == kind && want(f) && later[pairKey(f)] == f {
			do(nil, f)
		}
	}
}

// pairKey is what a file is called, wherever the backup's root lies: there is one metaverse, and extensions count from their folder.
func pairKey(f *File) string {
	switch f.Kind {
	case KindMetaverse, KindPortal:
		return strings.ToLower(path.Base(f.Path))
	case KindExtension:
		return strings.ToLower(extensionPath(f.Path))
	}
	return strings.ToLower(f.Path)
}
