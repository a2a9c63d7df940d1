package emulated

type (
	inetState    struct{}
	inet6State   struct{}
	fibState     struct{}
	fib6State    struct{}
	neighState   struct{}
	rulesState   struct{}
	nexthopState struct{}
	schedState   struct{}
	bridgePort   struct{}
	inDevice     struct{}
	inet6Dev     struct{}
)
