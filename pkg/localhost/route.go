package localhost

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// route is a parsed ASP.NET Core route template such as orders/{id:int?} or files/{*path}.
type route struct {
	text     string
	segments []segment
}

// segment is what stands between two slashes: a literal, or one parameter with text around it.
type segment struct {
	before, after string // literal text around the parameter, or all of it in before
	param         string // empty for a literal
	constraints   []constraint
	optional      bool
	catchAll      bool
	defaultValue  *string
}

type constraint struct {
	text  string
	match func(string) bool
}

// parseRoute reads a template without its leading slash.
func parseRoute(text string) (route, error) {
	r := route{text: text}
	if text == "" {
		return r, nil
	}
	names := map[string]bool{}
	parts := splitTemplate(text)
	for i, part := range parts {
		s, err := parseSegment(part)
		if err != nil {
			return route{}, fmt.Errorf("route %q: %w", text, err)
		}
		if s.param != "" && names[strings.ToLower(s.param)] {
			return route{}, fmt.Errorf("route %q: the parameter %q appears twice", text, s.param)
		}
		if s.catchAll && i < len(parts)-1 {
			return route{}, fmt.Errorf("route %q: the catch-all parameter %q must be last", text, s.param)
		}
		names[strings.ToLower(s.param)] = true
		r.segments = append(r.segments, s)
	}
	return r, nil
}

// splitTemplate cuts at slashes outside of braces and parentheses.
func splitTemplate(text string) []string {
	var parts []string
	depth, from := 0, 0
	for i, c := range text {
		switch c {
		case '{', '(':
			depth++
		case '}', ')':
			depth--
		case '/':
			if depth == 0 {
				parts = append(parts, text[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, text[from:])
}

func parseSegment(part string) (segment, error) {
	open := strings.IndexByte(part, '{')
	if open < 0 {
		if part == "" || strings.ContainsAny(part, "}?*") {
			return segment{}, fmt.Errorf("the segment %q is empty or has a stray character", part)
		}
		return segment{before: part}, nil
	}
	end := strings.LastIndexByte(part, '}')
	if end < open {
		return segment{}, fmt.Errorf("the segment %q lacks a closing brace", part)
	}
	s := segment{before: part[:open], after: part[end+1:]}
	body := part[open+1 : end]
	if strings.Contains(body, "}") && !strings.Contains(body, "(") {
		return segment{}, fmt.Errorf("the segment %q has more than one parameter, which is not supported here", part)
	}
	for range 2 {
		if rest, ok := strings.CutPrefix(body, "*"); ok {
			body, s.catchAll = rest, true
		}
	}
	body, fallback, hasDefault := cutOutside(body, '=')
	if hasDefault {
		s.defaultValue = &fallback
	}
	if rest, ok := strings.CutSuffix(body, "?"); ok {
		body, s.optional = rest, true
	}
	name, constraints, found := cutOutside(body, ':')
	s.param = name
	if !matches(`^[^/{}?*:=()]+$`, name) {
		return segment{}, fmt.Errorf("the segment %q has no parameter name", part)
	}
	for found {
		var one string
		one, constraints, found = cutOutside(constraints, ':')
		c, err := parseConstraint(one)
		if err != nil {
			return segment{}, err
		}
		s.constraints = append(s.constraints, c)
	}
	return s, nil
}

// cutOutside is strings.Cut at a separator that is not inside parentheses.
func cutOutside(s string, separator byte) (before, after string, found bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		case s[i] == separator && depth == 0:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func parseConstraint(text string) (constraint, error) {
	name, rest, hasArguments := strings.Cut(text, "(")
	arguments, closed := strings.CutSuffix(rest, ")")
	if hasArguments && !closed {
		return constraint{}, fmt.Errorf("the constraint %q lacks a closing parenthesis", text)
	}
	match, err := constraintFunc(strings.ToLower(name), arguments)
	if err != nil {
		return constraint{}, fmt.Errorf("the constraint %q: %w", text, err)
	}
	return constraint{text, match}, nil
}

func constraintFunc(name, arguments string) (func(string) bool, error) {
	parses := func(parse func(string) error) func(string) bool {
		return func(v string) bool { return parse(v) == nil }
	}
	pattern := func(p string) func(string) bool {
		re := regexp.MustCompile(p)
		return re.MatchString
	}
	switch name {
	case "int":
		return parses(func(v string) error { _, err := strconv.ParseInt(v, 10, 32); return err }), nil
	case "long":
		return parses(func(v string) error { _, err := strconv.ParseInt(v, 10, 64); return err }), nil
	case "bool":
		return pattern(`(?i)^(true|false)$`), nil
	case "decimal", "double", "float":
		return parses(func(v string) error { _, err := strconv.ParseFloat(v, 64); return err }), nil
	case "guid":
		return pattern(`(?i)^[{(]?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}[)}]?$`), nil
	case "alpha":
		return pattern(`(?i)^[a-z]*$`), nil
	case "required":
		return func(v string) bool { return v != "" }, nil
	case "datetime":
		return isDateTime, nil
	case "regex":
		re, err := regexp.Compile("(?i)" + arguments)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	return boundConstraint(name, arguments)
}

func isDateTime(v string) bool {
	for _, layout := range []string{time.DateOnly, time.DateTime, "2006-01-02T15:04:05", time.RFC3339, "01/02/2006", "01/02/2006 15:04:05"} {
		if _, err := time.Parse(layout, v); err == nil {
			return true
		}
	}
	return false
}

// boundConstraint knows length, minlength, maxlength, min, max and range.
func boundConstraint(name, arguments string) (func(string) bool, error) {
	var bounds []int64
	for _, text := range strings.Split(arguments, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("not known, or its argument %q is not a number", text)
		}
		bounds = append(bounds, n)
	}
	low, high := bounds[0], bounds[len(bounds)-1]
	number := func(v string, ok func(int64) bool) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		return err == nil && ok(n)
	}
	length := func(v string) int64 { return int64(len([]rune(v))) }
	switch {
	case name == "length" && len(bounds) <= 2:
		return func(v string) bool { return length(v) >= low && length(v) <= high }, nil
	case name == "range" && len(bounds) == 2:
		return func(v string) bool { return number(v, func(n int64) bool { return n >= low && n <= high }) }, nil
	case len(bounds) > 1:
	case name == "minlength":
		return func(v string) bool { return length(v) >= low }, nil
	case name == "maxlength":
		return func(v string) bool { return length(v) <= low }, nil
	case name == "min":
		return func(v string) bool { return number(v, func(n int64) bool { return n >= low }) }, nil
	case name == "max":
		return func(v string) bool { return number(v, func(n int64) bool { return n <= low }) }, nil
	}
	return nil, fmt.Errorf("not known, or it has the wrong number of arguments")
}

// match compares an escaped URL path. The parameters come in the template's order; an absent optional one is null.
func (r route) match(path string) (params []netjson.Member, ok bool) {
	var parts []string
	if path = strings.Trim(path, "/"); path != "" {
		parts = strings.Split(path, "/")
	}
	for i, s := range r.segments {
		if s.catchAll {
			value, ok := s.value(strings.Join(parts[min(i, len(parts)):], "/"))
			return append(params, value), ok
		}
		if i >= len(parts) {
			value, ok := s.absent()
			if !ok {
				return nil, false
			}
			params = append(params, value)
			continue
		}
		text, err := url.PathUnescape(parts[i])
		if err != nil {
			return nil, false
		}
		if s.param == "" {
			if !strings.EqualFold(text, s.before) {
				return nil, false
			}
			continue
		}
		value, ok := s.within(text)
		if !ok {
			return nil, false
		}
		params = append(params, value)
	}
	return params, len(parts) <= len(r.segments)
}

func (s segment) within(text string) (netjson.Member, bool) {
	n := len(s.before)
	if len(text) <= n+len(s.after) || !strings.EqualFold(text[:n], s.before) || !hasSuffixFold(text, s.after) {
		return netjson.Member{}, false
	}
	return s.value(text[n : len(text)-len(s.after)])
}

func (s segment) value(text string) (netjson.Member, bool) {
	if s.catchAll {
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		if text == "" {
			return s.absent()
		}
	}
	for _, c := range s.constraints {
		if !c.match(text) {
			return netjson.Member{}, false
		}
	}
	return netjson.Member{Name: s.param, Value: netjson.Str(text)}, true
}

func (s segment) absent() (netjson.Member, bool) {
	switch {
	case s.param == "":
		return netjson.Member{}, false
	case s.defaultValue != nil:
		return netjson.Member{Name: s.param, Value: netjson.Str(*s.defaultValue)}, true
	}
	return netjson.Member{Name: s.param}, s.optional || s.catchAll
}

// same says whether two templates match the same paths as far as their shape tells.
func (r route) same(other route) bool { return strings.EqualFold(r.text, other.text) }

// weight orders routes as ASP.NET Core does: literal before constrained before plain parameter before catch-all, from the
// left. The smaller string goes first.
func (r route) weight() string {
	var b strings.Builder
	for _, s := range r.segments {
		switch {
		case s.param == "":
			b.WriteByte('1')
		case s.catchAll:
			b.WriteByte('5')
		case len(s.constraints) > 0 || s.before+s.after != "":
			b.WriteByte('2')
		default:
			b.WriteByte('3')
		}
	}
	return b.String()
}
