package mim

import (
	"cmp"
	"slices"
	"strings"
)

type pair struct{ before, after int }

// matching says which siblings before and after stand for the same thing.
type matching struct {
	pairs          []pair
	removed, added []int
}

// genericKeys are what elements without a rule are told apart by, where that is unique on both sides.
var genericKeys = []string{"{@id}", "{id}", "{@Name}", "{@name}", "{name}", "{.}"}

// match pairs siblings of one name: first those that are equal, then by the keys of the rule, each in turn.
func (d *differ) match(before, after []element, r rule) matching {
	if len(before) == 1 && len(after) == 1 && len(r.keys) == 0 {
		return matching{pairs: []pair{{0, 0}}}
	}
	p := pairing{before: before, after: after, partner: make([]int, len(before)), taken: make([]bool, len(after))}
	for i := range p.partner {
		p.partner[i] = -1
	}
	p.by(element.rawKey, element.rawKey)
	keys := r.keys
	if len(keys) == 0 && r.ordered == nil {
		keys = d.genericKey(before, after)
	}
	for _, key := range keys {
		// By identifier first, so that a renamed object stays itself; then by name, for one that was made again.
		p.by(func(e element) string { return words{}.format(e, key) }, func(e element) string { return words{}.format(e, key) })
		p.by(func(e element) string { return d.before.format(e, key) }, func(e element) string { return d.after.format(e, key) })
	}
	if len(r.keys) == 0 && r.ordered != nil {
		p.inOrder()
	}
	return p.result()
}

func (e element) rawKey() string { return string(e.raw()) }

// genericKey is the first key that every sibling has, and none has twice.
func (d *differ) genericKey(before, after []element) []string {
	for _, key := range genericKeys {
		if unique(before, d.before, key) && unique(after, d.after, key) {
			return []string{key}
		}
	}
	return nil
}

func unique(all []element, w words, key string) bool {
	seen := map[string]bool{}
	for _, e := range all {
		k := w.format(e, key)
		if k == "" || seen[k] {
			return false
		}
		seen[k] = true
	}
	return true
}

// pairing is a matching in the making.
type pairing struct {
	before, after []element
	partner       []int // of each before, -1 without one
	taken         []bool
}

// by pairs what has the same key and is not paired yet, in order.
func (p *pairing) by(beforeKey, afterKey func(element) string) {
	free := map[string][]int{}
	for i, e := range p.after {
		if !p.taken[i] {
			if key := afterKey(e); strings.Trim(key, "+ ") != "" {
				free[key] = append(free[key], i)
			}
		}
	}
	if len(free) == 0 {
		return
	}
	for i, e := range p.before {
		if p.partner[i] >= 0 {
			continue
		}
		key := beforeKey(e)
		if candidates := free[key]; len(candidates) > 0 {
			p.partner[i], free[key] = candidates[0], candidates[1:]
			p.taken[candidates[0]] = true
		}
	}
}

// inOrder pairs what is left, first with first.
func (p *pairing) inOrder() {
	next := 0
	for i := range p.before {
		if p.partner[i] >= 0 {
			continue
		}
		for next < len(p.after) && p.taken[next] {
			next++
		}
		if next == len(p.after) {
			return
		}
		p.partner[i], p.taken[next] = next, true
	}
}

func (p *pairing) result() matching {
	var m matching
	for i, partner := range p.partner {
		if partner < 0 {
			m.removed = append(m.removed, i)
		} else {
			m.pairs = append(m.pairs, pair{i, partner})
		}
	}
	for i, taken := range p.taken {
		if !taken {
			m.added = append(m.added, i)
		}
	}
	return m
}

// compareOrder reports that what is on both sides stands in another order, where that means precedence. Export flows are only
// ranked among those for the same attribute.
func (d *differ) compareOrder(before, after []element, pairs []pair, r rule, name string, at place) {
	groups := map[string][]pair{}
	var keys []string
	for _, p := range pairs {
		key, _ := before[p.before].attribute("cd-attribute")
		if groups[key] == nil {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], p)
	}
	for _, key := range keys {
		d.compareGroupOrder(before, after, groups[key], r, name, key, at)
	}
}

func (d *differ) compareGroupOrder(before, after []element, pairs []pair, r rule, name, attribute string, at place) {
	increasing := true
	for i := 1; i < len(pairs); i++ {
		increasing = increasing && pairs[i-1].after < pairs[i].after
	}
	if increasing {
		return
	}
	at = at.in(r, cmp.Or(r.label, name))
	if attribute != "" {
		at = at.in(rule{}, attribute)
	}
	byPlace := slices.SortedFunc(slices.Values(pairs), func(a, b pair) int { return a.after - b.after })
	var was, is []string
	for i := range pairs {
		was = append(was, d.before.brief(before[pairs[i].before], r))
		is = append(is, d.after.brief(after[byPlace[i].after], r))
	}
	d.report(at, r, Reordered, strings.Join(was, ", then "), strings.Join(is, ", then "))
}
