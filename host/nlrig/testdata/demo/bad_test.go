package demo

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestBadFail(t *testing.T) {
	t.Error("wrong")
	t.Log("and more")
	t.Fatal("enough")
}

func TestBadSubtest(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Run("bad", func(t *testing.T) { t.Fatal("only this") })
	t.Run("parallel", func(t *testing.T) {
		for _, name := range []string{"one", "two"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if name == "two" {
					t.Error("only this")
				}
			})
		}
	})
}

func Example_bad() {
	fmt.Println("this")
	// Output: that
}

func TestBadPanic(t *testing.T) {
	t.Log("before")
	panic("boom")
}

func TestBadSubtestPanic(t *testing.T) {
	t.Run("sub", func(t *testing.T) {
		var p *int
		*p = 1
	})
}

func TestBadElsewhere(t *testing.T) { go func() { panic("elsewhere") }(); time.Sleep(time.Minute) }

func TestBadExit(t *testing.T) {
	fmt.Println("about to")
	os.Exit(7)
}

func TestBadExit0(t *testing.T) { os.Exit(0) }

func TestBadTimeout(t *testing.T) {
	t.Log("waits")
	time.Sleep(time.Hour)
}

func TestBadRace(t *testing.T) {
	var n int
	done := make(chan bool)
	go func() { n++; done <- true }()
	n++
	<-done
	t.Log("n", n)
}

func TestBadKill(t *testing.T) {
	fmt.Println("the last line")
	kill(t, syscall.SIGKILL)
}

// TestBadSegv ends with the signal, where Go's runtime would have caught it.
func TestBadSegv(t *testing.T) {
	var dfl [4]uintptr // struct kernel_sigaction: SIG_DFL
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV),
		uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	kill(t, syscall.SIGSEGV)
}

func kill(t *testing.T, sig syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Minute)
}

// TestBadLeakLoud leaves a child that holds the test's output.
func TestBadLeakLoud(t *testing.T) { leave(t, os.Stdout, "20s") }

// TestBadLeakQuiet leaves one that holds nothing; go test sees nothing wrong.
func TestBadLeakQuiet(t *testing.T) { leave(t, nil, "20s") }

func leave(t *testing.T, out *os.File, life string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DEMO_CHILD="+life)
	if out != nil {
		cmd.Stdout = out
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(cmd)
}

// TestBadTerm waits for a signal and says which.
func TestBadTerm(t *testing.T) {
	fmt.Println("ready")
	time.Sleep(time.Minute)
}
