package shapes

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var kernels = strings.Split(os.Getenv("KERNELS"), ",")

// on runs f on the kernel there is. On several it does what a merge of their
// outputs is to look like.
func on(t *testing.T, f func(t *testing.T, kernel string)) {
	if len(kernels) == 1 {
		f(t, kernels[0])
		return
	}
	skipped := 0
	for _, k := range kernels {
		t.Run("kernel="+k, func(t *testing.T) {
			defer func() {
				if t.Skipped() {
					skipped++
				}
			}()
			f(t, k)
		})
	}
	if skipped == len(kernels) {
		t.SkipNow()
	}
}

func TestMain(m *testing.M) {
	if os.Getenv("AROUND") != "" {
		fmt.Println("before, on", kernels[0])
	}
	code := m.Run()
	if os.Getenv("AROUND") != "" {
		fmt.Println("after, on", kernels[0])
	}
	os.Exit(code)
}

func TestPass(t *testing.T) {
	on(t, func(t *testing.T, kernel string) { Sign(kernel) })
}

func TestLogs(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		t.Log("on", kernel)
		t.Log("two\nlines\n--- PASS: fake (0.00s)")
	})
}

func TestFailsOnOne(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		t.Log("a log")
		if kernel == "6.12" {
			t.Errorf("got 1,\nwant 2")
		}
	})
}

func TestSubs(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		t.Run("a", func(t *testing.T) {
			t.Run("deep", func(t *testing.T) {
				if kernel == "6.12" {
					t.Error("deep down")
				}
			})
			t.Log("between")
		})
		t.Run("b c", func(t *testing.T) { t.Skip("not today") })
		t.Log("after its subtests")
		t.Cleanup(func() { t.Log("cleaned up") })
	})
}

func TestSkips(t *testing.T) {
	on(t, func(t *testing.T, kernel string) { t.Skip("nowhere") })
}

func TestSkipsOnOne(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		if kernel == "6.1" {
			t.Skip("too old")
		}
	})
}

func TestAttr(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		t.Attr("speed", "slow on "+kernel)
	})
}

func TestPrints(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		fmt.Println("printed on", kernel)
		fmt.Println("--- PASS: fake (0.00s)")
		fmt.Println("    --- FAIL: fake/sub (0.00s)")
		fmt.Println("=== RUN   nothing")
		fmt.Println("goos: plan9")
		fmt.Println("BenchmarkX-2\t1\t2 ns/op")
		fmt.Print("\x00\xff\x7f binary, and \r\n")
	})
}

func TestUnended(t *testing.T) {
	on(t, func(t *testing.T, kernel string) { fmt.Print("not a whole line") })
}

func TestParallel1(t *testing.T) { parallel(t) }
func TestParallel2(t *testing.T) { parallel(t) }

func parallel(t *testing.T) {
	on(t, func(t *testing.T, kernel string) {
		t.Parallel()
		t.Log("first of", t.Name()[:len("TestParallel1")])
		for _, name := range []string{"x", "y"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for i := range 3 {
					t.Log("step", i)
					time.Sleep(time.Millisecond)
				}
				if name == "y" && kernel == "6.12" {
					t.Fail()
				}
			})
		}
	})
}

func TestDeathPanic(t *testing.T) {
	if kernels[0] == "6.12" {
		panic("boom")
	}
}

func TestDeathSubPanic(t *testing.T) {
	t.Run("sub", func(t *testing.T) {
		if kernels[0] == "6.12" {
			panic("boom")
		}
	})
}

func TestDeathExit(t *testing.T) {
	t.Run("sub", func(t *testing.T) {
		t.Log("still alive")
		if kernels[0] == "6.12" {
			fmt.Println("exiting")
			os.Exit(7)
		}
	})
}

func TestDeathTimeout(t *testing.T) {
	if kernels[0] == "6.12" {
		time.Sleep(time.Minute)
	}
}

func FuzzSeeds(f *testing.F) {
	f.Add("one")
	f.Add("two")
	f.Fuzz(func(t *testing.T, s string) {
		if s == "two" && kernels[0] == "6.12" {
			t.Error("no twos")
		}
	})
}

func ExampleSign() {
	fmt.Println(Sign(kernels[0]))
	// Output: -1
}

func bench(b *testing.B, f func(b *testing.B, kernel string)) {
	if len(kernels) == 1 {
		f(b, kernels[0])
		return
	}
	for _, k := range kernels {
		b.Run("kernel="+k, func(b *testing.B) { f(b, k) })
	}
}

func BenchmarkOne(b *testing.B) {
	bench(b, func(b *testing.B, kernel string) {
		for b.Loop() {
			Sign(kernel)
		}
	})
}

func BenchmarkSubs(b *testing.B) {
	bench(b, func(b *testing.B, kernel string) {
		b.Run("a", func(b *testing.B) { b.ReportMetric(3, "packets") })
		b.Run("b", func(b *testing.B) { b.Log("a log of", kernel) })
	})
}

func BenchmarkFails(b *testing.B) {
	bench(b, func(b *testing.B, kernel string) {
		if kernel == "6.12" {
			b.Fatal("too slow")
		}
	})
}
