package workload

import (
	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/recording"
)

// RecorderName is the workload that spec.recording makes.
const RecorderName = v1alpha1.WorkloadRecord

var recorder = preset{
	name:   RecorderName,
	wanted: func(s *v1alpha1.LiveStreamSettings) bool { return s.Recording.Wanted() },
	stores: func(*v1alpha1.LiveStreamSettings) bool { return true },
	config: func(_ *v1alpha1.LiveStream, s *v1alpha1.LiveStreamSettings, c *recording.Config) {
		c.Format, c.SegmentSeconds, c.UploadTimeoutSeconds = recording.Format(s.Recording.FileFormat()), s.Recording.Segment(), int(s.Recording.UploadTimeoutSeconds)
		c.Storage, c.Spool = storageOf(s.Recording.Storage), spoolOf(s.Recording.Spool, c.Broadcast)
	},
	pod: func(s *v1alpha1.LiveStreamSettings, b Broadcast, p *workerPod) {
		p.spool(s.Recording.Spool, b.ID)
		p.storage(s.Recording.Storage)
		if s.Recording.Resources != nil {
			p.container.Resources = *s.Recording.Resources.DeepCopy()
		}
	},
}
