package emulated

type (
	fibState     struct{}
	fib6State    struct{}
	rulesState   struct{}
	nexthopState struct{}
	schedState   struct{}
	bridgePort   struct{}
)
