package trim

import (
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
)

// indexers are those that the cache has with the operator's fields: controller-runtime holds each value twice.
func indexers() toolscache.Indexers {
	field := func(value func(*v1alpha1.LiveStream) string) toolscache.IndexFunc {
		return func(object any) ([]string, error) {
			s := object.(*v1alpha1.LiveStream)
			return []string{s.Namespace + "/" + value(s), "__all_namespaces/" + value(s)}, nil
		}
	}
	return toolscache.Indexers{
		toolscache.NamespaceIndex:     toolscache.MetaNamespaceIndexFunc,
		"field:" + index.ByStream:     field(func(s *v1alpha1.LiveStream) string { return index.Bucket(index.KeyOf(s)) }),
		"field:" + index.ByPushDomain: field(func(s *v1alpha1.LiveStream) string { return s.Spec.PushDomainRef.Name }),
	}
}

func heap() (bytes, objects uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.HeapObjects
}

// recorder is a stream with a Job of usual size, of which a value in the environment is its own.
func recorder(i int) *v1alpha1.LiveStream {
	s := stream(i, "registry.example.com/media/ffmpeg:7.1.2")
	job := s.Spec.Workloads[0].Job
	job.Labels = map[string]string{"team": "media"}
	pod := &job.Spec.Template
	pod.Labels, job.Spec.BackoffLimit, pod.Spec.TerminationGracePeriodSeconds = map[string]string{"team": "media"}, new(int32(0)), new(int64(30))
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "recordings", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("20Gi"))}}},
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "recorder"}, Optional: new(true)}}},
	}
	c := &pod.Spec.Containers[0]
	c.Env = []corev1.EnvVar{{Name: "LOG_FORMAT", Value: "json"}, {Name: "REGION", Value: "ap-guangzhou"}, {Name: "ARCHIVE", Value: "archive/" + s.Name}}
	c.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("256Mi")
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "recordings", MountPath: "/recordings"}, {Name: "config", MountPath: "/etc/recorder", ReadOnly: true}}
	return s
}

// BenchmarkBytesPerStream tells what each further LiveStream takes from 10,000 to 100,000 of them, and how many objects a collection looks at for it: as a bare informer keeps it, and as the
// operator does.
//
//	go test ./internal/trim -run '^$' -bench BytesPerStream -benchtime 1x
func BenchmarkBytesPerStream(b *testing.B) {
	for kind, of := range map[string]func(int) *v1alpha1.LiveStream{
		"without a workload": func(i int) *v1alpha1.LiveStream { return stream(i, "") },
		"with a workload":    func(i int) *v1alpha1.LiveStream { return stream(i, "ffmpeg") },
		"with a recorder":    recorder,
	} {
		for name, way := range map[string]struct {
			trim  func(any) (any, error)
			index toolscache.Indexers
		}{
			"bare":     {func(object any) (any, error) { return object, nil }, toolscache.Indexers{}},
			"operator": {Streams(), indexers()},
		} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				for b.Loop() {
					store := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, way.index)
					fill := func(from, to int) {
						for i := from; i < to; i++ {
							if err := store.Add(trimmed(b, way.trim, decoded(b, of(i)))); err != nil {
								b.Fatal(err)
							}
						}
					}
					fill(0, 10_000)
					bytesBefore, objectsBefore := heap()
					fill(10_000, 100_000)
					bytes, objects := heap()
					b.ReportMetric(float64(bytes-bytesBefore)/90_000, "B/stream")
					b.ReportMetric(float64(objects-objectsBefore)/90_000, "objects/stream")
					runtime.KeepAlive(store)
				}
			})
		}
	}
}

// BenchmarkRecorder takes one LiveStream of many that differ in a value through the transformation.
func BenchmarkRecorder(b *testing.B) {
	trim, i := Streams(), 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := decoded(b, recorder(i))
		i++
		b.StartTimer()
		trimmed(b, trim, s)
	}
}
