package nlcase

// DiffLine is a line of a comparison: in both ' ', only in the first '-', or
// only in the second '+'.
type DiffLine struct {
	Op   byte
	Text string
}

func (d DiffLine) String() string { return string(d.Op) + d.Text }

// Diff compares two transcripts of a case, normalised (see Render). Alike
// reports that no line differs.
func Diff(c *Case, a, b *Transcript) (lines []DiffLine, alike bool) {
	return DiffLines(a.Lines(c), b.Lines(c))
}

// maxDiff bounds the work of a comparison, in cells of its table.
const maxDiff = 16 << 20

// DiffLines compares two exchanges, line by line. Alike reports that no line
// differs.
func DiffLines(a, b []string) (lines []DiffLine, alike bool) {
	alike = true
	emit := func(op byte, text string) {
		lines = append(lines, DiffLine{op, text})
		alike = alike && op == ' '
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		emit(' ', a[0])
		a, b = a[1:], b[1:]
	}
	tail := 0
	for tail < min(len(a), len(b)) && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	same := a[len(a)-tail:]
	a, b = a[:len(a)-tail], b[:len(b)-tail]
	w := len(b) + 1
	var common []int32 // length of the longest common part of a[i:], b[j:]
	if len(a)*w < maxDiff {
		common = make([]int32, (len(a)+1)*w)
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i*w+j] = common[(i+1)*w+j+1] + 1
				} else {
					common[i*w+j] = max(common[(i+1)*w+j], common[i*w+j+1])
				}
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && common != nil && a[i] == b[j]:
			emit(' ', a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && (common == nil || common[(i+1)*w+j] >= common[i*w+j+1]):
			emit('-', a[i])
			i++
		default:
			emit('+', b[j])
			j++
		}
	}
	for _, l := range same {
		emit(' ', l)
	}
	return lines, alike
}
