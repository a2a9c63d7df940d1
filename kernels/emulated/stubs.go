package emulated

type (
	schedState struct{}
	bridgePort struct{}
)
