//go:build linux

package host

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nlrig/nlrig/host/qemu"
	"github.com/nlrig/nlrig/vmtest/wire"
)

// Timing is where the time of one VM went.
type Timing struct {
	Warm bool
	// Image is what it took to make the image that the VM was started from;
	// 0 if it was there.
	Image time.Duration
	// QEMU is from the start of its process to its first word, or to where it
	// had the state of its image.
	QEMU time.Duration
	// Firmware is from there to the zero of the kernel's clock. It and the
	// next three are those of a boot, and 0 of a warm VM.
	Firmware time.Duration
	Kernel   time.Duration // to PID 1
	Modules  time.Duration // those that the port needs
	Agent    time.Duration // to where it is ready
	// Wake is from a warm VM's first instruction to its hello.
	Wake time.Duration
	// First is the first play, which meets a kernel of which QEMU has
	// translated little. Rest are the others, Plays says how many they are.
	First, Rest time.Duration
	Plays       int
	Leave       time.Duration // to the last word of the agent
	End         time.Duration // of QEMU
	// Memory is the VM's before it was ended, the zero value if it is not
	// known.
	Memory qemu.Memory
}

// newTiming is that of a VM of which t.start was called at start and which has
// just said hello.
func newTiming(start time.Time, m machine, hello *wire.Hello, warm bool) *Timing {
	micro := func(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
	t, up := &Timing{Warm: warm}, start // User Mode Linux has nothing before its kernel
	if vm, ok := m.(*qemu.VM); ok {
		t.QEMU, up = vm.Up().Sub(vm.Started()), vm.Up()
		if warm {
			t.Image, t.Wake = vm.Started().Sub(start), time.Since(up)
			return t
		}
	}
	t.Firmware = time.Since(up) - micro(hello.Ready)
	t.Kernel = micro(hello.Started)
	t.Modules = micro(hello.Loaded - hello.Started)
	t.Agent = micro(hello.Ready - hello.Loaded)
	return t
}

func (t *Timing) played(took time.Duration) {
	if t == nil {
		return
	}
	if t.First == 0 {
		t.First = took
		return
	}
	t.Rest += took
	t.Plays++
}

func (t *Timing) left(took time.Duration, m machine) {
	if t == nil {
		return
	}
	t.Leave = took
	if vm, ok := m.(*qemu.VM); ok {
		t.Memory, _ = vm.Memory() // shown where it is known
	}
}

// phases are a table's columns, each of a VM's time.
var phases = []struct {
	name string
	of   func(*Timing) time.Duration
}{
	{"image", func(t *Timing) time.Duration { return t.Image }},
	{"qemu", func(t *Timing) time.Duration { return t.QEMU }},
	{"firmware", func(t *Timing) time.Duration { return t.Firmware }},
	{"kernel", func(t *Timing) time.Duration { return t.Kernel }},
	{"modules", func(t *Timing) time.Duration { return t.Modules }},
	{"agent", func(t *Timing) time.Duration { return t.Agent }},
	{"wake", func(t *Timing) time.Duration { return t.Wake }},
	{"first", func(t *Timing) time.Duration { return t.First }},
	{"a case", func(t *Timing) time.Duration { return t.Rest / time.Duration(max(t.Plays, 1)) }},
	{"leave", func(t *Timing) time.Duration { return t.Leave }},
	{"end", func(t *Timing) time.Duration { return t.End }},
}

// WriteTimings says where the time of the columns' VMs went, phase by phase,
// as medians of the VMs of a kernel that were started alike.
func WriteTimings(w io.Writer, columns []Column) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "ms\t\tVMs")
	for _, p := range phases {
		fmt.Fprint(tw, "\t", p.name)
	}
	fmt.Fprint(tw, "\tMB shared\town\tQEMU\t\n")
	for _, c := range columns {
		for _, warm := range []bool{false, true} {
			some := slices.DeleteFunc(slices.Clone(c.Timings), func(t Timing) bool { return t.Warm != warm })
			if len(some) == 0 {
				continue
			}
			fmt.Fprintf(tw, "%s\t%s\t%d", c.Target, map[bool]string{true: "warm", false: "cold"}[warm], len(some))
			for _, p := range phases {
				cell := "-"
				if m := middle(some, p.of); m > 0 {
					cell = fmt.Sprintf("%.1f", m.Seconds()*1000)
				}
				if p.name == "image" { // once, for all
					if all := some[0].Image; warm && all > time.Millisecond*20 {
						cell = fmt.Sprintf("%.1f", all.Seconds()*1000)
					} else {
						cell = "-"
					}
				}
				fmt.Fprint(tw, "\t", cell)
			}
			mb := func(of func(*Timing) int64) string {
				m := middle(some, of)
				if m == 0 {
					return "-"
				}
				return fmt.Sprintf("%.1f", float64(m)/1e6)
			}
			fmt.Fprintf(tw, "\t%s\t%s\t%s\t\n",
				mb(func(t *Timing) int64 { return t.Memory.Shared }),
				mb(func(t *Timing) int64 { return t.Memory.Own }),
				mb(func(t *Timing) int64 { return t.Memory.QEMU }))
		}
	}
	return tw.Flush()
}

func middle[T cmp.Ordered](ts []Timing, of func(*Timing) T) T {
	all := make([]T, len(ts))
	for i := range ts {
		all[i] = of(&ts[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// TimingLegend says what the heads of WriteTimings mean.
var TimingLegend = strings.Join([]string{
	"image: a boot, and the keeping of its memory, where there was none; qemu: its process, with a warm VM's state;",
	"firmware: to the kernel's first instant; kernel: to PID 1; modules, agent: to the open port; wake: a warm VM's hello;",
	"first: the first case, for which QEMU has translated little; leave, end: the agent's and QEMU's;",
	"MB: of the guest's memory what VMs share in the page cache, what this one wrote, and QEMU's own",
}, "\n")
