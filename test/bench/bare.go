package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/workload"
)

// bareGroup has the LiveStream's schema under another name: to write it costs the API server the same, and wakes nobody.
var bareGroup = schema.GroupVersion{Group: "bench." + v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version}

// bare is a client as the operator's: client-go over HTTP/2, JSON, without a throttle, with the rights of a service account.
type bare struct {
	streams *rest.RESTClient
	// operators are the operator's own kinds.
	operators *rest.RESTClient
	jobs      *rest.RESTClient
}

func newBare(kubeconfig string) (*bare, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of the reference: %w", err)
	}
	config.QPS, config.APIPath, config.UserAgent = -1, "/apis", "bench-reference"
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	scheme.AddKnownTypeWithName(bareGroup.WithKind("LiveStream"), &v1alpha1.LiveStream{})
	scheme.AddKnownTypeWithName(bareGroup.WithKind("LiveStreamList"), &v1alpha1.LiveStreamList{})
	metav1.AddToGroupVersion(scheme, bareGroup)
	b := &bare{}
	for group, into := range map[schema.GroupVersion]**rest.RESTClient{bareGroup: &b.streams, v1alpha1.GroupVersion: &b.operators, batchv1.SchemeGroupVersion: &b.jobs} {
		of := rest.CopyConfig(config)
		of.GroupVersion, of.NegotiatedSerializer = &group, serializer.NewCodecFactory(scheme).WithoutConversion()
		if *into, err = rest.RESTClientFor(of); err != nil {
			return nil, fmt.Errorf("making the client of the reference: %w", err)
		}
	}
	return b, nil
}

// write is one status merge patch. As of all that bare does, the answer is decoded only where it is a refusal, to tell its reason.
func (b *bare) write(ctx context.Context, namespace, name string, patch []byte) error {
	return b.streams.Patch(types.MergePatchType).Namespace(namespace).Resource("livestreams").Name(name).SubResource("status").Body(patch).Do(ctx).Error()
}

func (b *bare) get(ctx context.Context, namespace, name string) error {
	return b.streams.Get().Namespace(namespace).Resource("livestreams").Name(name).Do(ctx).Error()
}

func (b *bare) createJob(ctx context.Context, namespace string, job []byte) error {
	return b.jobs.Post().Namespace(namespace).Resource("jobs").Body(job).SetHeader("Content-Type", runtime.ContentTypeJSON).Do(ctx).Error()
}

func (b *bare) deleteJobs(ctx context.Context, namespace, selector string) error {
	foreground := metav1.DeletePropagationForeground
	return b.jobs.Delete().Namespace(namespace).Resource("jobs").Param("labelSelector", selector).
		Body(&metav1.DeleteOptions{PropagationPolicy: &foreground}).Do(ctx).Error()
}

// stream is a watch of a resource in a namespace that goes on where it was when the API server ends it.
type stream struct {
	client              *rest.RESTClient
	namespace, resource string
	version             string
	current             watch.Interface
}

// watchFrom watches what is in the namespace from now on. The list is one of the resource's.
func watchFrom(ctx context.Context, client *rest.RESTClient, namespace, resource string, list runtime.Object) (*stream, error) {
	if err := client.Get().Namespace(namespace).Resource(resource).Param("limit", "1").Do(ctx).Into(list); err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource, err)
	}
	from, ok := list.(metav1.ListInterface)
	if !ok {
		return nil, fmt.Errorf("%T is no list", list)
	}
	s := &stream{client: client, namespace: namespace, resource: resource, version: from.GetResourceVersion()}
	return s, s.open(ctx)
}

func (s *stream) open(ctx context.Context) (err error) {
	s.current, err = s.client.Get().Namespace(s.namespace).Resource(s.resource).Param("watch", "true").Param("resourceVersion", s.version).Watch(ctx)
	if err != nil {
		return fmt.Errorf("watching %s: %w", s.resource, err)
	}
	return nil
}

// follow hands out what happens until the context ends, when it returns nil.
func (s *stream) follow(ctx context.Context, handle func(watch.Event)) error {
	defer func() { s.current.Stop() }()
	for {
		for event := range s.current.ResultChan() {
			if status, is := event.Object.(*metav1.Status); is {
				return fmt.Errorf("watching %s: %s", s.resource, status.Message)
			}
			if object, is := event.Object.(metav1.Object); is {
				s.version = object.GetResourceVersion()
			}
			handle(event)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := s.open(ctx); err != nil {
			return err
		}
	}
}

// patchFor is the status patch that records the callback, and what follows from it as far as the operator writes that with it: the same fields, of
// the same size. The twin is brought up to it. The patch carries neither resourceVersion nor UID, which costs the API server nothing.
func patchFor(twin *v1alpha1.LiveStream, callback []byte, now time.Time) ([]byte, error) {
	parsed, err := tencent.Parser{}.Parse(callback, provider.Authentication{Keys: []string{callbackKey}, Required: true, Now: now})
	if err != nil {
		return nil, fmt.Errorf("reading a callback of our own: %w", err)
	}
	pushes, _, err := push.Apply(twin.Status.Pushes, *parsed.Event, now)
	if err != nil {
		return nil, fmt.Errorf("applying a callback of our own: %w", err)
	}
	status := map[string]any{"pushes": pushes}
	foreseen, ok := plan.Foresee(plan.Observed{Now: now, Stream: twin, Settings: workload.WithPresets(twin.Spec.LiveStreamSettings), Domain: pushDomain}, pushes)
	twin.Status.Pushes = pushes
	if ok {
		twin.Status = foreseen
		twin.Status.Pushes = pushes
		maps.Copy(status, map[string]any{
			"state": foreseen.State, "since": foreseen.Since, "workloads": foreseen.Workloads, "workloadSummary": orNull(foreseen.WorkloadSummary),
			"conditions": foreseen.Conditions, "client": orNull(foreseen.Client), "broadcast": foreseen.Broadcast,
			"resolution": orNull(foreseen.Resolution), "lastError": orNull(foreseen.LastError),
		})
	}
	return json.Marshal(map[string]any{"status": status})
}

// orNull is null for an empty text, which the schema refuses.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
