// Package shapes has tests of all shapes that package testing prints.
package shapes

// Sign is covered to a different degree on each kernel.
func Sign(kernel string) int {
	if kernel == "6.12" {
		return 1
	}
	if kernel == "6.1" {
		return -1
	}
	return 0
}
