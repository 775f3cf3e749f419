package pack

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// packed is the time of every entry: the earliest a zip can tell, so that no clock gets into the bytes.
var packed = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// zipApp returns the zip of an app root. Modes are decided here, not read from the file system: Windows keeps none.
func zipApp(app fs.FS, handler string) ([]byte, error) {
	names, err := entries(app)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	if err := writeZip(&archive, app, names, handler); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

func writeZip(to io.Writer, app fs.FS, names []string, handler string) error {
	w := zip.NewWriter(to)
	for _, name := range names {
		if err := addEntry(w, app, name, name == handler); err != nil {
			return fmt.Errorf("add %q: %w", name, err)
		}
	}
	return w.Close()
}

func addEntry(w *zip.Writer, app fs.FS, name string, executable bool) error {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: packed}
	header.SetMode(0o644) // also marks the entry as made on Unix
	if executable {
		header.SetMode(0o755)
	}
	entry, err := w.CreateHeader(header)
	if err != nil {
		return err
	}
	file, err := app.Open(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, file)
	return errors.Join(err, file.Close())
}
