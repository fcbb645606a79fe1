package main

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestACopyIsItsOwnAndHasABareTwinWhereOneIsAskedFor(t *testing.T) {
	m := model{kind: withJob, uids: []string{"the-uid"}, objects: []keyValue{{
		Key:   []byte(streamKey(v1alpha1.GroupVersion.Group, modelNamespace, withJob.model())),
		Value: fmt.Appendf(nil, `{"apiVersion":%q,"namespace":%q,"uid":"the-uid","archive":"archive/%s"}`, v1alpha1.GroupVersion, modelNamespace, withJob.model()),
	}}}
	text := func(all []keyValue) []string {
		var lines []string
		for _, kv := range all {
			lines = append(lines, string(kv.Key)+" "+string(kv.Value))
		}
		return lines
	}
	own := `/registry/livestream-operator.io/livestreams/studio/job-0000007 ` +
		`{"apiVersion":"livestream-operator.io/v1alpha1","namespace":"studio","uid":"` + uidOf("studio", 7, 0) + `","archive":"archive/job-0000007"}`
	twin := `/registry/bench.livestream-operator.io/livestreams/studio/job-0000007 ` +
		`{"apiVersion":"bench.livestream-operator.io/v1alpha1","namespace":"studio","uid":"` + uidOf("studio", 7, 0) + `","archive":"archive/job-0000007"}`
	if diff := cmp.Diff([]string{own, twin}, text(m.copyTo("studio", 7, true))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{own}, text(m.copyTo("studio", 7, false))); diff != "" {
		t.Error(diff)
	}
}
