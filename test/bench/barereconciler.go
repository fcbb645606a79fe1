package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// handlerJob names the file of the Job that a bare reconciler makes.
const handlerJob = "BENCH_JOB"

// jobTemplate is a Job as the operator's, but for its labels and owner, for the reference to make of any stream.
type jobTemplate string

// What a jobTemplate has in the place of a name and of a stream.
const (
	templateName   = "of-the-stream-that-has-a-name"
	templateStream = "stream-label"
)

func newJobTemplate(like *batchv1.Job, namespace string) (jobTemplate, error) {
	text, err := jobLike(like, namespace, templateName, map[string]string{streamLabel: templateStream, "app.kubernetes.io/managed-by": "bench"})
	return jobTemplate(text), err
}

// of returns the stream's Job, and its name.
func (t jobTemplate) of(stream *v1alpha1.LiveStream) (job []byte, name string) {
	name = fmt.Sprintf("%s-record-%010d", stream.Name, version(stream))
	return []byte(strings.NewReplacer(templateName, name, templateStream, stream.Name).Replace(string(t))), name
}

// bareReconciler makes the Job of a twin that goes on air and deletes that of one that goes off, and tells in the twin's status of its Pod, as often as the
// operator does. It checks nothing, remembers nothing that it does not need for that, and repeats nothing; it keeps no cache, and tells nobody by
// Kubernetes Events. Its watches are client-go's.
type bareReconciler struct {
	*bare

	namespace string
	job       jobTemplate
}

func serveBareReconciler(ctx context.Context) error {
	b, err := newBare(os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(os.Getenv(handlerJob))
	if err != nil {
		return fmt.Errorf("reading the Job: %w", err)
	}
	r := &bareReconciler{bare: b, namespace: os.Getenv(handlerNamespace), job: jobTemplate(text)}
	client, err := podClient(os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	streams, err := watchFrom(ctx, b.streams, r.namespace, "livestreams", &v1alpha1.LiveStreamList{})
	if err != nil {
		return err
	}
	pods, err := watchFrom(ctx, client, r.namespace, "pods", &corev1.PodList{})
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- streams.follow(ctx, r.sawStream(ctx)) }()
	go func() { failed <- pods.follow(ctx, r.sawPod(ctx)) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	go func() { failed <- serveReference(ctx, mux) }()
	return <-failed
}

// podClient reads Pods in protobuf, as the operator does.
func podClient(kubeconfig string) (*rest.RESTClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of the reference: %w", err)
	}
	config.QPS, config.APIPath, config.UserAgent = -1, "/api", "bench-reference"
	config.GroupVersion, config.NegotiatedSerializer = &corev1.SchemeGroupVersion, clientgoscheme.Codecs.WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	return rest.RESTClientFor(config)
}

// complain ends the process: a write that is missing would make the reference look better than it is.
func complain(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (r *bareReconciler) sawStream(ctx context.Context) func(watch.Event) {
	jobs := map[string]string{}
	return func(event watch.Event) {
		stream, is := event.Object.(*v1alpha1.LiveStream)
		if !is {
			return
		}
		made, running := jobs[stream.Name]
		switch live := len(push.Live(stream.Status.Pushes)) > 0; {
		case live && !running:
			job, name := r.job.of(stream)
			jobs[stream.Name] = name
			complain(r.createJob(ctx, r.namespace, job))
		case !live && running:
			delete(jobs, stream.Name)
			complain(r.deleteJob(ctx, r.namespace, made))
		}
	}
}

func (r *bareReconciler) sawPod(ctx context.Context) func(watch.Event) {
	told := map[string]v1alpha1.WorkloadState{}
	return func(event watch.Event) {
		pod, is := event.Object.(*corev1.Pod)
		if !is {
			return
		}
		stream, state := pod.Labels[streamLabel], stateOf(event.Type, pod)
		if stream == "" || told[stream] == state {
			return
		}
		told[stream] = state
		status := v1alpha1.LiveStreamStatus{State: v1alpha1.LiveStreamLive, Workloads: []v1alpha1.WorkloadStatus{{Name: "record", State: state, Part: 1, JobName: pod.Labels[batchv1.JobNameLabel]}}}
		if state == v1alpha1.WorkloadStopped {
			status.State = v1alpha1.LiveStreamIdle
		}
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"state": status.State, "workloads": status.Workloads}})
		complain(errors.Join(err, r.write(ctx, r.namespace, stream, patch)))
	}
}

func stateOf(event watch.EventType, pod *corev1.Pod) v1alpha1.WorkloadState {
	switch {
	case event == watch.Deleted:
		return v1alpha1.WorkloadStopped
	case pod.DeletionTimestamp != nil:
		return v1alpha1.WorkloadStopping
	case isReady(pod):
		return v1alpha1.WorkloadRunning
	default:
		return v1alpha1.WorkloadPending
	}
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (b *bare) deleteJob(ctx context.Context, namespace, name string) error {
	return b.jobs.Delete().Namespace(namespace).Resource("jobs").Name(name).Body(&metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}).Do(ctx).Error()
}
