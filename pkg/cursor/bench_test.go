package cursor_test

import (
	"fmt"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
)

func BenchmarkSwap(b *testing.B) {
	for _, entries := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d entries", entries), func(b *testing.B) {
			value := map[string]string{}
			for n := range entries {
				value[fmt.Sprintf("in/file-%06d.csv", n)] = "2026-01-02T03:04:05Z 123456"
			}
			s := cursor.Open[map[string]string](containerAt(b, emulator.Server(b).ConnectionString()), "job", 1)
			at, err := s.Load(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if at, err = s.Swap(b.Context(), at, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
