package operator

import (
	"fmt"
	"net"
)

// checkProfiling lets profiles be served on this machine only, or its pod: whoever may ask for them can have the operator spend its time on it.
func checkProfiling(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading --pprof-bind-address: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--pprof-bind-address %q is not of this machine alone; use 127.0.0.1:<port>, and kubectl port-forward", address)
	}
	return nil
}
