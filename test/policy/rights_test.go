package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func merge(patch string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(patch)) }

func TestTheInstallationHasThePolicy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "config", "default", "kustomization.yaml"))
	if err != nil || !strings.Contains(string(text), "\n- ../policy\n") {
		t.Errorf("config/default leaves the policy out: %v\n%s", err, text)
	}
}

func TestAJobNeedsTheRightToCreateJobs(t *testing.T) {
	u := newUser(t)
	u.isRefused(u.Create(t.Context(), u.stream(job("record"))), recordRefused)
	generated := u.stream(job("record"))
	generated.Name, generated.GenerateName = "", "show-"
	u.isRefused(u.Create(t.Context(), generated), recordRefused)
	u.mayCreateJobs(u.namespace)
	u.passes(u.Create(t.Context(), u.stream(job("record"))))
	u.passes(u.Create(t.Context(), generated))
}

func TestTheTemplateOfAPushDomainNeedsTheSameRights(t *testing.T) {
	u := newUser(t)
	u.isRefused(u.Create(t.Context(), u.domain(job("record"))), recordRefused)
	u.isRefused(u.Create(t.Context(), u.domain(packager())), packagerRefused)
	domain := u.domain()
	u.passes(u.Create(t.Context(), domain))
	addJob := merge(`{"spec":{"template":{"spec":{"workloads":[{"name":"record","job":{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}}]}}}}`)
	u.isRefused(u.Patch(t.Context(), domain, addJob), recordRefused)
	u.passes(u.Patch(t.Context(), domain, merge(`{"spec":{"template":{"spec":{"historyLimit":10}}}}`)))
	u.mayCreateJobs(u.namespace)
	u.passes(u.Patch(t.Context(), domain, addJob))
	u.isRefused(u.Create(t.Context(), u.domain(packager())), packagerRefused)
}

func TestOthersMayStillEditTheRestOfAPushDomain(t *testing.T) {
	u := newUser(t)
	domain := written(t, u.domain(job("record"), packager()))
	u.passes(u.Patch(t.Context(), domain, merge(`{"spec":{"callback":{"clockSkewSeconds":90},"template":{"spec":{"historyLimit":10}}}}`)))
	domain.Spec.Template.Spec.Workloads[1].Scale.Name = "another"
	u.isRefused(u.Update(t.Context(), domain), strings.ReplaceAll(packagerRefused, "deployments/packager", "deployments/another"))
}

func TestScaleNeedsTheRightToUpdateThatScale(t *testing.T) {
	u := newUser(t)
	u.isRefused(u.Create(t.Context(), u.stream(packager())), packagerRefused)
	u.mayCreateJobs(u.namespace)
	u.isRefused(u.Create(t.Context(), u.stream(packager())), packagerRefused)
	u.mayScale(u.namespace, "apps", "statefulsets")
	u.mayScale(u.namespace, "example.com", "deployments")
	u.isRefused(u.Create(t.Context(), u.stream(packager())), packagerRefused)
	u.mayScale(u.namespace, "apps", "deployments")
	u.passes(u.Create(t.Context(), u.stream(job("record"), packager())))
}

func TestTheRightToReadAScaleOrToUpdateTheTargetIsNotEnough(t *testing.T) {
	u := newUser(t)
	u.grant(u.namespace, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments/scale"}, Verbs: []string{"get"}})
	u.grant(u.namespace, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"update"}})
	u.isRefused(u.Create(t.Context(), u.stream(packager())), packagerRefused)
}

func TestARightToOneTargetIsARightToNoOther(t *testing.T) {
	u := newUser(t)
	u.mayScale(u.namespace, "apps", "deployments", "packager")
	u.isRefused(u.Create(t.Context(), u.stream(packager(), scale("other", "apps/v1", "Deployment", "other"))),
		`workload "other" scales deployments/other: that needs the right to update deployments/scale in namespace NAMESPACE`)
	u.passes(u.Create(t.Context(), u.stream(packager())))
}

func TestARightInAnotherNamespaceDoesNotHelp(t *testing.T) {
	u, elsewhere := newUser(t), env.Namespace(t)
	u.mayCreateJobs(elsewhere)
	u.mayScale(elsewhere, "apps", "deployments")
	u.isRefused(u.Create(t.Context(), u.stream(job("record"))), recordRefused)
	u.isRefused(u.Create(t.Context(), u.stream(packager())), packagerRefused)
}

func TestTheResourceOfAKindIsGuessedAsKubernetesDoes(t *testing.T) {
	for _, test := range []struct{ apiVersion, kind, group, resource string }{
		{"v1", "ReplicationController", "", "replicationcontrollers"},
		{"apps/v1", "StatefulSet", "apps", "statefulsets"},
		{"media.example.com/v1beta1", "RTMPProxy", "media.example.com", "rtmpproxies"},
		{"media.example.com/v1beta1", "Gateway", "media.example.com", "gateways"},
		{"media.example.com/v1", "MediaBus", "media.example.com", "mediabuses"},
		{"media.example.com/v1", "SetTopBox", "media.example.com", "settopboxes"},
		{"media.example.com/v1", "Blitz", "media.example.com", "blitzes"},
		{"media.example.com/v1", "Switch", "media.example.com", "switches"},
		{"media.example.com/v1", "Mesh", "media.example.com", "meshes"},
		{"media.example.com/v1", "Path", "media.example.com", "paths"},
	} {
		t.Run(test.kind, func(t *testing.T) {
			u := newUser(t)
			stream := u.stream(scale("a", test.apiVersion, test.kind, "x"))
			u.isRefused(u.Create(t.Context(), stream), fmt.Sprintf(
				`workload "a" scales %[1]s/x: that needs the right to update %[1]s/scale in namespace NAMESPACE`, test.resource))
			u.mayScale(u.namespace, test.group, test.resource, "x")
			u.passes(u.Create(t.Context(), stream))
		})
	}
}

func TestWithoutWorkloadsNoRightIsNeeded(t *testing.T) {
	u := newUser(t)
	u.passes(u.Create(t.Context(), u.stream()))
	domain := u.domain()
	domain.Spec.Template.Metadata.Labels = map[string]string{"team": "media"}
	u.passes(u.Create(t.Context(), domain))
}

func TestWhatLeavesWorkloadsAsTheyAreNeedsNoRight(t *testing.T) {
	u := newUser(t)
	stream := written(t, u.stream(job("record"), packager()))
	u.passes(u.Patch(t.Context(), stream, merge(`{"spec":{"state":"Suspended"}}`)))
	stream.Spec.MaxDurationSeconds = 3600
	stream.Labels = map[string]string{"team": "media"}
	stream.Finalizers = []string{v1alpha1.FinalizerScale}
	u.passes(u.Update(t.Context(), stream))
	stream.Spec.Workloads[0], stream.Spec.Workloads[1] = stream.Spec.Workloads[1], stream.Spec.Workloads[0]
	stream.Finalizers = nil
	u.passes(u.Update(t.Context(), stream))
	stream.Spec.Workloads = stream.Spec.Workloads[:1]
	u.passes(u.Update(t.Context(), stream))
	u.passes(u.Patch(t.Context(), stream, merge(`{"spec":{"workloads":null}}`)))
}

func TestAddingAWorkloadByUpdateNeedsItsRight(t *testing.T) {
	u := newUser(t)
	stream := written(t, u.stream())
	stream.Spec.Workloads = []v1alpha1.Workload{job("record")}
	u.isRefused(u.Update(t.Context(), stream), recordRefused)
	u.isRefused(u.Patch(t.Context(), stream, merge(
		`{"spec":{"workloads":[{"name":"packager","scale":{"apiVersion":"apps/v1","kind":"Deployment","name":"packager"}}]}}`)), packagerRefused)
	u.mayCreateJobs(u.namespace)
	stream.Spec.Workloads = []v1alpha1.Workload{job("record")}
	u.passes(u.Update(t.Context(), stream))
}

func TestChangingAWorkloadNeedsItsRight(t *testing.T) {
	u := newUser(t)
	stream := written(t, u.stream(job("record"), packager()))
	jsonPatch := func(patch string) error {
		return u.Patch(t.Context(), stream.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(patch)))
	}
	u.isRefused(jsonPatch(`[{"op":"replace","path":"/spec/workloads/0/job/spec/template/spec/containers/0/image","value":"evil"}]`), recordRefused)
	u.isRefused(jsonPatch(`[{"op":"add","path":"/spec/workloads/1/scale/replicasWhileLive","value":1000}]`), packagerRefused)
	u.isRefused(jsonPatch(`[{"op":"add","path":"/spec/workloads/0/run","value":"AfterEnd"}]`), recordRefused)
	u.isRefused(jsonPatch(`[{"op":"replace","path":"/spec/workloads/0/name","value":"renamed"}]`), strings.Replace(recordRefused, "record", "renamed", 1))
}

func TestOnlyTheRightForWhatChangesIsNeeded(t *testing.T) {
	u := newUser(t)
	stream := written(t, u.stream(job("record"), packager()))
	u.mayScale(u.namespace, "apps", "deployments", "packager")
	u.passes(u.Patch(t.Context(), stream,
		client.RawPatch(types.JSONPatchType, []byte(`[{"op":"add","path":"/spec/workloads/1/scale/replicasWhileLive","value":3}]`))))
}

func TestEachOfSixteenTargetsIsChecked(t *testing.T) {
	u := newUser(t)
	var names []string
	stream := u.stream()
	for i := range 16 {
		names = append(names, fmt.Sprintf("target-%d", i))
		stream.Spec.Workloads = append(stream.Spec.Workloads, scale(fmt.Sprintf("w-%d", i), "apps/v1", "Deployment", names[i]))
	}
	u.mayScale(u.namespace, "apps", "deployments", names[:15]...)
	u.isRefused(u.Create(t.Context(), stream),
		`workload "w-15" scales deployments/target-15: that needs the right to update deployments/scale in namespace NAMESPACE`)
	u.mayScale(u.namespace, "apps", "deployments", names[15])
	u.passes(u.Create(t.Context(), stream.DeepCopy()))
	stream.Name, stream.Spec.Workloads = "more", append(stream.Spec.Workloads, packager())
	if err := u.Create(t.Context(), stream); err == nil || !strings.Contains(err.Error(), "must have at most 16 items") {
		t.Errorf("17 workloads are answered with %v; the policy looks at 16", err)
	}
}

func TestLargeJobsStayWithinWhatThePolicyMayCost(t *testing.T) {
	u := newUser(t)
	u.mayCreateJobs(u.namespace)
	u.mayScale(u.namespace, "apps", "deployments")
	stream := u.stream(packager())
	for i := range 15 {
		stream.Spec.Workloads = append(stream.Spec.Workloads, jobOf(fmt.Sprintf("w-%d", i), "i", strings.Split(strings.Repeat("argument ", 5000), " ")...))
	}
	u.passes(u.Create(t.Context(), stream))
	for i := range stream.Spec.Workloads[1:] {
		stream.Spec.Workloads[1+i].Job.Spec.Template.Spec.Containers[0].Args[4999] = "another"
	}
	u.passes(u.Update(t.Context(), stream))
}

// What the operator sends to CSS the owner of the account can read there.
func TestACallbackKeyIsSentOnlyForWhoMayReadIt(t *testing.T) {
	u := newUser(t)
	const refused = `spec.api.callbackSetup sends the callback key of Secret "css" to CSS: that needs the right to get that Secret in namespace NAMESPACE`
	asks := func() *v1alpha1.PushDomain {
		d := u.domain()
		d.Spec.Callback = v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}}
		d.Spec.API.CredentialsSecretRef.Name = "css-api"
		return d
	}
	sends := func() *v1alpha1.PushDomain {
		d := asks()
		d.Spec.API.CallbackSetup.BaseURL = "https://hooks.example.com"
		return d
	}
	onlyAsks := asks()
	onlyAsks.Name = "asks"
	u.passes(u.Create(t.Context(), onlyAsks))
	u.isRefused(u.Create(t.Context(), sends()), refused)
	domain := written(t, sends())
	u.passes(u.Patch(t.Context(), domain, merge(`{"spec":{"callback":{"clockSkewSeconds":90}}}`)))
	u.isRefused(u.Patch(t.Context(), domain, merge(`{"spec":{"api":{"credentialsSecretRef":{"name":"mine"}}}}`)), refused)
	u.isRefused(u.Patch(t.Context(), domain, merge(`{"spec":{"callback":{"keySecretRefs":[{"name":"css","key":"another"}]}}}`)), refused)
	u.grant(u.namespace, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"css"}, Verbs: []string{"get"}})
	u.passes(u.Patch(t.Context(), domain, merge(`{"spec":{"api":{"credentialsSecretRef":{"name":"mine"}}}}`)))
}

func TestToOpenAPushDomainNeedsTheRightsOfItsTemplate(t *testing.T) {
	u := newUser(t)
	domain := u.domain(job("record"))
	domain.Spec.Callback = v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}}
	domain = written(t, domain)
	for name, patch := range map[string]string{
		"unknown streams":    `{"spec":{"unknownStreams":{"policy":"Create"}}}`,
		"unsigned callbacks": `{"spec":{"callback":{"authentication":"None","keySecretRefs":null}}}`,
		"a key of their own": `{"spec":{"callback":{"keySecretRefs":[{"name":"mine","key":"callbackKey"}]}}}`,
	} {
		t.Run(name, func(t *testing.T) { u.isRefused(u.Patch(t.Context(), domain.DeepCopy(), merge(patch)), recordRefused) })
	}
	u.mayCreateJobs(u.namespace)
	u.passes(u.Patch(t.Context(), domain, merge(`{"spec":{"unknownStreams":{"policy":"Create"}}}`)))
}

func TestRecordingAndTranscodingNeedTheRightToCreateJobs(t *testing.T) {
	u := newUser(t)
	for name, settings := range map[string]string{
		"record":    `"recording":{"storage":{"persistentVolumeClaim":{"claimName":"others"}}}`,
		"transcode": `"transcoding":{"renditions":[{"name":"a","height":360,"videoBitrateKbps":800}],"output":{"storage":{"persistentVolumeClaim":{"claimName":"others"}}}}`,
	} {
		refused := strings.Replace(recordRefused, `"record"`, `"`+name+`"`, 1)
		stream, domain := written(t, u.stream()), written(t, u.domain())
		ofStream, ofTemplate := merge(`{"spec":{`+settings+`}}`), merge(`{"spec":{"template":{"spec":{`+settings+`}}}}`)
		u.isRefused(u.Patch(t.Context(), stream.DeepCopy(), ofStream), refused)
		u.isRefused(u.Patch(t.Context(), domain.DeepCopy(), ofTemplate), refused)
		u.mayCreateJobs(u.namespace)
		u.passes(u.Patch(t.Context(), stream, ofStream))
		u.passes(u.Patch(t.Context(), domain, ofTemplate))
		u = newUser(t)
	}
}
