package operator

import (
	"strings"
	"testing"
)

func TestOptionsThatContradictEachOtherAreRefusedBeforeAnythingIsDone(t *testing.T) {
	// There is no API server to be found, which is the next error.
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	for _, c := range []struct {
		name    string
		options Options
		want    string
	}{
		{name: "neither receives nor reconciles", options: Options{CallbackAddress: "0"}, want: "nothing is left to do: --callback-bind-address=0"},
		{name: "elects whom to reconcile, and lets nobody", options: Options{CallbackAddress: ":9080", LeaderElect: true}, want: "--leader-elect chooses the replica that reconciles"},
		{name: "bounds connections by less than none", options: Options{CallbackAddress: ":9080", ConnectionsPerSource: -1}, want: "--callback-connections-per-source=-1 is less than none"},
		{name: "bounds connections that there are not", options: Options{CallbackAddress: "0", Reconcile: true, ConnectionsPerSource: 1}, want: "--callback-connections-per-source bounds who sends"},
		{name: "receives", options: Options{CallbackAddress: ":9080"}, want: "finding the API server"},
		{name: "reconciles", options: Options{CallbackAddress: "0", Reconcile: true}, want: "finding the API server"},
		{name: "reconciles where it leads", options: Options{CallbackAddress: "0", Reconcile: true, LeaderElect: true}, want: "finding the API server"},
		{name: "does both", options: Options{CallbackAddress: ":9080", Reconcile: true, LeaderElect: true}, want: "finding the API server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := Run(t.Context(), c.options); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("the error is %v; want %q", err, c.want)
			}
		})
	}
}
