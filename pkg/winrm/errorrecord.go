package winrm

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// width is where PowerShell without a console breaks lines, in the middle of words.
const width = 79

var (
	// position matches "At line:3 char:1" and "In C:\x.ps1:3 Zeichen:1".
	position = regexp.MustCompile(`^\S+ (.+):(\d+) \S+:\d+$`)
	// property matches the lines about an error that follow its message.
	property = regexp.MustCompile(`^\s+\+ (CategoryInfo|FullyQualifiedErrorId|PSComputerName)\s*: `)
	// quote matches the lines that show the script, and the one that underlines a part of it.
	quote = regexp.MustCompile(`^\s*\+ `)
	// margin matches what PowerShell 7 draws: "Line |", "   3 |  script", "     |  ~~~~", "     | message".
	margin = regexp.MustCompile(`^(?:Line| *(\d*)) +\| ?(.*)$`)
)

// errorRecords splits the lines of the error stream into messages. Quotes of the script are dropped: they say less than the
// line number, and may hold what nobody should read.
func errorRecords(text string) []record {
	var all []record
	var current record
	var message []string
	finish := func() {
		current.text = tidy(strings.Join(message, "\n"))
		if current.text != "" {
			current.stream = "Error"
			all = append(all, current)
		}
		current, message = record{}, nil
	}
	about := false // past the message, in what stands behind it
	for _, line := range unwrap(text) {
		switch {
		case property.MatchString(line):
			about = true
		case strings.TrimSpace(line) == "":
			if about {
				finish()
			}
			about = false
		case position.MatchString(line):
			m := position.FindStringSubmatch(line)
			current.line, _ = strconv.Atoi(m[2])
			about = true
		case quote.MatchString(line):
		case margin.MatchString(line):
			m := margin.FindStringSubmatch(line)
			if m[1] != "" {
				current.line, _ = strconv.Atoi(m[1])
			} else if text := strings.Trim(m[2], " ~"); text != "" {
				message = append(message, text)
			}
		case about:
			// Behind what stands about one error without a blank line: the rest of a broken line, or the next error.
			if strings.HasPrefix(line, "   ") {
				continue
			}
			finish()
			about = false
			message = append(message, line)
		default:
			message = append(message, line)
		}
	}
	finish()
	return all
}

// unwrap joins the lines that were broken at the width of a console that is not there: messages between words, the rest
// anywhere.
func unwrap(text string) []string {
	var lines []string
	last := ""
	for line := range strings.Lines(colours.ReplaceAllString(text, "")) {
		line = strings.Map(visible, line)
		word, _, _ := strings.Cut(line, " ")
		full := len(lines) > 0 && columns(last) >= width ||
			strings.HasSuffix(last, " ") && word != "" && columns(last)+1+columns(word) > width
		if full {
			// The lines behind "+ CategoryInfo" are indented by three.
			if cut, indented := strings.CutPrefix(line, "   "); indented {
				lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], " ") + cut
			} else {
				lines[len(lines)-1] += line
			}
		} else {
			lines = append(lines, line)
		}
		last = line
	}
	return lines
}

func columns(line string) int { return utf8.RuneCountInString(strings.TrimSuffix(line, " ")) }
