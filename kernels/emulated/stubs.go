package emulated

type (
	bridgePort struct{}
)
