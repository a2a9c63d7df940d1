package emulated

type ip6addrlblTable struct{}
