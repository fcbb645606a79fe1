package operator

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

func TestTheLastCallbacksAreAnsweredBeforeThePodIsKilled(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "manager", "receiver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, _, _ := bytes.Cut(text, []byte("\n---\n"))
	var installed appsv1.Deployment
	if err := yaml.UnmarshalStrict(manifest, &installed); err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(*installed.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if needs := DefaultShutdownDelay + shutdownTimeout; needs >= grace {
		t.Errorf("the operator may need %s to end, and its Pod is killed after %s", needs, grace)
	}
}

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
		{name: "ends before it is told to", options: Options{CallbackAddress: ":9080", ShutdownDelay: -time.Second}, want: "--shutdown-delay=-1s is less than no time"},
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
