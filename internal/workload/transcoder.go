package workload

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// TranscoderName is the workload that spec.transcoding makes.
const TranscoderName = v1alpha1.WorkloadTranscode

var transcoder = preset{
	name:   TranscoderName,
	wanted: func(s *v1alpha1.LiveStreamSettings) bool { return s.Transcoding.Wanted() },
	stores: func(s *v1alpha1.LiveStreamSettings) bool { return !s.Transcoding.Pushes() },
	config: func(stream *v1alpha1.LiveStream, s *v1alpha1.LiveStreamSettings, c *recording.Config) {
		t := &s.Transcoding
		c.Format, c.SegmentSeconds, c.UploadTimeoutSeconds = recording.HLS, t.Segment(), int(t.UploadTimeoutSeconds)
		c.Storage, c.Spool = storageOf(t.Output.Storage), spoolOf(t.Spool, transcoderSpool(c.Broadcast))
		c.Transcoding = &recording.Transcoding{Renditions: renditions(t), GPU: t.GPU.ResourceName != ""}
		if push := &t.Output.Push; t.Pushes() {
			c.Transcoding.Push = &recording.Push{
				Scheme: string(push.URLScheme()), Domain: push.Domain, App: cmp.Or(push.AppName, stream.Spec.AppName), ValiditySeconds: int64(push.Validity() / time.Second),
			}
		}
	},
	pod: func(s *v1alpha1.LiveStreamSettings, b Broadcast, p *workerPod) {
		t := &s.Transcoding
		p.spool(t.Spool, transcoderSpool(b.ID))
		switch push := t.Output.Push; {
		case !t.Pushes():
			p.storage(t.Output.Storage)
		case push.KeySecretRef.Name != "":
			p.key(pushVolume, recording.PushKeyFile, push.KeySecretRef)
		}
		p.container.Resources = transcoderResources(t, b)
	},
}

// transcoderSpool is beside that of the recorder, which may have the same claim.
func transcoderSpool(broadcast string) string { return broadcast + "-" + TranscoderName }

func renditions(t *v1alpha1.Transcoding) []ladder.Rendition {
	all := make([]ladder.Rendition, 0, len(t.Renditions))
	for _, r := range t.Renditions {
		all = append(all, ladder.Rendition{
			Name: r.Name, Height: int(r.Height), VideoKbps: int(r.VideoBitrateKbps), AudioKbps: r.AudioKbps(), Codec: ladder.Codec(r.Encoding()), FrameRate: int(r.FrameRate),
		})
	}
	return all
}

// transcoderResources are the user's, or what the renditions need of a source of the size that the push has told.
func transcoderResources(t *v1alpha1.Transcoding, b Broadcast) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{}
	if t.Resources != nil {
		r = *t.Resources.DeepCopy()
	} else {
		cost := ladder.Estimate(renditions(t), ladder.Source{Width: int(b.Push.Width), Height: int(b.Push.Height)}, t.GPU.ResourceName != "")
		r.Requests = corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(cost.MilliCPU, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(cost.Memory, resource.BinarySI),
		}
		r.Limits = corev1.ResourceList{corev1.ResourceMemory: *resource.NewQuantity(2*cost.Memory, resource.BinarySI)}
	}
	if gpu := corev1.ResourceName(t.GPU.ResourceName); gpu != "" {
		if r.Limits == nil {
			r.Limits = corev1.ResourceList{}
		}
		if _, asked := r.Limits[gpu]; !asked {
			r.Limits[gpu] = resource.MustParse("1")
		}
		if r.Requests != nil {
			r.Requests[gpu] = r.Limits[gpu]
		}
	}
	return r
}
