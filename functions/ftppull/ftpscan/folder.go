package ftpscan

import (
	"fmt"
	"strings"
	"time"
)

// FolderFormat names the dated folder, in the letters that .NET and PowerShell use: yyyy MM dd HH mm ss, everything else
// as it stands. The time is that of the scan, in WEBSITE_TIME_ZONE.
type FolderFormat struct{ text string }

var layouts = strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "mm", "04", "ss", "05")

// UnmarshalText refuses formats that do not name a day, or that .NET reads otherwise than they look.
func (f *FolderFormat) UnmarshalText(text []byte) error {
	s := string(text)
	for _, part := range []string{"yyyy", "MM", "dd"} {
		if !strings.Contains(s, part) {
			return fmt.Errorf("%q has no %s; wanted a format such as yyyy-MM-dd or yyyyMMdd-HHmm", s, part)
		}
	}
	rest := strings.NewReplacer("yyyy", "", "MM", "", "dd", "", "HH", "", "mm", "", "ss", "").Replace(s)
	if bad := strings.TrimLeft(rest, "-_ "); bad != "" {
		return fmt.Errorf("%q contains %q; besides yyyy MM dd HH mm ss only - _ and space are allowed (HH is the hour of 24)", s, bad[:1])
	}
	f.text = s
	return nil
}

// Format renders the folder of the instant given.
func (f FolderFormat) Format(t time.Time) string { return t.Format(layouts.Replace(f.text)) }

func (f FolderFormat) String() string { return f.text }
