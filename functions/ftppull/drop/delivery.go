package drop

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf16"
)

// Delivery is the message of the ftpdeliver queue: the manifest whose stored files are to be placed on the MIM server.
type Delivery struct {
	Manifest string `json:"manifest"` // its blob
}

// MessageVersion is the version of Delivery on the wire.
func (Delivery) MessageVersion() int { return 1 }

// Dated is the name of the dated folder.
func (m Manifest) Dated() string { return path.Base(m.Folder) }

// Name is the blob of the manifest.
func (m Manifest) Name() string { return m.Folder + "/" + manifests + "/" + m.Batch + ".json" }

// Limits of Windows without long paths (Microsoft Learn, "Maximum Path Length Limitation"): 260 with the closing NUL for a file,
// 248 for a folder.
const (
	maxWindowsFile   = 259
	maxWindowsFolder = 247
)

// Part is what a file's name ends with while it is being written.
const Part = ".part"

var windowsRoot = regexp.MustCompile(`^[A-Za-z]:[\\/]`)

// CheckWindowsFolder reports why a directory cannot be the root of deliveries on a Windows server.
func CheckWindowsFolder(directory string) error {
	if !windowsRoot.MatchString(directory) {
		return fmt.Errorf(`%q is no folder on a drive of the server: a remote session reaches no network shares`, directory)
	}
	for part := range strings.FieldsFuncSeq(directory[3:], func(r rune) bool { return r == '\\' || r == '/' }) {
		if err := checkWindowsName(part); err != nil {
			return fmt.Errorf("the folder %q in %q %w", part, directory, err)
		}
	}
	return nil
}

// WindowsPath is where a file with a path of a manifest goes below a folder of a Windows server, or why it cannot.
func WindowsPath(folder, p string) (string, error) {
	parts := strings.Split(p, "/")
	for _, part := range parts {
		if err := checkWindowsName(part); err != nil {
			return "", fmt.Errorf("the name %q %w", part, err)
		}
	}
	if base := parts[len(parts)-1]; strings.HasSuffix(strings.ToLower(base), Part) {
		return "", fmt.Errorf("the name %q ends with %s, as files do that are being written", base, Part)
	}
	full := strings.TrimRight(strings.ReplaceAll(folder, "/", `\`), `\`) + `\` + strings.Join(parts, `\`)
	if n := len(utf16.Encode([]rune(full + Part))); n > maxWindowsFile {
		return "", fmt.Errorf("the path %q has %d characters with %s; Windows allows %d", full, n, Part, maxWindowsFile)
	}
	if parent := full[:strings.LastIndexByte(full, '\\')]; len(utf16.Encode([]rune(parent))) > maxWindowsFolder {
		return "", fmt.Errorf("the folder %q is longer than the %d characters that Windows allows", parent, maxWindowsFolder)
	}
	return full, nil
}

var devices = regexp.MustCompile(`(?i)^(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\x{b9}\x{b2}\x{b3}]) *(\.|$)`)

// checkWindowsName reports why Windows would refuse a name, or take it for another one (Microsoft Learn, "Naming Files, Paths,
// and Namespaces").
func checkWindowsName(name string) error {
	if i := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`<>:"/\|?*`, r) }); i >= 0 {
		return fmt.Errorf("has the character %q, which Windows does not allow", []rune(name[i:])[0])
	}
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("is not a name")
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("ends with a dot or a space, which Windows drops")
	case devices.MatchString(name):
		return fmt.Errorf("is that of a device to Windows")
	}
	return nil
}
