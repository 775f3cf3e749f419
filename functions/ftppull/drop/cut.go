package drop

import (
	"encoding/json"
	"slices"
)

// Limits bound a batch. A single file may exceed Bytes: it travels alone and is fetched over several invocations.
type Limits struct {
	Files int   // at most this many files
	Bytes int64 // at most this many bytes of files together
}

// maxMessage bounds the JSON of a batch, below the 48 KiB of text that a queue message holds in base64, with room for the
// envelope.
const maxMessage = 40 << 10

// Cut splits files into batches for one folder, in the order given.
func Cut(files []File, run, folder string, limits Limits) []Batch {
	var batches []Batch
	var current []File
	var bytes, length int64
	flush := func() {
		if len(current) > 0 {
			batches = append(batches, Batch{Run: run, Folder: folder, Files: slices.Clone(current)})
		}
		current, bytes, length = current[:0], 0, int64(len(run)+len(folder))
	}
	flush()
	for _, f := range files {
		text, err := json.Marshal(f)
		if err != nil {
			panic(err) // strings, numbers and times always marshal
		}
		size := int64(len(text)) + 1
		if len(current) >= limits.Files || (len(current) > 0 && (bytes+f.Size > limits.Bytes || length+size > maxMessage)) {
			flush()
		}
		current = append(current, f)
		bytes += f.Size
		length += size
	}
	flush()
	return batches
}
