package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sourceSettings are the settings that existing users have. With all of them, the run takes files from that FTP server.
var sourceSettings = []string{"FTPServer", "FTPUsername", "FTPPassword", "FTPSourceDirectory", "FTPTargetDirectory"}

// userSettings is environ, completed as Core Tools does by what local.settings.json gives and the environment does not.
func userSettings(root string, environ []string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(root, "local.settings.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return environ, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read local.settings.json: %w", err)
	}
	var file struct {
		IsEncrypted bool
		Values      map[string]string
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("read local.settings.json: %w: it must be JSON with text values under Values, as in local.settings.example.json", err)
	}
	if file.IsEncrypted {
		return nil, errors.New("read local.settings.json: its values are encrypted: run func settings decrypt (Core Tools) first")
	}
	all := slices.Clone(environ)
	for name, value := range file.Values {
		if lookup(environ, name) == "" {
			all = append(all, name+"="+value)
		}
	}
	return all, nil
}

// lookup finds a setting as the apps do, without regard to case; blank counts as not set.
func lookup(environ []string, wanted string) string {
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); strings.EqualFold(name, wanted) && strings.TrimSpace(value) != "" {
			return value
		}
	}
	return ""
}

// ownServer reports whether environ names an FTP server of the user's. The names of RFC 2606, which
// local.settings.example.json uses, name none.
func ownServer(environ []string) (bool, error) {
	server := lookup(environ, "FTPServer")
	host, _, _ := strings.Cut(server, ":")
	if server == "" || host == "example.com" || strings.HasSuffix(host, ".example.com") {
		return false, nil
	}
	var missing []string
	for _, name := range sourceSettings {
		if lookup(environ, name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return false, fmt.Errorf("FTPServer is %q, but %s not set: set all of %s to use your own server, or none to use the built-in one",
			server, strings.Join(missing, ", "), strings.Join(sourceSettings, ", "))
	}
	return true, nil
}

// without removes the settings whose names start with one of the prefixes.
func without(environ []string, prefixes ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool {
			return len(entry) >= len(prefix) && strings.EqualFold(entry[:len(prefix)], prefix)
		})
	})
}
