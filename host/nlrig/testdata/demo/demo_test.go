package demo

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var word = flag.String("word", "none", "for TestArgs")

func TestMain(m *testing.M) {
	if d, err := time.ParseDuration(os.Getenv("DEMO_CHILD")); err == nil {
		time.Sleep(d)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPass(t *testing.T) {
	t.Log("passes")
	if got := Sum(1, 2, 3); got != 6 {
		t.Errorf("Sum(1, 2, 3) = %d", got)
	}
	if got := Fields("a and b # c"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Fields: %q", got)
	}
	if got := Fields("#!"); !slices.Equal(got, []string{"special"}) {
		t.Errorf("Fields: %q", got)
	}
}

func TestSkip(t *testing.T) { t.Skip("for a reason") }

func TestShort(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	t.Log("is not short")
}

func TestSubtests(t *testing.T) {
	for _, name := range []string{"a", "b c", "d/e", "a", "ä\n"} {
		t.Run(name, func(t *testing.T) {
			t.Logf("name %q", t.Name())
			t.Run("deep", func(t *testing.T) {
				t.Cleanup(func() { t.Log("cleaned up") })
				if name == "d/e" {
					t.Skip("deep down")
				}
			})
		})
	}
}

func TestParallel(t *testing.T) {
	for i := range 6 {
		t.Run(fmt.Sprint("p", i), func(t *testing.T) {
			t.Parallel()
			t.Log("in parallel", i)
			time.Sleep(time.Millisecond)
		})
	}
	t.Run("after", func(t *testing.T) { t.Log("after their pause") })
}

func TestParallelTop(t *testing.T) {
	t.Parallel()
	t.Log("parallel itself")
}

func TestTempDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestTestdata(t *testing.T) {
	b, err := os.ReadFile("testdata/sub/words.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%q", b)
	if _, err := os.Stat("demo.go"); err != nil {
		t.Error(err)
	}
	st, err := os.Stat("testdata/run.sh")
	if err != nil || st.Mode().Perm()&0o111 == 0 {
		t.Errorf("%v, %v: want it executable", st, err)
	}
	if to, err := os.Readlink("testdata/link"); err != nil || to != "sub/words.txt" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

func TestEnvironment(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if pwd := os.Getenv("PWD"); pwd != wd {
		t.Errorf("PWD=%s in %s", pwd, wd)
	}
	for _, name := range []string{"GOTRACEBACK", "DEMO_WORD"} {
		value, set := os.LookupEnv(name)
		t.Logf("%s=%q %v", name, value, set)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(home); err != nil || !st.IsDir() {
		t.Errorf("the home directory: %v", err)
	}
}

func TestArgs(t *testing.T) { t.Logf("word %q, arguments %q", *word, flag.Args()) }

func TestStdin(t *testing.T) {
	b, err := io.ReadAll(os.Stdin)
	t.Logf("%q, %v", b, err)
}

// TestOrder writes to two descriptors that go test has as one.
func TestOrder(t *testing.T) {
	for i := range 20 {
		fmt.Fprintf(os.Stdout, "out %d\n", i)
		fmt.Fprintf(os.Stderr, "err %d\n", i)
	}
	fmt.Print("no end of line")
	fmt.Fprint(os.Stderr, "!")
	fmt.Println()
}

func TestOutput(t *testing.T) {
	t.Attr("key", "value")
	fmt.Fprintln(t.Output(), "written")
	fmt.Println("--- PASS: TestNot (0.00s)")
	fmt.Println("    --- FAIL: TestNot/either (0.00s)")
	fmt.Println("=== no frame")
}

func TestArtifact(t *testing.T) {
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "made"), []byte("artifact"), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestLoud writes 50 MB, in lines that say where they are.
func TestLoud(t *testing.T) {
	if testing.Short() {
		t.Skip("50 MB")
	}
	line := bytes.Repeat([]byte("x"), 1000)
	for i := range 50_000 {
		copy(line, fmt.Sprintf("%05d ", i))
		if _, err := fmt.Printf("%s\n", line); err != nil {
			t.Fatal(err)
		}
	}
}

func ExampleSum() {
	fmt.Println(Sum(1, 2), Sum())
	// Output: 3 0
}

func ExampleFields_unordered() {
	for _, w := range Fields("x y z") {
		fmt.Println(w)
	}
	// Unordered output:
	// z
	// x
	// y
}

func BenchmarkSum(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Sum(1, 2, 3)
	}
	b.ReportMetric(3, "things/op")
}

func BenchmarkFields(b *testing.B) {
	for _, words := range []int{1, 10} {
		b.Run(fmt.Sprint("words=", words), func(b *testing.B) {
			line := strings.Repeat("word ", words)
			for b.Loop() {
				Fields(line)
			}
		})
	}
}

func FuzzFields(f *testing.F) {
	f.Add("a b # c")
	f.Add("\xff and")
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 30 {
			t.Fatal("found") // by mutation, soon
		}
		for _, w := range Fields(line) {
			if w == "and" {
				t.Error(w)
			}
		}
	})
}
