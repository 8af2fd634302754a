package layouts_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/layouts"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/storetest"
)

func BenchmarkGet(b *testing.B) {
	s := openLayouts(b, b.TempDir(), layouts.Options{})
	for i := range 50 {
		putAll(b, s, fmt.Sprintf("v1.%d.0", i))
	}
	b.Run("there", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(b.Context(), ofLib("v1.20.0")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("absent", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(b.Context(), ofLib("v1.99.0")); err == nil {
				b.Fatal("it is there")
			}
		}
	})
	b.Run("zip", func(b *testing.B) {
		for b.Loop() {
			e, err := s.Get(b.Context(), ofLib("v1.20.0"))
			if err != nil {
				b.Fatal(err)
			}
			z, err := e.Open(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if err := z.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("used", func(b *testing.B) {
		e, err := s.Get(b.Context(), ofLib("v1.20.0"))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			s.Used(e.Version.Version, e.Stored)
		}
	})
}

// BenchmarkPut puts versions of new modules, and of one module.
func BenchmarkPut(b *testing.B) {
	for name, at := range map[string]func(n int) module.Version{
		"new module": func(n int) module.Version {
			return module.Version{Path: fmt.Sprintf("corp.example.com/m%d", n), Version: "v1.0.0"}
		},
		"new version": func(n int) module.Version { return ofLib(fmt.Sprintf("v1.%d.0", n)) },
	} {
		b.Run(name, func(b *testing.B) {
			s := openLayouts(b, b.TempDir(), layouts.Options{})
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				v, path := storetest.Make(b, s.Staging(), at(n), map[string]string{"x.txt": randomText(50_000)})
				b.StartTimer()
				if _, err := s.Put(b.Context(), v, path); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := os.Remove(path); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
