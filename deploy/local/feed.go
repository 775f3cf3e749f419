package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// fate is what must become of a file of the seeded drop.
type fate int

const (
	arrives fate = iota // stored with the same bytes
	held                // stopped by the guard
	left                // not taken: still growing, or a partial upload
)

// feed is one file that the HR systems drop on the FTP server.
type feed struct {
	path  string // below the drop, separated by "/"
	fate  fate
	write func(io.Writer) error
}

// sown is a feed as it lies in the drop.
type sown struct {
	path   string
	fate   fate
	size   int64
	sha256 string
}

// yesterday is what the first night finds: the good version that the guard will remember.
func yesterday(now time.Time) []feed {
	return []feed{
		{dated("hr/contractors", now.AddDate(0, 0, -1), "csv"), arrives, employees(700, 2)},
	}
}

// tonight is what the second night finds. Its biggest file has the given number of bytes.
func tonight(now time.Time, biggest int64) []feed {
	feeds := []feed{
		{dated("hr/employees", now, "csv"), arrives, employees(5000, 1)},
		{dated("hr/contractors", now, "csv"), held, cutAt(20_000, employees(700, 2))},
		{"hr/employees.csv.part", left, employees(100, 3)},
		{dated("payroll/payroll", now, "txt"), arrives, payroll(5000)},
		{dated("payroll/history", now, "dat"), arrives, history(biggest)},
		{"directory/people.ldif", arrives, ldif(2000)},
		{"Größen & Maße/Übersicht März.csv", arrives, employees(50, 4)},
		{"人事/社員名簿.csv", arrives, employees(80, 5)},
		{"Żółw/O'Brien, Zoë (final) 100%.txt", arrives, payroll(20)},
	}
	for i := range 40 {
		feeds = append(feeds, feed{fmt.Sprintf("onboarding/joiner_%03d.json", i+1), arrives, joiner(i)})
	}
	return feeds
}

func dated(stem string, day time.Time, extension string) string {
	return fmt.Sprintf("%s_%s.%s", stem, day.Format("20060102"), extension)
}

// sow writes feeds below dir and returns what lies there now.
func sow(dir string, feeds []feed) ([]sown, error) {
	all := make([]sown, 0, len(feeds))
	for _, f := range feeds {
		s, err := f.sow(dir)
		if err != nil {
			return nil, fmt.Errorf("seed %q: %w", f.path, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (f feed) sow(dir string) (sown, error) {
	name := filepath.Join(dir, filepath.FromSlash(f.path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return sown{}, err
	}
	file, err := os.Create(name)
	if err != nil {
		return sown{}, err
	}
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	err = errors.Join(f.write(w), w.Flush())
	size, sizeErr := file.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, sizeErr, file.Close()); err != nil {
		return sown{}, err
	}
	return sown{f.path, f.fate, size, hex.EncodeToString(sum.Sum(nil))}, nil
}

var (
	givenNames  = []string{"Anna", "José", "Łukasz", "Zoë", "Jürgen", "Siobhán", "Nguyễn", "Fatma", "Øyvind", "美咲", "Олена", "George"}
	familyNames = []string{"Müller", "García", "Kowalski", "O'Brien", "van der Berg", "Smith-Jones", "Østergård", "Çelik", "高橋", "Шевченко"}
	departments = []string{"Finance", "Production", "IT", "Sales EMEA", "Human Resources", "Research & Development"}
)

type person struct {
	number                    int
	given, family, department string
	salary                    int
}

// people calls each with n made-up people, the same for the same seed.
func people(n int, seed uint64, each func(person) error) error {
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range n {
		err := each(person{
			number:     100_000 + i,
			given:      givenNames[random.IntN(len(givenNames))],
			family:     familyNames[random.IntN(len(familyNames))],
			department: departments[random.IntN(len(departments))],
			salary:     2_500_00 + random.IntN(6_000_00),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p person) account() string { return fmt.Sprintf("u%d", p.number) }

// employees is a CSV as HR systems in Europe write it: a header, semicolons, UTF-8, CR LF.
func employees(n int, seed uint64) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, "EmployeeID;GivenName;Surname;Department;AccountName;Mail;StartDate\r\n"); err != nil {
			return err
		}
		return people(n, seed, func(p person) error {
			_, err := fmt.Fprintf(w, "%d;%s;%s;%s;%s;%s@example.com;20%02d-%02d-01\r\n", p.number, p.given, p.family,
				p.department, p.account(), p.account(), p.number%25, p.number%12+1)
			return err
		})
	}
}

// payroll is a fixed-width file with a header and a trailer record that counts the lines.
func payroll(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := fmt.Fprintf(w, "H%-20s%-39s\r\n", "PAYROLL", "EUR"); err != nil {
			return err
		}
		total := 0
		err := people(n, 6, func(p person) error {
			total += p.salary
			_, err := fmt.Fprintf(w, "D%08d%-30.30s%012dEUR%06d\r\n", p.number, p.department, p.salary, p.number%1000)
			return err
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "T%08d%015d%36s\r\n", n, total, "")
		return err
	}
}

// history is a long file of fixed-width records, written as it is generated.
func history(size int64) func(io.Writer) error {
	return func(w io.Writer) error {
		line := make([]byte, 0, 128)
		for number := 0; size > 0; number++ {
			line = fmt.Appendf(line[:0], "%012d;%08d;2026-%02d;%010d;EUR;PAYMENT OF SALARY AND ALLOWANCES\r\n",
				number, 100_000+number%5000, number%12+1, number*7919%1_000_000)
			line = line[:min(int64(len(line)), size)]
			if _, err := w.Write(line); err != nil {
				return err
			}
			size -= int64(len(line))
		}
		return nil
	}
}

// ldif is a directory export; values that are not plain ASCII travel in base64 (RFC 2849).
func ldif(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, "version: 1\n"); err != nil {
			return err
		}
		return people(n, 7, func(p person) error {
			_, err := fmt.Fprintf(w, "\ndn: uid=%s,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: %s\n%s%semployeeNumber: %d\n",
				p.account(), p.account(), attribute("cn", p.given+" "+p.family), attribute("sn", p.family), p.number)
			return err
		})
	}
}

func attribute(name, value string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return r > '~' }) {
		return fmt.Sprintf("%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	return fmt.Sprintf("%s: %s\n", name, value)
}

func joiner(i int) func(io.Writer) error {
	return func(w io.Writer) error {
		return people(1, uint64(100+i), func(p person) error {
			_, err := fmt.Fprintf(w, "{\"employee\":%d,\"givenName\":%q,\"surname\":%q,\"department\":%q}\n",
				p.number+i, p.given, p.family, p.department)
			return err
		})
	}
}

// cutAt is what a broken upload leaves of a file: its first n bytes, ending in the middle of a line.
func cutAt(n int, whole func(io.Writer) error) func(io.Writer) error {
	return func(w io.Writer) error {
		var all bytes.Buffer
		if err := whole(&all); err != nil {
			return err
		}
		_, err := w.Write(all.Bytes()[:min(n, all.Len())])
		return err
	}
}

// grow keeps appending to a file, as a sender does that has not finished, until the returned function is called.
func grow(dir string, now time.Time) (sown, func() error, error) {
	s := sown{path: dated("timesheets/timesheets", now, "csv"), fate: left}
	name := filepath.Join(dir, filepath.FromSlash(s.path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return s, nil, fmt.Errorf("seed %q: %w", s.path, err)
	}
	file, err := os.Create(name)
	if err != nil {
		return s, nil, fmt.Errorf("seed %q: %w", s.path, err)
	}
	done, failed := make(chan struct{}), make(chan error)
	go func() {
		failed <- errors.Join(appendLines(file, done), file.Close())
	}()
	finish := sync.OnceValue(func() error {
		close(done)
		return <-failed
	})
	return s, finish, nil
}

func appendLines(w io.Writer, done <-chan struct{}) error {
	tick := time.NewTicker(growth)
	defer tick.Stop()
	for line := 0; ; line++ {
		if _, err := fmt.Fprintf(w, "%d;%d;8.0\r\n", line, 100_000+line); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-done:
			return nil
		}
	}
}

// growth is how often a growing file gets another line: often enough that two listings never agree.
const growth = 200 * time.Millisecond
