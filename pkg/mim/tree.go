package mim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// node is an element, or a run of text in one. Its text and attributes are ranges of the document's buffer.
type node struct {
	kind     tokenKind // startTag, text or cdata
	name     span      // local name
	whole    span      // with markup and content
	body     span      // of text
	attrFrom uint32
	attrTo   uint32
	first    int32 // first child, 0 for none (the root is nobody's child)
	next     int32 // next sibling
}

// document is a tree of everything in an XML element but its comments: nothing is known about names, so nothing gets lost.
// Its memory is used again for the next one.
type document struct {
	scan  scanner
	nodes []node
	attrs []attr
	open  []openElement
}

type openElement struct{ node, lastChild int32 }

// readDocument reads a file that is one tree.
func (d *document) readDocument(r io.Reader) error {
	if err := d.begin(r); err != nil {
		return err
	}
	root, err := d.prologue()
	if err != nil {
		return err
	}
	if err := d.element(root); err != nil {
		return err
	}
	return d.epilogue()
}

// readRecords calls each for every child of the root element, when d is that child's tree, and returns the root's name. It
// holds one child at a time.
func (d *document) readRecords(r io.Reader, each func() error) (string, error) {
	if err := d.begin(r); err != nil {
		return "", err
	}
	root, err := d.prologue()
	if err != nil {
		return "", err
	}
	name := string(d.scan.bytes(root.name))
	for !root.empty {
		d.scan.release()
		t, err := d.scan.next()
		if err != nil {
			return name, d.scan.cut(err, "<"+name+">")
		}
		switch {
		case t.kind == startTag:
			if err := d.element(t); err != nil {
				return name, err
			}
			if err := each(); err != nil {
				return name, err
			}
		case t.kind == endTag:
			if got := string(d.scan.bytes(t.name)); got != name {
				return name, d.scan.fail("</%s> where <%s> is open", got, name)
			}
			return name, d.epilogue()
		case !d.blank(t):
			return name, d.scan.fail("text between the elements of <%s>", name)
		}
	}
	return name, d.epilogue()
}

func (d *document) begin(r io.Reader) error {
	decoded, err := decode(r)
	if err != nil {
		return err
	}
	d.scan.reset(decoded)
	return nil
}

// prologue finds the root's start tag.
func (d *document) prologue() (token, error) {
	for {
		t, err := d.scan.next()
		switch {
		case err == io.EOF:
			return t, errors.New("the file is empty")
		case err != nil:
			return t, err
		case t.kind == startTag:
			return t, nil
		case t.kind == endTag || !d.blank(t):
			return t, d.scan.fail("expected XML, found %.20q", d.scan.bytes(t.whole))
		}
	}
}

// epilogue checks that nothing but white space follows.
func (d *document) epilogue() error {
	for {
		t, err := d.scan.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if t.kind != text || !d.blank(t) {
			return d.scan.fail("found %.20q behind the end", d.scan.bytes(t.whole))
		}
	}
}

func (d *document) blank(t token) bool {
	return t.kind == text && len(bytes.TrimSpace(d.scan.bytes(t.body))) == 0
}

// element reads the element whose start tag was just read, as the tree.
func (d *document) element(t token) error {
	d.nodes, d.attrs, d.open = d.nodes[:0], d.attrs[:0], d.open[:0]
	d.push(t)
	for len(d.open) > 0 {
		t, err := d.scan.next()
		if err != nil {
			return d.scan.cut(err, "<"+d.openName()+">")
		}
		switch t.kind {
		case startTag:
			if len(d.open) == maxDepth {
				return d.scan.fail("elements are nested more than %d deep", maxDepth)
			}
			d.push(t)
		case endTag:
			if name := d.scan.bytes(t.name); string(name) != d.openName() {
				return d.scan.fail("</%s> where <%s> is open", name, d.openName())
			}
			d.pop(t.whole.to)
		default:
			d.text(t)
		}
	}
	return nil
}

// openName is the name, with prefix, of the innermost open element.
func (d *document) openName() string {
	n := d.nodes[d.open[len(d.open)-1].node]
	tag := d.scan.buf[n.whole.from+1:]
	return string(tag[:n.name.to-n.whole.from-1])
}

func (d *document) push(t token) {
	n := node{kind: startTag, name: t.name, whole: t.whole, attrFrom: uint32(len(d.attrs))}
	if i := bytes.IndexByte(d.scan.bytes(t.name), ':'); i >= 0 {
		n.name.from += uint32(i) + 1
	}
	d.attrs = append(d.attrs, t.attrs...)
	n.attrTo = uint32(len(d.attrs))
	// White space before the first child is layout.
	if len(d.open) > 0 {
		if parent := &d.open[len(d.open)-1]; parent.lastChild != 0 && d.layout(parent.lastChild) && d.nodes[parent.node].first == parent.lastChild {
			d.nodes = d.nodes[:len(d.nodes)-1]
			d.nodes[parent.node].first, parent.lastChild = 0, 0
		}
	}
	i := d.add(n)
	d.open = append(d.open, openElement{node: i})
	if t.empty {
		d.pop(t.whole.to)
	}
}

// layout reports whether a node is text of white space only.
func (d *document) layout(i int32) bool {
	n := d.nodes[i]
	return n.kind == text && len(bytes.TrimSpace(d.scan.bytes(n.body))) == 0
}

func (d *document) add(n node) int32 {
	i := int32(len(d.nodes))
	d.nodes = append(d.nodes, n)
	if len(d.open) > 0 {
		parent := &d.open[len(d.open)-1]
		if parent.lastChild == 0 {
			d.nodes[parent.node].first = i
		} else {
			d.nodes[parent.lastChild].next = i
		}
		parent.lastChild = i
	}
	return i
}

func (d *document) pop(end uint32) {
	d.nodes[d.open[len(d.open)-1].node].whole.to = end
	d.open = d.open[:len(d.open)-1]
}

// text keeps text. White space is kept where it is an element's whole content on one line, as in a delimiter setting.
func (d *document) text(t token) {
	body := d.scan.bytes(t.body)
	if t.kind == text && len(bytes.TrimSpace(body)) == 0 &&
		(d.open[len(d.open)-1].lastChild != 0 || bytes.IndexByte(body, '\n') >= 0) {
		return
	}
	d.add(node{kind: t.kind, body: t.body, whole: t.whole})
}

// element is a node of a document, for reading.
type element struct {
	doc *document
	at  int32
}

func (d *document) root() element { return element{d, 0} }

func (e element) node() *node { return &e.doc.nodes[e.at] }

func (e element) name() string { return string(e.doc.scan.bytes(e.node().name)) }

func (e element) is(name string) bool { return string(e.doc.scan.bytes(e.node().name)) == name }

// raw is the element as it stands in the file.
func (e element) raw() []byte { return e.doc.scan.bytes(e.node().whole) }

// children yields the child elements in order.
func (e element) children(yield func(element) bool) {
	for i := e.node().first; i != 0; i = e.doc.nodes[i].next {
		if e.doc.nodes[i].kind == startTag && !yield(element{e.doc, i}) {
			return
		}
	}
}

// child is the first child element of that name.
func (e element) child(name string) (element, bool) {
	for c := range e.children {
		if c.is(name) {
			return c, true
		}
	}
	return element{}, false
}

// path follows child elements by name.
func (e element) path(names ...string) (element, bool) {
	for _, name := range names {
		var ok bool
		if e, ok = e.child(name); !ok {
			return e, false
		}
	}
	return e, true
}

func (e element) leaf() bool {
	for range e.children {
		return false
	}
	return true
}

// text is the element's own text, without that of its children.
func (e element) text() string {
	var b []byte
	for i := e.node().first; i != 0; i = e.doc.nodes[i].next {
		n := e.doc.nodes[i]
		body := e.doc.scan.bytes(n.body)
		switch n.kind {
		case text:
			b = decodeText(b, body)
		case cdata:
			b = append(b, bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))...)
		}
	}
	return string(b)
}

// textOf is the trimmed text of a child, empty without that child.
func (e element) textOf(name string) string {
	c, ok := e.child(name)
	if !ok {
		return ""
	}
	return strings.TrimSpace(c.text())
}

// attributes are name (without prefix) and value of each, in the file's order.
func (e element) attributes(yield func(name, value string) bool) {
	n := e.node()
	for _, a := range e.doc.attrs[n.attrFrom:n.attrTo] {
		if !yield(e.doc.attributeName(a), e.doc.attributeValue(a)) {
			return
		}
	}
}

// attribute is the value of an attribute, by its name without prefix.
func (e element) attribute(name string) (string, bool) {
	n := e.node()
	for _, a := range e.doc.attrs[n.attrFrom:n.attrTo] {
		if e.doc.attributeName(a) == name {
			return e.doc.attributeValue(a), true
		}
	}
	return "", false
}

// attributeName drops a prefix, but keeps a namespace declaration whole.
func (d *document) attributeName(a attr) string {
	name := d.scan.bytes(a.name)
	if i := bytes.IndexByte(name, ':'); i >= 0 && string(name[:i]) != "xmlns" {
		name = name[i+1:]
	}
	return string(name)
}

func (d *document) attributeValue(a attr) string {
	value := d.scan.bytes(a.value)
	if plain(value) {
		return string(value)
	}
	return string(decodeText(nil, value))
}

// fileError names the file that something is wrong with.
func fileError(verb, name string, err error) error {
	return fmt.Errorf("%s %q: %w", verb, name, err)
}
