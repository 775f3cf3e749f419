package cursor

import (
	"encoding/json"
	"fmt"
	"testing"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"write":"x","value":{"a":1}}`))
	f.Add([]byte(`{"version":2,"value":null}`))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		value := map[string]int{}
		write, err := decode(data, 1, &value)
		if err != nil {
			return
		}
		// What was accepted comes back unchanged when it is written again.
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encode(envelope{Version: 1, Write: write, Value: text})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]int
		if write2, err := decode(again, 1, &back); err != nil || write2 != write || fmt.Sprint(back) != fmt.Sprint(value) {
			t.Errorf("%q decoded as %v, written again as %v, error %v", data, value, back, err)
		}
	})
}
