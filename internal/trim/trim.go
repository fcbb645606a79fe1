// Package trim makes objects small before a cache keeps them: what nobody reads is dropped, and what is equal is kept once.
package trim

import (
	"maps"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// lastApplied is what kubectl apply keeps: the whole object once more, as text.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Any drops what no reader of a cache needs of any kind. It is a cache.TransformFunc, as all of the package; what is not an object of its
// kind passes as it is.
func Any(object any) (any, error) {
	if o, is := object.(metav1.Object); is {
		o.SetManagedFields(nil)
	}
	return object, nil
}

// Streams returns the transformation of LiveStreams. Those of one cache share what is equal among them: it must not be changed.
func Streams() func(any) (any, error) {
	texts, settings := &texts{}, &settings{}
	return func(object any) (any, error) {
		if s, is := object.(*v1alpha1.LiveStream); is {
			trimMeta(&s.ObjectMeta, texts)
			texts.each(&s.Kind, &s.APIVersion, &s.Spec.PushDomainRef.Name, &s.Spec.AppName, (*string)(&s.Spec.State))
			s.Spec.LiveStreamSettings = settings.once(s.Spec.LiveStreamSettings)
			trimStatus(&s.Status, texts)
			ownTexts(s)
		}
		return object, nil
	}
}

func trimStatus(s *v1alpha1.LiveStreamStatus, texts *texts) {
	texts.each((*string)(&s.State), &s.WorkloadSummary, &s.Domain, &s.Resolution, &s.LastError)
	for i := range s.Conditions {
		c := &s.Conditions[i]
		texts.each(&c.Type, (*string)(&c.Status), &c.Reason, &c.Message)
	}
	for i := range s.Pushes {
		p := &s.Pushes[i]
		texts.each(&p.ClientIP, &p.Node, (*string)(&p.Region), (*string)(&p.Reason), (*string)(&p.Source), &p.Message)
	}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		texts.each(&w.Name, (*string)(&w.State), &w.Message)
	}
	for i := range s.History {
		texts.each((*string)(&s.History[i].EndReason))
	}
}

// ownTexts puts what no other LiveStream says into one text, of which each is a part: Go's collector looks at every text that was decoded by itself.
func ownTexts(s *v1alpha1.LiveStream) {
	fields := append(make([]*string, 0, 64), &s.Name, (*string)(&s.UID), &s.ResourceVersion, &s.Spec.StreamName, &s.Status.Client, &s.Status.Broadcast.ID)
	for i := range s.Status.Pushes {
		fields = append(fields, &s.Status.Pushes[i].Sequence)
	}
	for i := range s.Status.Broadcast.Sequences {
		fields = append(fields, &s.Status.Broadcast.Sequences[i])
	}
	for i := range s.Status.Workloads {
		fields = append(fields, &s.Status.Workloads[i].JobName)
	}
	for i := range s.Status.History {
		record := &s.Status.History[i]
		fields = append(fields, &record.ID, &record.Sequence)
		for j := range record.AfterEnd {
			fields = append(fields, &record.AfterEnd[j].JobName)
		}
	}
	join(fields)
}

// PushDomain drops what its readers do not need.
func PushDomain(object any) (any, error) {
	if d, is := object.(*v1alpha1.PushDomain); is {
		trimMeta(&d.ObjectMeta, nil)
	}
	return object, nil
}

func trimMeta(m *metav1.ObjectMeta, texts *texts) {
	m.ManagedFields = nil
	// Of a LiveStream that unknownStreams made, an annotation more tells that somebody took it over. A map without it may be shared already, and must
	// not even be told to delete it.
	if _, there := m.Annotations[lastApplied]; there && m.Annotations[v1alpha1.AnnotationMadeAs] == "" {
		delete(m.Annotations, lastApplied)
	}
	if len(m.Annotations) == 0 {
		m.Annotations = nil
	}
	if texts == nil {
		return
	}
	texts.each(&m.Namespace)
	m.Labels, m.Annotations = texts.words(m.Labels), texts.words(m.Annotations)
	for i := range m.OwnerReferences {
		o := &m.OwnerReferences[i]
		texts.each(&o.APIVersion, &o.Kind, &o.Name, (*string)(&o.UID))
	}
}

// Job leaves of a Job what workload.Runs reads. What it runs is not among it.
func Job(object any) (any, error) {
	if j, is := object.(*batchv1.Job); is {
		return &batchv1.Job{ObjectMeta: reduced(j.ObjectMeta), Status: batchv1.JobStatus{Conditions: j.Status.Conditions}}, nil
	}
	return object, nil
}

// Pod leaves of a Pod what workload.Runs and the poller of workers read. What it runs is not among it.
func Pod(object any) (any, error) {
	p, is := object.(*corev1.Pod)
	if !is {
		return object, nil
	}
	return &corev1.Pod{ObjectMeta: reduced(p.ObjectMeta), Status: corev1.PodStatus{
		Phase: p.Status.Phase, Conditions: telling(p.Status.Conditions), Reason: p.Status.Reason, Message: p.Status.Message, PodIP: p.Status.PodIP,
		ContainerStatuses: reducedStatuses(p.Status.ContainerStatuses), InitContainerStatuses: reducedStatuses(p.Status.InitContainerStatuses),
	}}, nil
}

// telling are the conditions of a Pod that are read, and not when they were looked at. Who is not ready without a reason is on a node that is lost.
func telling(all []corev1.PodCondition) []corev1.PodCondition {
	var kept []corev1.PodCondition
	for _, c := range all {
		if c.Type == corev1.PodReady && (c.Status == corev1.ConditionTrue || c.Reason == "") || c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			c.LastProbeTime, c.ObservedGeneration = metav1.Time{}, 0
			kept = append(kept, c)
		}
	}
	return kept
}

func reducedStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(all))
	for i := range all {
		kept = append(kept, corev1.ContainerStatus{Name: all[i].Name, Image: all[i].Image, State: all[i].State, LastTerminationState: all[i].LastTerminationState})
	}
	return kept
}

// reduced keeps the operator's own labels and annotations alone.
func reduced(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, OwnerReferences: m.OwnerReferences,
		Labels: ours(m.Labels), Annotations: ours(m.Annotations),
	}
}

func ours(all map[string]string) map[string]string {
	maps.DeleteFunc(all, func(key, _ string) bool {
		return !strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") && key != v1alpha1.LabelManagedBy && key != recording.StopAnnotation
	})
	return all
}
